package ldapsource

import (
	"net/mail"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/registry"
)

// mailOf is what is read of one entry with these values.
func mailOf(tb testing.TB, values ...string) registry.User {
	tb.Helper()
	s, err := posix().Decode([]Entry{with(userEntry("alice", 3001, keyText(1)), "mail", values...)}, "test")
	if err != nil {
		tb.Fatal(err)
	}
	u, _ := s.User("alice")
	return u
}

func TestMail(t *testing.T) {
	local := strings.Repeat("l", 64)
	domain := strings.Repeat(strings.Repeat("d", 61)+".", 3) + "de"
	for value, good := range map[string]bool{
		"alice@example.org": true, "a.b+c@x": true, "o'neill@example.org": true, local + "@x": true, local + "@" + domain: true,
		"l" + local + "@x": false, local + "@" + domain + "d": true, local + "@" + domain + "ddd": false,
		"": false, "alice": false, "@example.org": false, "alice@": false, "a@b@c": false, "-f@example.org": false, ".a@x": false, "a..b@x": false, "a@.x": false, "a@x-": false, "a@x..y": false,
		"alice@example.org\n": false, "alice@example.org\r\nBcc: all@example.org": false, "alice@exam\x00ple.org": false, "a b@x": false, "a\t@x": false,
		"Alice <alice@example.org>": false, "a@x,b@y": false, "a@x;b@y": false, `"a"@x`: false, "a@[192.0.2.1]": false, "a(b)@x": false, "é@example.org": false, "a@\xff": false,
	} {
		u := mailOf(t, value)
		switch {
		case good && (u.Mail != value || len(u.Rejects) > 0):
			t.Errorf("%q is not taken: %q, %v", value, u.Mail, u.Rejects)
		case !good && (u.Mail != "" || len(u.Rejects) != 1 || u.Rejects[0].Code != "mail" || len(u.Records) != 1):
			t.Errorf("%q: %q, %v", value, u.Mail, u.Rejects)
		}
	}
	for _, values := range [][]string{{"b@x", "a@x", "no"}, {"no", "a@x", "b@x"}} {
		if u := mailOf(t, values...); u.Mail != "a@x" || len(u.Rejects) != 1 {
			t.Errorf("%q: %q, %v", values, u.Mail, u.Rejects)
		}
	}
	if u := mailOf(t, strings.Repeat("a", maxAttribute)+"@x"); u.Mail != "" || len(u.Rejects) != 1 || u.Rejects[0].Code != "too-big" {
		t.Errorf("an attribute without end: %q, %d", u.Mail, len(u.Rejects))
	}
	layout := posix()
	layout.Schema.Mail = ""
	s, err := layout.Decode([]Entry{with(userEntry("alice", 3001, keyText(1)), "mail", "a@x", "no")}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if u, _ := s.User("alice"); u.Mail != "" || len(u.Rejects) > 0 {
		t.Errorf("turned off: %q, %v", u.Mail, u.Rejects)
	}
}

// An address that is taken is one line, and one address to net/mail, whatever stands in the directory.
func TestMailIsOneAddress(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.StringOf(rapid.SampledFrom([]rune("ab@@.-+ \r\n\t\x00<>,;:\"()[]\\é"))).Draw(rt, "value")
		got := mailOf(t, value).Mail
		if got == "" {
			return
		}
		if parsed, err := mail.ParseAddress(got); got != value || err != nil || parsed.Address != got || strings.ContainsAny(got, "\r\n\x00 <>,;\"") {
			rt.Errorf("%q is taken: %v, %v", got, parsed, err)
		}
	})
}
