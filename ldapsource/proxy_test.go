package ldapsource

import (
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// proxied reads a real slapd through a proxy, two users on a page.
func proxied(t *testing.T) (*testenv.Proxy, *LDAP) {
	t.Helper()
	s := testenv.StartSlapd(t, render(crew()[:3]))
	p := testenv.StartProxy(t, s)
	c := secured(s, p.URL)
	c.CAFile, c.PageSize = p.CAFile, 2
	l, err := NewLDAP(c)
	if err != nil {
		t.Fatal(err)
	}
	return p, l
}

// A conversation with a real slapd that ends at any of its bytes gives no registry: not in the bind, not within a tag or a length, not
// between two messages or two pages, and not when nothing but the end of the last page's result is missing.
func TestCutAnywhere(t *testing.T) {
	p, l := proxied(t)
	total := 0
	p.Play(testenv.Meanwhile(func(m testenv.Message) { total = m.Before + len(m.Bytes) }))
	whole, err := l.Fetch(t.Context())
	if err != nil || whole.Len() != 3 {
		t.Fatal(whole, err)
	}
	for at := range total {
		p.Play(testenv.CutAt(at))
		got, err := l.Fetch(t.Context())
		wantError(t, got, err, p.URL)
		wantFault(t, err, Lost)
	}
	t.Logf("%d bytes", total)
	p.Heal()
	if got, err := l.Fetch(t.Context()); err != nil || diff(users(whole), users(got)) != "" {
		t.Error(got, err)
	}
}

// A server that sends a byte now and then does not gain time by that.
func TestDrip(t *testing.T) {
	p, l := proxied(t)
	l.config.Timeout = 300 * time.Millisecond
	p.Play(testenv.Drip(20 * time.Millisecond))
	begin := time.Now()
	got, err := l.Fetch(t.Context())
	wantError(t, got, err, p.URL) // by its time-out, or as one that ended, where an answer came just before that
	wantFault(t, err, Lost)
	if took := time.Since(begin); took > 10*l.config.Timeout {
		t.Errorf("it took %v", took)
	}
}

// What is right in itself is taken: that a page was cut short can only be seen from what was there before.
func TestTruncated(t *testing.T) {
	p, l := proxied(t)
	p.Play(testenv.Truncate(1))
	if got, err := l.Fetch(t.Context()); err != nil || got.Len() != 1 {
		t.Error(got, err)
	}
	l.Canary = Canary{User: "u3", Fingerprint: fingerprint(t, 3)}
	got, err := l.Fetch(t.Context())
	wantError(t, got, err, `the canary "u3" is not among its 1 users`)
	wantFault(t, err, NoCanary)
}
