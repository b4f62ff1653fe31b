package authkeys

import (
	"iter"
	"strings"
)

// maxOptions is the most bytes of canonical options text. The bound is this package's, sshd has none: it makes a line fit
// into the 8 KiB that sshd(8) speaks of, and keeps the numbers of environment and permit items below sshd's own bounds
// (SSH_AUTHOPT_ENV_MAX, SSH_AUTHOPT_PERMIT_MAX), which therefore need no count here.
const maxOptions = 4096

// Options are the options of a line in canonical form: names in lower case, values in double quotes with `\"` for a quote,
// one comma between items, no empty items, order as it was read. Options are comparable; the zero Options are none.
type Options struct {
	text string
}

// String is the canonical text, "" for none. sshd reads it as it read the original.
func (o Options) String() string { return o.text }

// IsZero reports whether there are no options.
func (o Options) IsZero() bool { return o.text == "" }

// Has reports whether an option of this name is there; name is in lower case and without "=", like "command" or "no-pty".
func (o Options) Has(name string) bool {
	for have := range o.items() {
		if have == name {
			return true
		}
	}
	return false
}

// CertAuthority reports whether the line makes its key a certificate authority: it has cert-authority, or principals, which
// means nothing else. Such a line admits keys that stand nowhere in it.
func (o Options) CertAuthority() bool {
	return o.Has("cert-authority") || o.Has("principals")
}

// Widening reports whether an option of this name only adds to what a line may do without it, so that a key is not worth more when it is
// taken out: those that add to what a plain line allows, and the switches that undo a restrict, or a no-, of the same line.
func Widening(name string) bool {
	switch name {
	case "port-forwarding", "agent-forwarding", "x11-forwarding", "pty", "user-rc":
		return true
	}
	return BeyondPlain(name)
}

// BeyondPlain reports whether an option adds to what a line without options allows.
func BeyondPlain(name string) bool {
	switch name {
	case "environment", "tunnel", "no-touch-required", "no-verify-required", "cert-authority", "principals":
		return true
	}
	return false
}

// Narrowing gives the options that can only take rights away from a key which the registry grants without options: all but
// those that add to what a plain line allows, which are environment, tunnel, no-touch-required, no-verify-required,
// cert-authority and principals. Switches like pty stay, because they only undo a restrict of the same line.
func (o Options) Narrowing() Options {
	return o.Only(func(name string) bool { return !BeyondPlain(name) })
}

// Only gives the options whose names are kept, in their order.
func (o Options) Only(keep func(name string) bool) Options {
	var kept []byte
	for name, item := range o.items() {
		if !keep(name) {
			continue
		}
		if len(kept) > 0 {
			kept = append(kept, ',')
		}
		kept = append(kept, item...)
	}
	return Options{text: string(kept)}
}

// Names yields the name of each option, in lower case and in their order; one that stands twice comes twice.
func (o Options) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range o.items() {
			if !yield(name) {
				return
			}
		}
	}
}

// OptionNames lists the names of all options that a line can have, in lower case: switches with their negations, then those with a value.
func OptionNames() []string {
	var names []string
	for _, flag := range flags() {
		names = append(names, flag.name)
		if flag.negatable {
			names = append(names, "no-"+flag.name)
		}
	}
	values := valueOptions()
	return append(names, values[:]...)
}

// items yields name and whole text of each item of the canonical text.
func (o Options) items() iter.Seq2[string, string] {
	return func(yield func(name, item string) bool) {
		rest := o.text
		for rest != "" {
			end := itemEnd(rest)
			item := rest[:end]
			name, _, _ := strings.Cut(item, "=")
			if !yield(name, item) {
				return
			}
			rest = strings.TrimPrefix(rest[end:], ",")
		}
	}
}

// itemEnd is the length of the first item of canonical text: up to a comma outside quotes, or all of it.
func itemEnd(text string) int {
	quotes := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && strings.HasPrefix(text[i+1:], `"`):
			i++
		case text[i] == '"':
			quotes = !quotes
		case text[i] == ',' && !quotes:
			return i
		}
	}
	return len(text)
}

// ParseOptions reads an options field by the grammar of sshauthopt_parse (auth-options.c): names in any case, empty items,
// values in double quotes. An unknown option, a value that sshd refuses when it reads the line, a second command, from or
// principals, a blank outside quotes: each is an error, because sshd then refuses the whole line.
//
// Two bounds are this package's own, since the canonical text must be safe to show and to store: every value is valid UTF-8
// of printable characters and tabs, and the canonical text has at most 4096 bytes.
//
// The error is a *ParseError with the reason "malformed-options".
func ParseOptions(field string) (Options, error) {
	options, rest, err := parseOptions(field)
	if err != nil {
		return Options{}, err
	}
	if rest != "" {
		return Options{}, badOptions("a blank outside of quotes")
	}
	return options, nil
}
