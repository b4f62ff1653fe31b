package host

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The version is asked anew, since what a script runs may be another program; a failure takes nothing away, and a version in a name is none.
func TestRelease(t *testing.T) {
	f := newFolder(t)
	says := func(script string) {
		t.Helper()
		f.put("new", "#!/bin/sh\n"+script+"\n")
		if err := os.Rename(f.path("new"), f.path("stand")); err != nil {
			t.Fatal(err)
		}
	}
	s := f.stand("exit 1\n")
	wants := func(want Release, ok bool) {
		t.Helper()
		if got, is := s.Release(t.Context()); got != want || is != ok {
			t.Errorf("got %v, %v; want %v, %v", got, is, want, ok)
		}
	}
	wants(Release{}, false)
	says("(echo unknown option -- V; echo OpenSSH_7.4p1, OpenSSL 1.0.2k-fips; echo usage: sshd) >&2; exit 1")
	wants(Release{7, 4}, true)
	says("cat DIR/version >&2")
	for _, version := range []string{"9.12p3", "10.12p3"} {
		f.put("version", "OpenSSH_"+version+" Debian-7, OpenSSL 3.5.1\n")
		r, _ := s.Release(t.Context())
		if r.Minor != 12 || !strings.HasPrefix(version, strconv.Itoa(r.Major)) {
			t.Errorf("of %s: %v", version, r)
		}
	}
	says("exit 3")
	wants(Release{10, 12}, true)
	if err := os.Remove(f.path("stand")); err != nil {
		t.Fatal(err)
	}
	wants(Release{10, 12}, true)
	s.servers[0].find = func() string { return "" } // as where it is looked for, and replaced at the moment
	wants(Release{10, 12}, true)
	named := f.path("OpenSSH_9.9p1") // it cannot be run
	f.put("OpenSSH_9.9p1", "#!/bin/sh\nexit 1\n")
	if r, ok := NewSSHD(named, []string{f.path("sshd_config")}).Release(t.Context()); ok {
		t.Errorf("the version of a path: %v", r)
	}
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
	own, err := os.Hostname()
	if names, wrong := Names(); err != nil || wrong != nil || !slices.Contains(names, own) {
		t.Errorf("%v lacks %s (%v, %v)", names, own, err, wrong)
	}
	for path, known := range map[string]bool{filepath.Join(t.TempDir(), "hosts"): true, t.TempDir(): false} { // none, and one that cannot be read
		if list, err := names(path); (err == nil) != known || !slices.Contains(list, own) {
			t.Errorf("%s: %v, %v", path, list, err)
		}
	}
}
