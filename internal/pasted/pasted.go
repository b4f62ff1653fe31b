// Package pasted says what a person has pasted, or put into a file, where one public key was asked for.
//
// [Examine] is total: any bytes get a [Diagnosis], which is a stable code, sentences for somebody who is no expert, the commands that
// mend it and, where a key can be made out, the one line that should have been there. It looks for what people really send: a line that
// was broken, cut or decorated on its way, a key in the form of another program, a private key, something else from the same screen.
//
// # What is repeated
//
// Nothing of the text but a public key that was read from it, options of which names alone are to be shown, and a comment of printable ASCII whose words are short. So no byte of a private key,
// or of a piece of one that nothing tells from other text, is in a Diagnosis. A text that holds a private key anywhere gets none of its
// other keys back either, but for the public half in a file of PuTTY's.
//
// # What is called good
//
// One line that sshd takes as it stands (auth2-pubkeyfile.c), without options, in the spelling of ssh-keygen. A line that was mended is
// never called good: who registers it should compare its fingerprint with the one that "ssh-keygen -l -f FILE" shows at its owner's. Whether a centre
// accepts the key is the policy's matter.
//
// The package is pure: no I/O, no clock, no log.
package pasted

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// MaxSize is the most bytes that are looked at. The longest line that sshd(8) speaks of has 8 KiB.
const MaxSize = 64 << 10

// Diagnosis says what a text is.
type Diagnosis struct {
	Code Code
	// Says is for a person: sentences of printable ASCII without a line break.
	Says string
	// Do are commands for the person's own computer, one after the other; FILE in them is the file that has the text.
	Do []string
	// Line is the line that should have been there: an Entry without options. Its Kind is Blank where no single key could be made out.
	Line authkeys.Line
	// Options are those in front of the key (Code Options), and none where sshd does not take them as they stand. They are to be judged and not to
	// be shown: the value of one is foreign text, and may be a piece of a private key.
	Options authkeys.Options
}

// HasKey reports whether there is a Line.
func (d Diagnosis) HasKey() bool { return d.Line.Kind == authkeys.Entry }

// Examine says what a text is.
func Examine(text []byte) Diagnosis {
	whole := len(text) <= MaxSize
	if !whole {
		text = text[:MaxSize]
	}
	if Private(text) {
		return secret(string(text))
	}
	if d, is := noText(text); is && whole {
		return d
	}
	stages := repaired(text)
	for _, s := range stages {
		if private(s.text) {
			return secret(s.text)
		}
	}
	if !whole {
		return say(TooLong)
	}
	if d, is := asItStands(text); is {
		return d
	}
	var last Diagnosis
	for _, s := range stages {
		d, final := read(s.text)
		if d.Code == Good && alone(text)+"\n" != string(d.Line.AppendTo(nil)) { // no longer as it stood
			d = tell(s.by, d.Line)
		}
		if final {
			return d
		}
		last = d
	}
	return last
}

// asItStands reads a text that is one line as ssh-keygen writes it. Line breaks and blanks around it are those of every file and form.
func asItStands(text []byte) (Diagnosis, bool) {
	one := alone(text)
	line, err := authkeys.ParseValue([]byte(one))
	if err != nil || !line.Options.IsZero() || strings.Contains(line.Comment, beginning) || !strings.HasPrefix(one, line.Key.String()) {
		return Diagnosis{}, false
	}
	if !genuine(line.Key) {
		return say(Damaged), true
	}
	return tell(Good, entry(line.Key, line.Comment)), true
}

// alone is a text without blank lines before it, and without blanks around it. A carriage return before a key is none for sshd.
func alone(text []byte) string {
	rest := string(text)
	for {
		line, more, found := strings.Cut(rest, "\n")
		if !found || strings.Trim(line, " \t\r") != "" {
			return strings.TrimRight(strings.TrimLeft(rest, " \t"), " \t\r\n")
		}
		rest = more
	}
}

// read looks for what was asked for in a text. Final says that no repair of the text would tell more.
func read(text string) (d Diagnosis, final bool) {
	if d, is := block(text); is {
		return d, true
	}
	all := find(text)
	var sound []found
	for _, f := range all {
		if f.whole() {
			sound = append(sound, f)
		}
	}
	switch {
	case len(sound) > 0:
		return describe(text, all, sound), true
	case len(all) > 0:
		return all[0].diagnosis(), false
	}
	return without(text), false
}

// describe says how a key stands in a text. The sound ones are those of all that could be read.
func describe(text string, all, sound []found) Diagnosis {
	first := sound[0]
	for _, f := range all {
		if f.key != first.key {
			return say(SeveralKeys)
		}
	}
	p := placeOf(text, first)
	line := entry(first.key, p.comment)
	switch {
	case first.certified:
		return tell(Certificate, entry(first.key, ""))
	case p.authority():
		return say(CertAuthority)
	case p.host(line):
		return say(HostKey)
	case p.options():
		d := tell(Options, line)
		d.Options, _ = authkeys.ParseOptions(p.before)
		return d
	case first.fault != "":
		return tell(first.fault, line)
	case p.word == "":
		return tell(NoType, line)
	case p.word != first.key.Type():
		return tell(WrongType, line)
	case p.broken:
		return tell(Wrapped, line)
	case len(sound) > 1:
		return tell(Repeated, line)
	case strings.Trim(p.before, "> |") == "" && p.before != "" && !p.others:
		return tell(QuotedLines, line)
	case p.before != "" || p.others:
		return tell(TextAround, line)
	}
	return tell(Good, line)
}

// Bounds on the comment of a line that is given back.
const (
	maxComment = 100
	maxRun     = 20
)

// runs of base64 in a comment may be a piece of a private key, whose lines in PEM (RFC 7468 section 2) and in ssh-keygen's form run on for 64 and
// 70 characters. Names of people and hosts are shorter, or have dots and dashes.
var runs = regexp.MustCompile(fmt.Sprintf(`[A-Za-z0-9+/]{%d}`, maxRun+1))

// entry makes a line of a key and of a comment that may be shown.
func entry(key authkeys.Key, comment string) authkeys.Line {
	line := authkeys.Line{Kind: authkeys.Entry, Key: key}
	if len(comment) > maxComment || runs.MatchString(comment) {
		return line
	}
	line.Comment = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, comment))
	return line
}
