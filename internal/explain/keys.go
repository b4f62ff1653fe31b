package explain

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
)

const granted = string(policy.ReasonGranted)

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// maxLines bounds the lines that are told of one source. Those by which a key may log in are judged all: what stands above one is its user's to write.
const maxLines = 256

// linesOf judges the lines of a source that have a key, or that are malformed, of one key alone unless the fingerprint is empty, and no more than so many.
func (v *visit) linesOf(s source, fingerprint string, most int) []Line {
	var list []Line
	for _, line := range s.lines {
		if len(list) == most {
			break
		}
		if line.Kind != authkeys.Entry && line.Kind != authkeys.Malformed || fingerprint != "" && line.Key.Fingerprint() != fingerprint {
			continue
		}
		verdict := v.Judge(line)
		l := Line{
			File: s.file, Line: line.N, Type: line.Key.Type(), Bits: line.Key.Bits(), Fingerprint: line.Key.Fingerprint(),
			Options: line.Options.String(), Reason: string(verdict.Reason), Detail: verdict.Detail,
		}
		if s.file == "" && s.asked != "" && s.asked != l.Fingerprint {
			continue // it is no answer to that question
		}
		l.Code, l.Why, l.only = v.refused(line)
		switch {
		case s.step != nil:
			l.Code, l.Why = s.step.Code, "sshd takes no key from there"
		case l.Code == "":
			l.Taken, l.Why = true, l.only
		}
		list = append(list, l)
	}
	return list
}

// refused says why sshd takes a line for none, by what it is or by its options, or else on what that depends.
func (v *visit) refused(line authkeys.Line) (code, why, only string) {
	if line.Kind == authkeys.Malformed {
		code, why = "malformed", line.Err.Error()
		if parse, ok := errors.AsType[*authkeys.ParseError](line.Err); ok {
			code, why = parse.Reason, parse.Detail
		}
		return code, why, ""
	}
	if line.Options.CertAuthority() {
		return "cert-authority", "it lets in certificates by the key, and not the key", ""
	}
	if end := line.Options.Expiry(v.Zone); !end.IsZero() && v.Now.After(end) {
		return "line-expired", "its expiry-time was " + end.UTC().Format("2006-01-02T15:04:05Z"), ""
	}
	from, bound := line.Options.From()
	switch {
	case !bound || v.From.IsValid() && line.Options.Admits(v.From):
	case !v.From.IsValid():
		only = "from " + from + " alone"
	case v.Settings.Text("UseDNS") == "yes" && strings.ContainsAny(strings.ToLower(from), "ghijklmnopqrstuvwxyz"):
		only = "if the client has a name of " + from
	default:
		return "from", fmt.Sprintf("it is for logins from %s, and this one comes from %s", from, v.From), ""
	}
	return "", "", only
}

// keys judges each key for itself: those of the registry first, then those of lines.
func (v *visit) keys() {
	var order []authkeys.Key
	seen := make(map[authkeys.Key]bool)
	note := func(k authkeys.Key) {
		if !k.IsZero() && !seen[k] && v.wants(k) {
			seen[k] = true
			order = append(order, k)
		}
	}
	for _, k := range v.Registry.Keys {
		note(k.Key)
	}
	note(v.Key)
	for _, s := range v.sources {
		for _, line := range s.lines {
			note(line.Key)
		}
	}
	if len(order) == 0 && v.Wanted != "" {
		v.answer.Keys = append(v.answer.Keys, v.stranger())
		return
	}
	for _, k := range order[:min(len(order), maxKeys)] {
		v.answer.Keys = append(v.answer.Keys, v.key(k))
	}
	if more := len(order) - maxKeys; more > 0 {
		v.unsure = true
		v.step(Step{Code: "many-keys", State: Unknown, What: fmt.Sprintf("%d more keys were not judged one by one: name one", more)})
	}
}

// stranger is a fingerprint of which nobody has the key.
func (v *visit) stranger() KeyAnswer {
	k := KeyAnswer{KeyRecord: KeyRecord{Fingerprint: v.Wanted, Reason: string(policy.ReasonUnregistered), Detail: "neither the registry nor a line that sshd reads has a key of this fingerprint"}}
	k.Stops = append(slices.Clone(v.before), Step{Code: k.Reason, State: Stops, What: k.Detail, Do: "register the key"})
	return k
}

// key follows one key on its way through sshd (userauth_pubkey and user_key_allowed in auth2-pubkey.c).
func (v *visit) key(k authkeys.Key) KeyAnswer {
	a := KeyAnswer{KeyRecord: recordOf(k), Stops: slices.Clone(v.before)}
	verdict := v.Judge(authkeys.Line{Kind: authkeys.Entry, Key: k})
	a.Reason, a.Detail = string(verdict.Reason), verdict.Detail
	for _, r := range v.Registry.Keys {
		if r.Key == k {
			a.Registered, a.Label = true, r.Label
		}
	}
	a.Stops = append(a.Stops, v.algorithms(k)...)
	for _, list := range v.Revoked {
		if list.Keys[a.Fingerprint] {
			a.Stops = append(a.Stops, Step{Code: "revoked", State: Stops, Where: list.Path, What: "the key is on the list of those that sshd refuses (RevokedKeys)", Do: "keyreeve explain --login " + a.Fingerprint})
		}
	}
	way, reasons := v.way(a.Fingerprint)
	if way == nil {
		a.Stops = append(append(a.Stops, reasons...), v.nowhere(a, len(reasons))...)
		return a
	}
	a.Way = way
	if v.Gate.Where != "" && !v.Gate.Passed && v.Gate.Wrong == "" && v.GateErr == nil && !v.Granted[a.Fingerprint] {
		a.Stops = append(a.Stops, Step{Code: "gate", State: Stops, Where: v.Gate.Where, What: "sshd takes the key, and the gate lets no session begin by it: " + cmp.Or(a.Detail, a.Reason)})
	}
	a.Stops = append(a.Stops, v.after...)
	a.LogsIn = len(a.Stops) == 0
	return a
}

