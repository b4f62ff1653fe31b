package authkeys_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/authkeys"
)

const keyA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnxoe+mmuhR7yxmTmqCw1YYMfdhbsay07eRJlF1T1ve"

func TestParseKinds(t *testing.T) {
	cases := []struct {
		text string
		kind authkeys.Kind
		out  string
	}{
		{"\n", authkeys.Blank, "\n"},
		{" \t\n", authkeys.Blank, "\n"},
		{"\r\n", authkeys.Blank, "\n"},
		{"\x00" + keyA, authkeys.Blank, ""},
		{" \x00", authkeys.Blank, ""},
		{"\r\r", authkeys.Malformed, ""},
		{"# note\r\n", authkeys.Comment, "# note\n"},
		{" \t# é\t", authkeys.Comment, " \t# é\t\n"},
		{"# a\rb", authkeys.Comment, ""},
		{"# a\r\r", authkeys.Comment, ""},
		{"# a\x00b", authkeys.Comment, ""},
		{"# a\u202eb", authkeys.Comment, ""},
		{"# \xff", authkeys.Comment, ""},
		{"# a\vb", authkeys.Comment, ""},
		{"#" + strings.Repeat("x", 8191), authkeys.Comment, "#" + strings.Repeat("x", 8191) + "\n"},
		{"#" + strings.Repeat("x", 8192), authkeys.Comment, ""},
		{keyA, authkeys.Entry, keyA + "\n"},
		{" \t" + keyA + "  two  words \t\r\n", authkeys.Entry, keyA + " two  words\n"},
		{keyA + "\x00" + keyA, authkeys.Entry, keyA + "\n"},
		{keyA + " a\x00b", authkeys.Entry, keyA + " a\n"},
		{keyA + " a\tb\vc", authkeys.Entry, keyA + " a b c\n"},
		{keyA + " J\xfcrgen \u202e\u2028x", authkeys.Entry, keyA + " J\ufffdrgen   x\n"},
		{keyA + " " + keyA, authkeys.Entry, keyA + " " + keyA + "\n"},
		{"restrict,\t" + keyA, authkeys.Entry, "restrict " + keyA + "\n"},
		{",\t" + keyA, authkeys.Entry, keyA + "\n"},
		{"Command=\"a  b\" " + keyA + " c", authkeys.Entry, "command=\"a  b\" " + keyA + " c\n"},
		{"command=\"a b " + keyA, authkeys.Malformed, ""},
		{"command=\"a\x00\" " + keyA, authkeys.Malformed, ""},
		{"foo " + keyA, authkeys.Malformed, ""},
		{"restrict pty " + keyA, authkeys.Malformed, ""},
		{"\ufeff" + keyA, authkeys.Malformed, ""},
		{"\v" + keyA, authkeys.Malformed, ""},
		{"ssh-ed25519 ", authkeys.Malformed, ""},
		{"restrict ssh-ed25519", authkeys.Malformed, ""},
		{"ssh-rsa " + strings.Fields(keyA)[1], authkeys.Malformed, ""},
		{"ssh-ed25519 " + keyA, authkeys.Malformed, ""},
	}
	for _, c := range cases {
		lines := authkeys.Parse([]byte(c.text))
		if len(lines) != 1 {
			t.Errorf("%q gives %d lines", c.text, len(lines))
			continue
		}
		if lines[0].Kind != c.kind {
			t.Errorf("%q is a %s line (%v), want %s", c.text, lines[0].Kind, lines[0].Err, c.kind)
		}
		if out := string(lines[0].AppendTo([]byte("|"))); out != "|"+c.out {
			t.Errorf("%q is written as %q, want %q", c.text, out, c.out)
		}
		checkLaws(t, []byte(c.text))
	}
}

func TestParseSplitsAtLFOnly(t *testing.T) {
	cases := map[string]int{"": 0, "\n": 1, "a": 1, "a\n": 1, "a\n\n": 2, "a\nb": 2, "a\rb\u2028c\vd": 1, "\n\n\n": 3}
	for text, want := range cases {
		if got := len(authkeys.Parse([]byte(text))); got != want {
			t.Errorf("%q: %d lines, want %d", text, got, want)
		}
	}
}

// A line whose options alone are at fault names its key, and still is no Entry and is not written.
func TestMalformedOptionsKeepTheKey(t *testing.T) {
	key := testKeys(t)["A"]
	for _, options := range []string{"foo", "command=\"a\rb\"", `command="` + strings.Repeat("x", 5000) + `"`} {
		l := authkeys.Parse([]byte(options + " " + keyA))[0]
		if l.Kind != authkeys.Malformed || l.Key != key || !l.Options.IsZero() || len(l.AppendTo(nil)) > 0 {
			t.Errorf("%.20q: %s line with key %v, options %q", options, l.Kind, l.Key, l.Options)
		}
	}
}

func TestCommentIsCutBetweenCharacters(t *testing.T) {
	l := authkeys.Parse([]byte(keyA + " x" + strings.Repeat("é", 2000)))[0]
	if len(l.Comment) != 1023 || !utf8.ValidString(l.Comment) {
		t.Errorf("comment of %d bytes, valid %v", len(l.Comment), utf8.ValidString(l.Comment))
	}
}

