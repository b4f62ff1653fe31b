package authkeys

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// flagOption is an option without a value.
type flagOption struct {
	name      string // in lower case
	negatable bool   // "no-" may stand before it
}

// flags lists the options without value in the order in which sshauthopt_parse tries them. It compares prefixes, so
// a longer word fails only because no comma follows the prefix.
func flags() [9]flagOption {
	return [...]flagOption{
		{"restrict", false},
		{"cert-authority", false},
		{"port-forwarding", true},
		{"agent-forwarding", true},
		{"x11-forwarding", true},
		{"touch-required", true},
		{"verify-required", true},
		{"pty", true},
		{"user-rc", true},
	}
}

// valueOptions lists the options with a value.
func valueOptions() [8]string {
	return [...]string{
		"command", "principals", "from", "expiry-time", "environment", "permitopen", "permitlisten", "tunnel",
	}
}

// optionScanner reads an options field item by item.
type optionScanner struct {
	rest string
	text []byte   // canonical text so far
	once []string // options seen that may stand once only
}

// parseOptions reads options up to a blank outside quotes or the end; rest begins with that blank.
func parseOptions(field string) (options Options, rest string, err *ParseError) {
	s := &optionScanner{rest: field}
	for s.rest != "" && s.rest[0] != ' ' && s.rest[0] != '\t' {
		if err := s.item(); err != nil {
			return Options{}, "", err
		}
		if len(s.text) > maxOptions {
			return Options{}, "", oddOptions("more than %d bytes of options", maxOptions)
		}
		if s.rest == "" || s.rest[0] == ' ' || s.rest[0] == '\t' {
			break
		}
		if s.rest[0] != ',' {
			return Options{}, "", badOptions("unknown option or text after it: %s", quoted(s.rest))
		}
		s.rest = s.rest[1:]
	}
	return Options{text: string(s.text)}, s.rest, nil
}

// item reads one item. An empty or unknown one takes nothing, and the caller sees what stands there.
func (s *optionScanner) item() *ParseError {
	if s.rest[0] == ',' {
		return nil // soon, since a file may hold nothing but commas
	}
	for _, flag := range flags() {
		rest, negated := s.rest, ""
		if flag.negatable && hasPrefixFold(rest, "no-") {
			rest, negated = rest[len("no-"):], "no-"
		}
		if hasPrefixFold(rest, flag.name) {
			s.rest = rest[len(flag.name):]
			s.add(negated + flag.name)
			return nil
		}
	}
	for _, name := range valueOptions() {
		if hasPrefixFold(s.rest, name) && strings.HasPrefix(s.rest[len(name):], "=") {
			s.rest = s.rest[len(name)+1:]
			return s.value(name)
		}
	}
	return nil
}

// value reads and checks the value of an option.
func (s *optionScanner) value(name string) *ParseError {
	value, rest, err := dequote(s.rest)
	if err != nil {
		return badOptions("%s: %s", name, err.Error())
	}
	if !printable(value) {
		return oddOptions("%s: the value holds bytes that are not printable text", name)
	}
	switch name {
	case "command", "principals", "from":
		if slices.Contains(s.once, name) {
			return badOptions("%s stands twice", name)
		}
		s.once = append(s.once, name)
	default:
		if !validValue(name, value) {
			return badOptions("%s: bad value %s", name, quoted(value))
		}
	}
	s.rest = rest
	s.add(itemOf(name, value))
	return nil
}

// itemOf is the canonical item of an option with a value.
func itemOf(name, value string) string {
	return name + `="` + strings.ReplaceAll(value, `"`, `\"`) + `"`
}

// valueOf is the value of a canonical item.
func valueOf(item string) string {
	_, text, _ := strings.Cut(item, "=")
	value, _, _ := dequote(text) // it was made by itemOf
	return value
}

// add appends one canonical item.
func (s *optionScanner) add(item string) {
	if len(s.text) > 0 {
		s.text = append(s.text, ',')
	}
	s.text = append(s.text, item...)
}

// dequote takes a value in double quotes from the start of text (opt_dequote of misc.c): `\"` is a quote, every other
// backslash stands for itself.
func dequote(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", errNoQuote
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:], nil
		case text[i] == '\\' && strings.HasPrefix(text[i+1:], `"`):
			i++
		}
		b.WriteByte(text[i])
	}
	return "", "", errOpenQuote
}

// printable reports whether text is valid UTF-8 of printable characters and tabs. Controls of the writing direction are not
// printable in the sense of package unicode.
func printable(text string) bool {
	for _, r := range text {
		if r != '\t' && !unicode.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(text)
}

// lower makes ASCII letters small and leaves all other bytes alone, as tolower does in the C locale: Unicode folding would
// take a Kelvin sign for a k, which sshd does not.
func lower(text string) string {
	b := []byte(text)
	for i, c := range b {
		b[i] = lowerByte(c)
	}
	return string(b)
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// hasPrefixFold reports whether text begins with prefix, which is in lower case, in any ASCII case.
func hasPrefixFold(text, prefix string) bool {
	if len(text) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lowerByte(text[i]) != prefix[i] {
			return false
		}
	}
	return true
}
