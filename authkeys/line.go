package authkeys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Kind is what sshd takes a line for.
type Kind int

// The kinds of lines.
const (
	Blank     Kind = iota // nothing but blanks
	Comment               // "#" is the first character after blanks
	Entry                 // a key, with options that sshd accepts
	Malformed             // everything else: sshd passes over it
)

// String is the name of the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Blank:
		return "blank"
	case Comment:
		return "comment"
	case Entry:
		return "entry"
	case Malformed:
		return "malformed"
	default:
		return "unknown"
	}
}

// Line is one line of an authorized_keys file.
type Line struct {
	N    int  // number in the file, from 1
	Kind Kind // what sshd takes it for

	// Key is the key of an Entry. A Malformed line has it too where only the options are at fault, so that a report can
	// name the key; such a line is still no Entry.
	Key     Key
	Options Options // of an Entry
	Comment string  // of an Entry: clean, at most 1024 bytes
	Raw     string  // what was read, without the LF
	Err     error   // of a Malformed line: a *ParseError
}

// Taken reports whether sshd may let somebody in by the line: by that of an Entry, and by one that is Malformed here alone.
func (l Line) Taken() bool {
	err, is := errors.AsType[*ParseError](l.Err)
	return l.Kind == Entry || is && err.taken
}

// Parse splits text into lines and reads each as sshd does (auth2-pubkeyfile.c). It is total. Only LF ends a line, and a last
// line without it counts; so the Raw of all lines, each with an LF behind it, give text again, but for that last LF.
//
// As for sshd, a NUL ends a line early: what stands before it counts, the rest does not. Two differences are on purpose. A
// line of blanks and one CR is Blank here, where sshd looks for a key in vain. And options that sshd accepts but
// ParseOptions does not, for their bytes or their length, make the line Malformed.
func Parse(text []byte) []Line {
	if len(text) == 0 {
		return nil
	}
	all := strings.TrimSuffix(string(text), "\n")
	lines := make([]Line, 0, strings.Count(all, "\n")+1)
	for raw := range strings.SplitSeq(all, "\n") {
		line := parseLine(raw)
		line.N = len(lines) + 1
		lines = append(lines, line)
	}
	return lines
}

// Keys are the keys of a text of lines, whatever their options say. A line that is neither blank nor a comment and holds no key is an error with its
// number: what stood there is not known.
func Keys(text []byte) ([]Key, error) {
	var keys []Key
	for _, line := range Parse(text) {
		switch {
		case !line.Key.IsZero():
			keys = append(keys, line.Key)
		case line.Kind == Malformed || line.Kind == Entry:
			return nil, fmt.Errorf("line %d: %w", line.N, line.Err)
		}
	}
	return keys, nil
}

// ParseValue reads the value of one key attribute of a registry: a line of authorized_keys with options and comment or
// without. Newlines at the end and blanks around are tolerated; the result is always an Entry. Anything else is a
// *ParseError: several lines, a comment, a certificate, a NUL, a line over 8 KiB in canonical form.
func ParseValue(value []byte) (Line, error) {
	text := strings.TrimRight(string(value), "\r\n")
	switch {
	case strings.Contains(text, "\n"):
		return Line{}, &ParseError{Reason: ReasonMalformedKey, Detail: "more than one line"}
	case strings.Contains(text, "\x00"):
		return Line{}, &ParseError{Reason: ReasonMalformedKey, Detail: "a NUL byte"}
	}
	line := parseLine(text)
	line.N = 1
	switch line.Kind {
	case Entry:
		if size := len(line.AppendTo(nil)); size > maxLine {
			return Line{}, malformedKey("a line of %d bytes, at most %d are allowed", size, maxLine)
		}
		return line, nil
	case Malformed:
		return Line{}, line.Err
	case Blank, Comment:
	}
	return Line{}, &ParseError{Reason: ReasonNoKey, Detail: "no key but a " + line.Kind.String() + " line"}
}

