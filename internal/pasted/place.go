package pasted

import (
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// place is what stands around a key.
type place struct {
	before  string // on the line, in front of the type's word
	word    string // that seems to be the type's; with the key right behind it, it has no blank and is that of no type
	comment string
	broken  bool // the line ends between the word and the key
	others  bool // there are other lines
}

// letters are those of a type's word.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@._-"

func placeOf(text string, f found) (p place) {
	ahead := text[:f.start]
	left := strings.TrimRight(ahead, " \t\r\n")
	begin := strings.TrimRight(left, letters)
	if word := left[len(begin):]; typelike(word) {
		p.word, p.broken = word, strings.ContainsAny(ahead[len(left):], "\r\n")
		if len(left) == len(ahead) {
			p.word += beginning
		}
		ahead = begin
	}
	line := strings.LastIndexAny(ahead, "\r\n") + 1
	p.before = strings.Trim(ahead[line:], " \t")
	behind := text[f.end:]
	end := strings.IndexAny(behind, "\r\n")
	if end < 0 {
		end = len(behind)
	}
	p.comment = strings.Trim(behind[:end], " \t")
	p.others = strings.TrimSpace(ahead[:line]+behind[end:]) != ""
	if p.before != "" { // what closes there is no part of the comment
		if i := strings.IndexByte(p.comment, p.before[len(p.before)-1]); i >= 0 && strings.ContainsAny(p.before[len(p.before)-1:], "\"'`") {
			p.comment = strings.Trim(p.comment[:i], " \t")
		}
	}
	return p
}

// typelike says whether a word was meant to be that of a type.
func typelike(word string) bool {
	const longest = 40
	word = strings.ToLower(word)
	for _, part := range []string{"ssh", "rsa", "ed25519", "ecdsa", "dss", "dsa"} {
		if len(word) <= longest && strings.Contains(word, part) {
			return true
		}
	}
	return false
}

// options says whether the options of authorized_keys stand in front of a key, good ones or bad ones.
func (p place) options() bool {
	if o, err := authkeys.ParseOptions(p.before); err == nil {
		return !o.IsZero()
	}
	name := strings.ToLower(p.before)
	for _, option := range []string{"command=", "from=", "environment=", "permitopen=", "permitlisten=", "expiry-time=", "tunnel=", "no-", "restrict"} {
		if strings.HasPrefix(name, option) {
			return true
		}
	}
	return false
}

// authority says whether the line would let a certificate authority's keys in, here or in known_hosts.
func (p place) authority() bool {
	if o, err := authkeys.ParseOptions(p.before); err == nil {
		return o.CertAuthority()
	}
	return strings.HasPrefix(p.before, "@cert-authority")
}

// host says whether the line is one of known_hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT) or of ssh-keyscan: names of hosts are in front of
// the key. One word that could be anything counts where no comment says whose the key is.
func (p place) host(line authkeys.Line) bool {
	names := p.before
	switch {
	case names == "" || p.options():
		return false
	case strings.HasPrefix(names, "|1|"), strings.HasPrefix(names, "@revoked"), strings.HasPrefix(names, "["):
		return true
	case p.word != line.Key.Type() || strings.Trim(names, letters+",:*?!") != "" || strings.HasSuffix(names, ":"):
		return false
	}
	return strings.ContainsAny(names, ".:,") || line.Comment == ""
}