// way is the first line by which sshd takes a key, one that depends on nothing before one that does, or what is in the way of those that have it.
func (v *visit) way(fingerprint string) (way *Line, reasons []Step) {
	for _, s := range v.sources {
		if s.opaque {
			if s.asked == "" || s.asked == fingerprint {
				reasons = add(reasons, *s.step)
			}
			continue
		}
		for _, l := range v.linesOf(s, fingerprint, len(s.lines)) {
			switch {
			case l.Taken && (way == nil || way.only != "" && l.only == ""):
				way = &l
			case l.Taken:
			case s.step != nil:
				reasons = add(reasons, *s.step)
			default:
				reasons = add(reasons, Step{Code: l.Code, State: Skips, Where: l.where(), What: l.Why})
			}
		}
	}
	return way, reasons
}

func add(list []Step, s Step) []Step {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

func (l Line) where() string {
	switch {
	case l.File == "":
		return "the command's answer"
	case strings.HasPrefix(l.File, "/"):
		return fmt.Sprintf("%s:%d", l.File, l.Line)
	}
	return fmt.Sprintf("~/%s:%d", l.File, l.Line)
}

// nowhere is why no line has a key: what the policy has against it, or that nobody has put it there.
func (v *visit) nowhere(k KeyAnswer, reasons int) []Step {
	switch {
	case k.Reason != granted:
		return []Step{{Code: k.Reason, State: Stops, What: cmp.Or(k.Detail, "the key is not granted")}}
	case reasons > 0:
		return nil
	}
	s := Step{Code: "no-line", State: Stops, What: "the key is granted, and no line that sshd reads has it", Do: "add its line to " + v.firstFile()}
	if len(v.Files) == 0 {
		s.Do = "keyreeve doctor; systemctl status keyreeve"
	}
	return []Step{s}
}

func (v *visit) firstFile() string {
	if len(v.Files) == 0 {
		return ""
	}
	if name := v.Files[0].Name; strings.HasPrefix(name, "/") {
		return name
	}
	return "~/" + v.Files[0].Name
}

// algorithms is what sshd has against a key by its type and size. ssh-rsa is for signatures by SHA-1, which clients before OpenSSH 7.2 make alone.
func (v *visit) algorithms(k authkeys.Key) []Step {
	var list []Step
	if accepted := strings.Split(v.Settings.Text("PubkeyAcceptedAlgorithms"), ","); v.Settings.Has("PubkeyAcceptedAlgorithms") &&
		!slices.ContainsFunc(algorithmsOf(k), func(name string) bool { return slices.Contains(accepted, name) }) {
		list = append(list, Step{Code: "algorithm", State: Stops, Where: "PubkeyAcceptedAlgorithms", What: "sshd takes no key of the type " + k.Type(), Do: "use a key of another type"})
	}
	var least int
	if _, err := fmt.Sscan(v.Settings.Text("RequiredRSASize"), &least); err == nil && k.Type() == "ssh-rsa" && k.Bits() < least {
		list = append(list, Step{Code: "rsa-size", State: Stops, Where: "RequiredRSASize", What: fmt.Sprintf("the key has %d bits, and sshd wants %d", k.Bits(), least), Do: "ssh-keygen -t ed25519"})
	}
	return list
}

func algorithmsOf(k authkeys.Key) []string {
	switch k.Type() {
	case "ssh-rsa":
		return []string{"rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"}
	case "sk-ecdsa-sha2-nistp256@openssh.com":
		return []string{k.Type(), "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"}
	}
	return []string{k.Type()}
}

// hints are what goes wrong at the client, of which this host sees nothing.
func (f Facts) hints() []Step {
	var list []Step
	hint := func(code, what, do string) {
		list = append(list, Step{Code: code, State: Note, What: what, Do: do})
	}
	rsa, sk, count := false, false, 0
	for _, k := range f.Registry.Keys {
		if f.wants(k.Key) {
			count++
			rsa = rsa || k.Key.Type() == "ssh-rsa"
			sk = sk || strings.HasPrefix(k.Key.Type(), "sk-")
		}
	}
	for _, s := range f.Servers {
		if s.Err != nil {
			continue
		}
		if rsa && !slices.Contains(strings.Split(s.Settings.Text("PubkeyAcceptedAlgorithms"), ","), "ssh-rsa") {
			hint("client-sha1", "clients before OpenSSH 7.2, and some old libraries, sign with RSA keys by SHA-1 alone, which this sshd refuses", "a newer client, or an ed25519 key")
		}
		hint("client-agent", fmt.Sprintf("a client that offers many keys is cut off after %s that are refused (\"Too many authentication failures\"): an agent does that", s.Settings.Text("MaxAuthTries")),
			"ssh -v shows which are offered; ssh -o IdentitiesOnly=yes -i KEYFILE offers one")
		break
	}
	if sk {
		hint("client-sk", "keys on a token (sk-) need a client of OpenSSH 8.2 or newer, and the token", "")
	}
	if count == 0 && f.Wanted == "" {
		hint("client-key", "the key on the user's machine is not registered: check-key says what is wrong with one", "keyreeve check-key FILE")
	}
	return list
}