// parseLine reads one line; its number is not set.
func parseLine(raw string) Line {
	line := Line{Raw: raw}
	seen, _, _ := strings.Cut(raw, "\x00")
	seen = trimBlanks(seen)
	switch {
	case seen == "", seen == "\r":
		line.Kind = Blank
		return line
	case seen[0] == '#':
		line.Kind = Comment
		return line
	}
	key, options, comment, err := parseEntry(seen)
	line.Key = key
	if err != nil {
		line.Kind, line.Err = Malformed, err
		return line
	}
	line.Kind, line.Options, line.Comment = Entry, options, cleanComment(comment)
	return line
}

// parseEntry reads a key line as auth_check_authkey_line does: first "TYPE BLOB" at the start; if there is none, the start is
// the options field and "TYPE BLOB" follows it. sshd tries a known type with a bad blob as options too, which never
// succeeds: no name of a type is an option.
func parseEntry(seen string) (Key, Options, string, error) {
	first, _, _ := cutBlank(seen)
	if typeByName(first) != "" {
		key, comment, err := readKey(seen)
		if err != nil {
			return Key{}, Options{}, "", err
		}
		return key, Options{}, comment, nil
	}
	end, open := optionsEnd(seen)
	if open {
		return Key{}, Options{}, "", badOptions("a double quote is not closed")
	}
	rest := trimBlanks(seen[end:])
	second, _, found := cutBlank(rest)
	switch {
	case !found:
		return Key{}, Options{}, "", &ParseError{Reason: ReasonNoKey, Detail: "fewer fields than a key type and a key"}
	case typeByName(second) == "":
		detail := "neither " + quoted(first) + " nor " + quoted(second) + " is a key type"
		return Key{}, Options{}, "", &ParseError{Reason: ReasonTypeUnknown, Detail: detail}
	}
	key, comment, err := readKey(rest)
	if err != nil {
		return Key{}, Options{}, "", err
	}
	options, _, err := parseOptions(seen)
	if err != nil {
		return key, Options{}, "", err
	}
	return key, options, comment, nil
}

// optionsEnd finds the first blank outside quotes (sshkey_advance_past_options of authfile.c); open says that a quote is not
// closed.
func optionsEnd(text string) (end int, open bool) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && strings.HasPrefix(text[i+1:], `"`):
			i++
		case c == '"':
			open = !open
		case !open && (c == ' ' || c == '\t'):
			return i, false
		}
	}
	return len(text), open
}

// readKey reads "TYPE BLOB", where TYPE is a known name, and gives what follows the blanks after it (sshkey_read of
// sshkey.c).
func readKey(text string) (Key, string, *ParseError) {
	name, rest, _ := cutBlank(text)
	if rest == "" {
		return Key{}, "", &ParseError{Reason: ReasonNoKey, Detail: "no key after " + quoted(name)}
	}
	encoded, comment, _ := cutBlank(rest)
	blob, ok := decodeBase64(encoded)
	if !ok {
		return Key{}, "", malformedKey("bad base64 after %s", quoted(name))
	}
	key, err := parseBlob(blob)
	if err != nil {
		return Key{}, "", err
	}
	if key.Type() != typeByName(name) {
		return Key{}, "", malformedKey("the line says %s, the key is %s", quoted(name), key.Type())
	}
	return key, comment, nil
}

// cutBlank splits at the first run of SPACE and TAB; found says that there is one.
func cutBlank(text string) (before, after string, found bool) {
	i := strings.IndexAny(text, " \t")
	if i < 0 {
		return text, "", false
	}
	return text[:i], trimBlanks(text[i:]), true
}

// trimBlanks drops leading SPACE and TAB, the only blanks that sshd knows.
func trimBlanks(text string) string { return strings.TrimLeft(text, " \t") }

// decodeBase64 decodes as b64_pton of BIND does, which sshd uses: white space in the sense of isspace(3) is skipped
// anywhere, also between and after the padding; padding must be there and exact, unused bits must be zero.
func decodeBase64(text string) ([]byte, bool) {
	if strings.ContainsAny(text, "\t\n\v\f\r ") {
		dense := make([]byte, 0, len(text))
		for i := range len(text) {
			if c := text[i]; c != ' ' && (c < '\t' || c > '\r') {
				dense = append(dense, c)
			}
		}
		text = string(dense)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(text)
	return blob, err == nil
}
