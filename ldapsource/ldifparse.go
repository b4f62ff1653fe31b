package ldapsource

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// ldifLine is a line of an LDIF file after unfolding; a blank one has no text.
type ldifLine struct {
	n    int // the number of its first line in the file, from 1
	text []byte
}

// parseLDIF reads the entries of an LDIF file (RFC 2849, "ldif-content"). It is strict: whatever the grammar does not
// allow is an error, and so are changes ("changetype"), values in other files ("attr:<") and a name that comes twice.
func parseLDIF(data []byte) ([]Entry, error) {
	p, err := scanLDIF(data)
	return p.entries, err
}

// scanLDIF is parseLDIF that keeps on which line each entry begins; nothing comes with an error.
func scanLDIF(data []byte) (ldifParser, error) {
	if len(data) > 0 && data[len(data)-1] != '\n' {
		return ldifParser{}, errors.New("the last line has no end: the file was cut")
	}
	p := ldifParser{names: make(map[string]int)}
	for line, err := range unfold(data) {
		if err != nil {
			return ldifParser{}, err
		}
		if err := p.line(line); err != nil {
			return ldifParser{}, fmt.Errorf("line %d: %w", line.n, err)
		}
	}
	if err := p.end(); err != nil {
		return ldifParser{}, fmt.Errorf("at the end of the file: %w", err)
	}
	return p, nil
}

// unfold yields the lines without comments, each with the lines that continue it (RFC 2849 notes 2 and 4).
func unfold(data []byte) iter.Seq2[ldifLine, error] {
	return func(yield func(ldifLine, error) bool) {
		var pending ldifLine // n is 0 when nothing can be continued
		n := 0
		for raw := range bytes.Lines(data) {
			n++
			raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
			if len(raw) > 0 && raw[0] == ' ' {
				if len(pending.text) == 0 {
					yield(ldifLine{}, fmt.Errorf("line %d: continues nothing", n))
					return
				}
				if pending.text[0] != '#' {
					pending.text = append(pending.text, raw[1:]...)
				}
				continue
			}
			if !emit(pending, yield) {
				return
			}
			// Clip makes the append above copy instead of writing into data.
			pending = ldifLine{n: n, text: slices.Clip(raw)}
		}
		emit(pending, yield)
	}
}

// emit yields a line unless it is a comment or none.
func emit(line ldifLine, yield func(ldifLine, error) bool) bool {
	if line.n == 0 || (len(line.text) > 0 && line.text[0] == '#') {
		return true
	}
	return yield(line, nil)
}

// ldifParser collects entries line by line.
type ldifParser struct {
	entries []Entry
	names   map[string]int // the line of each entry's name, in lower case
	started bool           // a line with text was seen
	open    bool           // the last entry may get more attributes
}

// line takes one unfolded line.
func (p *ldifParser) line(line ldifLine) error {
	if len(line.text) == 0 {
		return p.end()
	}
	name, value, err := parseAttribute(line.text)
	if err != nil {
		return err
	}
	first := !p.started
	p.started = true
	switch lower := strings.ToLower(name); {
	case lower == "version" && first:
		if string(value) != "1" {
			return fmt.Errorf("version %q of LDIF is unknown", value)
		}
		return nil
	case lower == "dn":
		return p.begin(string(value), line.n)
	case !p.open:
		return fmt.Errorf("%q where an entry must begin with its dn", name)
	case lower == "changetype", lower == "control":
		return fmt.Errorf("%q: this file holds changes, not entries", name)
	}
	p.add(name, value)
	return nil
}

// begin opens the entry with a name.
func (p *ldifParser) begin(dn string, n int) error {
	if p.open {
		return errors.New("a second dn in one entry")
	}
	if dn == "" {
		return errors.New("an entry without a name")
	}
	folded := strings.ToLower(dn)
	if before, double := p.names[folded]; double {
		return fmt.Errorf("entry %q stands on line %d already", dn, before)
	}
	p.names[folded] = n
	p.entries = append(p.entries, Entry{DN: dn})
	p.open = true
	return nil
}

// add gives the open entry one more value.
func (p *ldifParser) add(name string, value []byte) {
	e := &p.entries[len(p.entries)-1]
	for i := range e.Attributes {
		if strings.EqualFold(e.Attributes[i].Name, name) {
			e.Attributes[i].Values = append(e.Attributes[i].Values, value)
			return
		}
	}
	e.Attributes = append(e.Attributes, Attribute{Name: name, Values: [][]byte{value}})
}

// end closes the open entry, if there is one.
func (p *ldifParser) end() error {
	if p.open && len(p.entries[len(p.entries)-1].Attributes) == 0 {
		return fmt.Errorf("entry %q has no attributes", p.entries[len(p.entries)-1].DN)
	}
	p.open = false
	return nil
}

// parseAttribute splits "name: value", "name:: base64" and refuses "name:< url".
func parseAttribute(text []byte) (name string, value []byte, err error) {
	left, right, found := bytes.Cut(text, []byte(":"))
	if !found {
		return "", nil, errors.New("no colon")
	}
	name = string(left)
	if err := checkDescription(name); err != nil {
		return "", nil, err
	}
	switch {
	case bytes.HasPrefix(right, []byte(":")):
		value, err = base64.StdEncoding.Strict().DecodeString(string(bytes.TrimLeft(right[1:], " ")))
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", name, err)
		}
		return name, value, nil
	case bytes.HasPrefix(right, []byte("<")):
		return "", nil, fmt.Errorf("%s: a value in another file is refused", name)
	}
	value = bytes.TrimLeft(right, " ")
	if err := checkSafe(value); err != nil {
		return "", nil, fmt.Errorf("%s: %w", name, err)
	}
	return name, value, nil
}

// checkSafe holds a value to SAFE-STRING of RFC 2849.
func checkSafe(value []byte) error {
	for i, c := range value {
		if c == 0 || c == '\r' || c >= 0x80 || (i == 0 && (c == ':' || c == '<')) {
			return fmt.Errorf("byte %#02x at place %d must be written in base64", c, i+1)
		}
	}
	return nil
}

// checkDescription holds an attribute description to RFC 4512 section 2.5: a name or dotted numbers, then options.
func checkDescription(description string) error {
	for i, part := range strings.Split(description, ";") {
		letter := i > 0 // an option may begin with a digit
		for j, c := range []byte(part) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
				letter = letter || j == 0
			case '0' <= c && c <= '9', j > 0 && c == '-':
			case c == '=' && i > 0: // Active Directory's range=0-*
			case c == '*' && i > 0:
			case c == '.' && i == 0 && j > 0 && !letter:
			default:
				return fmt.Errorf("%q is not the name of an attribute", description)
			}
		}
		if part == "" {
			return fmt.Errorf("%q is not the name of an attribute", description)
		}
	}
	return nil
}
