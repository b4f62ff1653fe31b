package ldapsource

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseLDIF(t *testing.T) {
	want := []Entry{
		{DN: "uid=a,dc=x", Attributes: []Attribute{attribute("cn", "one two", "three"), attribute("sn;lang-de", "")}},
		{DN: "uid=b,dc=x", Attributes: []Attribute{attribute("1.2.3", "M\u00fcller")}},
	}
	for name, text := range map[string]string{
		"plain":                 "version: 1\n\n\ndn: uid=a,dc=x\ncn: one two\ncn: three\nsn;lang-de:\n\n\ndn: uid=b,dc=x\n1.2.3:: TcO8bGxlcg==\n\n",
		"no version, no blanks": "dn:uid=a,dc=x\ncn:one two\nCN:    three\nsn;lang-de: \n\ndn:: dWlkPWIsZGM9eA==\n1.2.3::TcO8bGxlcg==\n",
		"CRLF":                  "version: 1\r\ndn: uid=a,dc=x\r\ncn: one two\r\ncn: three\r\nsn;lang-de:\r\n\r\ndn: uid=b,dc=x\r\n1.2.3:: TcO8bGxlcg==\r\n",
		"folded":                "dn: uid=a\n ,dc=x\ncn: one\n  t\n w\n o\ncn: \n three\nsn;lang-de:\n \n\ndn: uid=b,dc=x\n1.2.3:\n : TcO8\n bGxlcg==\n",
		"comment":               "# one\n# two\n continued: as comment\nversion: 1\n# x\ndn: uid=a,dc=x\n#cn: no\ncn: one two\ncn: three\nsn;lang-de:\n\n#\n\ndn: uid=b,dc=x\n1.2.3:: TcO8bGxlcg==\n# end\n",
	} {
		got, err := parseLDIF([]byte(text))
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Errorf("%s: %v %s", name, err, d)
		}
	}
}

func TestParseLDIFRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"cut in a line", "dn: dc=x\ndc: x\nou: pe", "the file was cut"},
		{"cut in base64", "dn: dc=x\ndc:: TcO8bGxlc\n", "line 2: dc: illegal base64"},
		{"loose base64", "dn: dc=x\ndc:: TcO8bGxlch==\n", "line 2: dc: illegal base64"},
		{"no dn", "cn: a\n", `line 1: "cn" where an entry must begin`},
		{"no dn in the second", "dn: dc=x\ndc: x\n\ncn: a\n", `line 4: "cn" where an entry must begin`},
		{"two dns", "dn: dc=x\ndn: dc=y\n", "line 2: a second dn"},
		{"empty dn", "dn:\ndc: x\n", "line 1: an entry without a name"},
		{"nothing in it", "dn: dc=x\n\n", `line 2: entry "dc=x" has no attributes`},
		{"nothing in the last", "dn: dc=x\n", `at the end of the file: entry "dc=x" has no attributes`},
		{"a name twice", "dn: dc=x\ndc: x\n\ndn: DC=x\ndc: x\n", `line 4: entry "DC=x" stands on line 1 already`},
		{"a change", "dn: dc=x\nchangetype: delete\n", "line 2: \"changetype\": this file holds changes"},
		{"a control", "dn: dc=x\ncontrol: 1.2.3\n", "line 2: \"control\": this file holds changes"},
		{"a change's dash", "dn: dc=x\ndc: x\n-\n", "line 3: no colon"},
		{"a file", "dn: dc=x\njpegPhoto:< file:///etc/shadow\n", "line 2: jpegPhoto: a value in another file is refused"},
		{"version 2", "version: 2\ndn: dc=x\ndc: x\n", `line 1: version "2"`},
		{"a late version", "dn: dc=x\ndc: x\n\nversion: 1\n", `line 4: "version" where`},
		{"raw UTF-8", "dn: dc=x\ncn: M\u00fcller\n", "line 2: cn: byte 0xc3 at place 2 must be written in base64"},
		{"NUL", "dn: dc=x\ncn: a\x00\n", "byte 0x00"},
		{"a lone CR", "dn: dc=x\ncn: a\rcn: b\n", "byte 0x0d"},
		{"a colon first", "dn: dc=x\ncn: :a\n", "byte 0x3a at place 1"},
		{"a blank before", "dn: dc=x\n cn: x\nc n: x\n", `line 3: "c n" is not the name of an attribute`},
		{"folding after a blank line", "dn: dc=x\ndc: x\n\n dc: y\n", "line 4: continues nothing"},
		{"folding at the start", " dn: dc=x\n", "line 1: continues nothing"},
		{"no attribute name", "dn: dc=x\n: x\n", `line 2: "" is not the name`},
		{"a byte order mark", "\ufeffversion: 1\n", "line 1: "},
		{"not LDIF", "\x7fELF\x02\x01\x01\x00\n", "line 1: no colon"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseLDIF([]byte(c.text))
			if got != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

func TestLDIF(t *testing.T) {
	entries := []Entry{userEntry("alice", 3001, keyText(1)), userEntry("bob", 3002, keyText(2)+" \u00e9")}
	path := file(t, render(entries))
	source := NewLDIF(path, posix())
	got, err := source.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := posix().Decode(entries, path)
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(users(want), users(got)); d != "" || got.Source() != path || got.Len() != 2 {
		t.Errorf("source %q: %s", got.Source(), d)
	}
}

func TestLDIFRefuses(t *testing.T) {
	open := file(t, render([]Entry{userEntry("alice", 3001, keyText(1))}))
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"missing":       {file(t, "") + ".none", "no such file"},
		"empty":         {file(t, ""), "none of 0 entries"},
		"writable":      {open, "mode 0666"},
		"malformed":     {file(t, "dn dc=x\n"), "line 1: no colon"},
		"no users":      {file(t, "dn: dc=x\ndc: x\n"), "none of 1 entries has the attribute sshPublicKey"},
		"without a key": {file(t, render([]Entry{userEntry("alice", 3001)})), "none of 1 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewLDIF(c.path, posix()).Fetch(t.Context())
			wantError(t, got, err, c.path, c.want)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := NewLDIF(open, posix()).Fetch(ctx); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done: %v, %v", got, err)
	}
}

// FuzzLDIF: whatever is accepted says the same when it is written again in the plainest form, so that no byte of a file is
// read in two ways; an error comes without entries.
func FuzzLDIF(f *testing.F) {
	f.Add([]byte(render([]Entry{userEntry("alice", 3001, keyText(1)), userEntry("bob", 3002)})))
	f.Add([]byte("# c\n d\nversion: 1\r\ndn:: ZGM9eA==\r\ndc;x-a:  b\n c\n\n\n"))
	f.Add([]byte("dn: dc=x\nchangetype: add\ndc:< file:///x\n"))
	f.Add([]byte("dn: dc=x\ndc: \n \n \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := parseLDIF(text)
		if err != nil {
			if entries != nil {
				t.Fatalf("%d entries came with the error %v", len(entries), err)
			}
			return
		}
		again, err := parseLDIF([]byte(render(entries)))
		if d := cmp.Diff(entries, again, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Fatalf("%v %s", err, d)
		}
	})
}

func BenchmarkLDIF(b *testing.B) {
	var entries []Entry
	for i := range 1000 {
		e := userEntry("u", 3000+i, keyText(1), keyText(2)+" laptop")
		e.DN = userDN("u" + strings.Repeat("x", i))
		entries = append(entries, e)
	}
	text := []byte(render(entries))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseLDIF(text); err != nil {
			b.Fatal(err)
		}
	}
}
