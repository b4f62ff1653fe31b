package host

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// The version is asked once, and again of another program; a failure takes nothing away.
func TestRelease(t *testing.T) {
	f := newFolder(t)
	says := func(script string) {
		t.Helper()
		f.put("new", "#!/bin/sh\necho x >>DIR/runs; "+script+"\n")
		if err := os.Rename(f.path("new"), f.path("stand")); err != nil {
			t.Fatal(err)
		}
	}
	s := f.stand("exit 1\n")
	wants := func(want Release, ok bool, runs int) {
		t.Helper()
		said, err := os.ReadFile(f.path("runs"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if got := strings.Count(string(said), "x"); got != runs {
			t.Errorf("%d runs, want %d", got, runs)
		}
		if got, is := s.Release(t.Context()); got != want || is != ok {
			t.Errorf("got %v, %v; want %v, %v", got, is, want, ok)
		}
	}
	wants(Release{}, false, 0)
	says("(echo unknown option -- V; echo OpenSSH_7.4p1, OpenSSL 1.0.2k-fips; echo usage: sshd) >&2; exit 1")
	wants(Release{7, 4}, true, 0)
	wants(Release{7, 4}, true, 1)
	says("echo OpenSSH_10.12p3 Debian-7, OpenSSL 3.5.1 >&2")
	wants(Release{10, 12}, true, 1)
	says("exit 3")
	wants(Release{10, 12}, true, 2)
	wants(Release{10, 12}, true, 3)
	if err := os.Remove(f.path("stand")); err != nil {
		t.Fatal(err)
	}
	wants(Release{10, 12}, true, 4)
	if r, ok := NewSSHD("", nil).Release(t.Context()); ok {
		t.Errorf("nobody is to be asked, and says %v", r)
	}
	if r, ok := NewSSHD("", []string{f.path("sshd_config")}).Release(t.Context()); !ok || r.Major < 7 {
		t.Errorf("the real sshd says %v, %v", r, ok)
	}
}

func TestNames(t *testing.T) {
	const hosts = "127.0.0.1 localhost login1 # login1.wrong\n127.0.1.1\tlogin1.example.org LOGIN1 # this one\n10.0.0.2 login2.example.org login2\n\n10.0.0.1\n"
	for name, want := range map[string][]string{
		"login1":           {"login1", "login1.example.org"},
		"node7.example.de": {"node7", "node7.example.de"},
		"login3":           {"login3"},
	} {
		if got := namesOf(name, hosts); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if own, err := os.Hostname(); err != nil || !slices.Contains(Names(), own) {
		t.Errorf("%v lacks %s (%v)", Names(), own, err)
	}
}