// A line made by hand can not smuggle a second line into the file.
func TestAppendToCleansAHandMadeLine(t *testing.T) {
	l := authkeys.Line{Kind: authkeys.Entry, Key: testKeys(t)["A"], Comment: "a\nssh-rsa b\x00"}
	if got, want := string(l.AppendTo(nil)), keyA+" a ssh-rsa b\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, l := range []authkeys.Line{
		{Kind: authkeys.Entry},
		{Kind: authkeys.Comment, Raw: "# a\n" + keyA},
		{Kind: authkeys.Blank, Raw: "\n"},
		{Kind: authkeys.Comment, Raw: keyA},
		{Kind: authkeys.Blank, Raw: keyA},
	} {
		if got := l.AppendTo(nil); strings.Contains(string(got), keyA) || strings.Count(string(got), "\n") > 1 {
			t.Errorf("%+v is written as %q", l, got)
		}
	}
}

func TestParseValue(t *testing.T) {
	for _, value := range []string{keyA, keyA + "\n", keyA + " c\r\n\r\n", "  " + keyA + " ", "restrict " + keyA} {
		l, err := authkeys.ParseValue([]byte(value))
		if err != nil || l.Kind != authkeys.Entry || l.Key != testKeys(t)["A"] || l.N != 1 {
			t.Errorf("%q: %+v, %v", value, l, err)
		}
	}
	refused := map[string]string{
		"":                         "no-key",
		"\n":                       "no-key",
		"# " + keyA:                "no-key",
		keyA + "\n" + keyA:         "malformed-key",
		"\n" + keyA:                "malformed-key",
		keyA + "\x00":              "malformed-key",
		"foo " + keyA:              "malformed-options",
		"ssh-foo AAAA x":           "type-unknown",
		strings.Fields(keyA)[1]:    "no-key",
		keyA[:len(keyA)-1]:         "malformed-key",
		"ssh-ed25519 \xff\x1b[31m": "malformed-key",
	}
	for value, want := range refused {
		l, err := authkeys.ParseValue([]byte(value))
		failure, ok := errors.AsType[*authkeys.ParseError](err)
		if !ok || failure.Reason != want || l.Kind != authkeys.Blank || !l.Key.IsZero() || l.Raw != "" {
			t.Errorf("%q: %+v, %v; want reason %s and no line", value, l, err, want)
		}
	}
}

// An application string of a security key has no bound in sshd; a registry may not fill the file with one.
func TestParseValueBoundsTheLine(t *testing.T) {
	blob := fields("sk-ssh-ed25519@openssh.com", strings.Repeat("p", 32), strings.Repeat("a", 7000))
	key, err := authkeys.ParseBlob(blob)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authkeys.ParseValue([]byte(key.String())); err == nil {
		t.Error("a line of over 8 KiB is not refused")
	}
}

// Errors show foreign bytes escaped and cut.
func TestErrorsAreHarmless(t *testing.T) {
	evil := "\x1b]0;x\x07\u202e" + strings.Repeat("A", 1000)
	for _, text := range []string{evil, evil + " " + evil + " x", "a " + evil, evil + " " + keyA, "ssh-ed25519 " + evil, `tunnel="` + strings.Repeat("é", 900) + `" ` + keyA} {
		err := authkeys.Parse([]byte(text))[0].Err
		if err == nil {
			t.Fatalf("%q is no error", text)
		}
		if message := err.Error(); len(message) > 500 || strings.ContainsFunc(message, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", message)
		}
	}
}

// A line of somebody's private key, as it stands in a mail or a table, is in no error: reports are handed on.
func TestErrorsRepeatNoPrivateKey(t *testing.T) {
	const secret = "QyNTUxOQAAACBKm+XR30NBbCRKUrhxDxTbodziLhUtvyuiHu9uxrKlUQAAAJA62B1JOtgd" // of a pair that was thrown away
	for _, text := range []string{"| " + secret + " |", secret + " a b", "3 " + secret + " $", "command=" + secret + " " + keyA, `tunnel="` + secret + `" ` + keyA, "restrict," + secret + " " + keyA, "ssh-rsa " + secret} {
		if err := authkeys.Parse([]byte(text))[0].Err; err == nil || strings.Contains(err.Error(), secret[:9]) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A line that holds no key, and is neither blank nor a comment, is an error with its number: nobody knows what it was meant for.
func TestKeys(t *testing.T) {
	for text, want := range map[string]int{"": 0, "\n# x\n \t\n": 0, keyA: 1, keyA + "\r\ncert-authority " + keyA + " x\nodd-option " + keyA + "\n": 3} {
		if keys, err := authkeys.Keys([]byte(text)); err != nil || len(keys) != want {
			t.Errorf("%q: %d keys, %v; want %d", text, len(keys), err, want)
		}
	}
	for _, line := range []string{"x", keyA[:50], "SHA256:x", "restrict", "@cert-authority * " + keyA} {
		if keys, err := authkeys.Keys([]byte(keyA + "\n#\n" + line + "\n")); err == nil || !strings.HasPrefix(err.Error(), "line 3: ") || keys != nil {
			t.Errorf("%q: %v, %v", line, keys, err)
		}
	}
}
