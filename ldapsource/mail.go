package ldapsource

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"

	"github.com/keyreeve/keyreeve/registry"
)

// The bounds of RFC 5321 section 4.5.3.1: a path has 256 bytes with its two brackets.
const (
	maxMail  = 254
	maxLocal = 64
)

// address is a Mailbox of RFC 5321 section 4.1.2 whose local part is a Dot-string and whose domain is no address literal: it has no byte
// that ends a header, a list of addresses or an argument. A quoted local part, and letters beyond ASCII (RFC 6531), are left out.
var address = regexp.MustCompile(`^(` + dotted("[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+") + `)@` + dotted(`[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?`) + `$`)

func dotted(part string) string { return part + `(?:\.` + part + `)*` }

// mail fills in one of the addresses of an entry, always the same one whatever the order of the values. One that is none costs that value.
func (s Schema) mail(u *registry.User, e Entry) {
	if s.Mail == "" {
		return
	}
	if e.tooBig(s.Mail) {
		reject(u, e, codeTooBig, fmt.Sprintf("%s: more than %d KiB of values, of which none counts", s.Mail, maxAttribute>>10))
	}
	for _, value := range slices.SortedFunc(slices.Values(e.values(s.Mail)), bytes.Compare) {
		parts := address.FindSubmatch(value)
		switch {
		case parts == nil || len(value) > maxMail || len(parts[1]) > maxLocal || value[0] == '-':
			reject(u, e, codeMail, fmt.Sprintf("%s: %s is no plain address of RFC 5321", s.Mail, quote(value)))
		case u.Mail == "":
			u.Mail = string(value)
		}
	}
}
