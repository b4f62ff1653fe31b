// Package policy decides which registered keys may be used now, and says why a key may not.
//
// [Compile] turns the centre's [Rules] into a [Policy]; [Policy.Evaluate] turns a registry snapshot and a moment into
// [Grants]: for every user the keys that work, with the options that they must carry. Home files, sshd's answer and
// reports are printouts of the same Grants, so that they cannot differ.
//
// Rules are a list of what is accepted. A key that no rule names is refused, whatever it is: DSA, ECDSA, certificates,
// types invented after this program. A decision is made on the parsed key, never on the text that stands before it.
//
// The package is pure: no I/O, no clock, no log.
package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/registry"
)

// Rules is the centre's key policy as it stands in the configuration.
type Rules struct {
	// Keys lists what is accepted.
	Keys []Rule `yaml:"keys"`
	// Warn is how long before its last rule ends a key is told of.
	Warn Days `yaml:"warn"`
	// Blocklist is the path of a file for [ParseBlocklist], empty for none. Who compiles the rules reads it.
	Blocklist string `yaml:"blocklist"`
	// Options says which options a key may have, and which it must.
	Options OptionRules `yaml:"options"`
	// Host is where the rules are to hold. It is in no file: who compiles the rules finds it out.
	Host Host `yaml:"-"`
}

// DefaultRules is what IPSL ESPRI's user documentation asks for, with hardware keys: ed25519, sk-ed25519, or RSA of at
// least 4096 bits.
func DefaultRules() Rules {
	return Rules{Keys: []Rule{{Type: ed25519}, {Type: skEd25519}, {Type: rsa, MinBits: 4096}}, Warn: 90}
}

// The names of key types in rules.
const (
	ed25519   = "ed25519"
	skEd25519 = "sk-ed25519"
	rsa       = "rsa"
)

// Their names on the wire: RFC 8709, RFC 4253 section 6.6, RFC 5656, PROTOCOL.u2f of OpenSSH. Not those of x/crypto/ssh, since keyreeve-keys
// starts at each login, and with that package it starts slower.
const (
	wireEd25519    = "ssh-ed25519"
	wireSKEd25519  = "sk-ssh-ed25519@openssh.com"
	wireRSA        = "ssh-rsa"
	wireECDSA256   = "ecdsa-sha2-nistp256"
	wireECDSA384   = "ecdsa-sha2-nistp384"
	wireECDSA521   = "ecdsa-sha2-nistp521"
	wireSKECDSA256 = "sk-ecdsa-sha2-nistp256@openssh.com"
)

// leastRSABits is the smallest bound that a rule may set: NIST SP 800-131A Rev. 2 disallows signatures by RSA keys of
// less than 2048 bits.
const leastRSABits = 2048

// mostRSABits is the largest RSA key that sshd takes (sshkey.c, SSH_RSA_MAXIMUM_MODULUS_SIZE).
const mostRSABits = 16384

// Policy is a compiled set of rules. What it decides never changes.
type Policy struct {
	rules       rulebook
	warn        Days
	smallOrderY [7][32]byte
	moduli      *moduli
	blocklists  []Blocklist
	options     optionRules
}

// Compile checks the rules and returns all that is wrong with them at once. A list without a rule is an error: it is the
// sign of a broken file, and would take every key from everybody. A key of a blocklist is refused
// whoever stands for it.
func Compile(rules Rules, blocklists ...Blocklist) (*Policy, error) {
	if len(rules.Keys) == 0 {
		return nil, errors.New("policy.keys: the list is empty, which would refuse every key")
	}
	p := &Policy{warn: rules.Warn, smallOrderY: smallOrderY(), moduli: newModuli(), blocklists: blocklists}
	var keys, options error
	p.rules, keys = newRulebook(rules.Keys)
	p.options, options = rules.Options.compile(rules.Host)
	if err := errors.Join(keys, options); err != nil {
		return nil, err
	}
	return p, nil
}

// enumerate joins words as a person would.
func enumerate(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// String names what is accepted, and when, for people.
func (p *Policy) String() string {
	words := make([]string, len(p.rules.list))
	for i, s := range p.rules.list {
		words[i] = s.String()
	}
	return enumerate(words)
}

// Remember takes over what an older policy found out about moduli, before this one is used; it does not depend on rules.
func (p *Policy) Remember(old *Policy) { p.moduli = old.moduli }

// Examine looks at the keys of a user who is to be evaluated, so that this finds all of their moduli known: new ones take long
// (half a millisecond for one of 4096 bits), and he may have hundreds. It is for a goroutine that nobody waits for.
func (p *Policy) Examine(user registry.User) {
	for _, record := range user.Records {
		p.broken(record.Key)
	}
}

// check judges a key alone at a moment, whoever owns it. The unknown is refused first, so that later checks may trust the type. It may take
// long, as [Policy.broken] does.
func (p *Policy) check(key authkeys.Key, now time.Time) Verdict {
	if verdict := p.accept(key, now); !verdict.Granted() {
		return verdict
	}
	return p.broken(key)
}

// glance is what of check shows at once.
func (p *Policy) glance(key authkeys.Key, now time.Time) Verdict {
	if verdict := p.accept(key, now); !verdict.Granted() {
		return verdict
	}
	return p.known(key)
}

// accept judges a key by the centre's rules.
func (p *Policy) accept(key authkeys.Key, now time.Time) Verdict {
	rule, ok := p.rules.rule(key.Type(), now)
	switch {
	case !ok && strings.Contains(key.Type(), "dss"):
		return Verdict{ReasonDSA, fmt.Sprintf("DSA keys are not accepted; this centre requires %s", p.rules.required(now))}
	case !ok:
		return Verdict{ReasonType, fmt.Sprintf("keys of type %s are not accepted; this centre requires %s", key.Type(), p.rules.required(now))}
	case key.Bits() < rule.MinBits:
		return Verdict{ReasonRSAShort, fmt.Sprintf("RSA key has %d bits; this centre requires %d", key.Bits(), rule.MinBits)}
	}
	return Verdict{Reason: ReasonGranted}
}
