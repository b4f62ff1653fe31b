package ldapsource

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// both is the directory of two configurations for one server each.
func both(t *testing.T, a, b LDAPConfig) *LDAP {
	t.Helper()
	c := filled(a)
	c.URLs = append(slices.Clone(a.URLs), b.URLs...)
	c.CAFile = bundle(t, a.CAFile, b.CAFile)
	l, err := NewLDAP(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOrder(t *testing.T) {
	now := time.Unix(1e9, 0)
	servers := []server{{url: "a"}, {url: "b"}, {url: "c"}}
	var p pool
	order := func(at time.Time) string {
		var urls []string
		for _, s := range p.order(servers, at) {
			urls = append(urls, s.url)
		}
		return strings.Join(urls, "")
	}
	check := func(what, want string, at time.Time) {
		t.Helper()
		if got := order(at); got != want {
			t.Errorf("%s: the order is %s, want %s", what, got, want)
		}
	}
	check("at first", "abc", now)
	p.note("a", Lost, now)
	check("a failed", "bca", now)
	check("its pause is over", "abc", now.Add(firstPause))
	p.note("b", Lost, now.Add(time.Second))
	check("b too", "cab", now.Add(time.Second))
	p.note("c", Lost, now.Add(2*time.Second))
	check("all of them", "abc", now.Add(2*time.Second))
	for range 100 {
		p.note("a", Lost, now)
	}
	check("a again and again", "bca", now.Add(lastPause-time.Second))
	check("but not for ever", "abc", now.Add(lastPause))
	p.note("a", nil, now)
	p.note("b", nil, now)
	check("a and b gave it", "abc", now.Add(3*time.Second))
	p.note("a", Lost, now)
	check("the pause is short again", "abc", now.Add(firstPause+3*time.Second))
}

// A server that failed is asked last for a while; why it was left is reported once, and that it is back.
func TestReport(t *testing.T) {
	var asked, code atomic.Int64
	code.Store(51) // busy
	first := hostile(t, func(s search) ([]byte, bool) {
		asked.Add(1)
		if n := code.Load(); n != 0 {
			return doneMessage(s.id, n), true
		}
		return honest(s), true
	})
	second := hostile(t, func(s search) ([]byte, bool) { return honest(s), true })
	l := both(t, first, second)
	var reports []string
	l.Report = func(server string, err error) {
		reports = append(reports, fmt.Sprint(server == first.URLs[0], " ", FaultOf(err)))
	}
	read := func(pause bool, source string) {
		t.Helper()
		if !pause {
			l.pool.of(first.URLs[0]).until = time.Time{}
		}
		if got, err := l.Fetch(t.Context()); err != nil || got.Source() != source {
			t.Fatal(got, err)
		}
	}
	want := func(searches int64, texts ...string) {
		t.Helper()
		if n := asked.Swap(0); n != searches || !slices.Equal(reports, texts) {
			t.Errorf("%d searches, reports %q; want %d, %q", n, reports, searches, texts)
		}
		reports = nil
	}
	read(true, second.URLs[0])
	want(1, "true refused")
	read(true, second.URLs[0])
	want(0)
	read(false, second.URLs[0])
	want(1)
	code.Store(10)
	read(false, second.URLs[0])
	want(1, "true referred")
	code.Store(0)
	read(false, first.URLs[0])
	want(2, "true ")
	read(true, first.URLs[0])
	want(2)
	code.Store(51)
	read(true, second.URLs[0])
	want(1, "true refused")
}

// A reading that was given up says nothing about the server.
func TestCancelledIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	config := hostile(t, func(s search) ([]byte, bool) {
		cancel()
		return honest(s), true
	})
	l, err := NewLDAP(filled(config))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Fetch(ctx); err == nil {
		t.Fatal("no error")
	}
	if n := l.pool.of(config.URLs[0]).failures; n != 0 {
		t.Errorf("%d failures", n)
	}
}
