package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

var (
	alice = homes.Account{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}
	bob   = homes.Account{Name: "bob", UID: 2002, GID: 2002, Home: "/home/bob"}
)

// folder holds configurations of a test. Each begins with the host key that sshd wants.
type folder struct {
	*testing.T
	dir, key string
}

func newFolder(t *testing.T) folder {
	t.Helper()
	return folder{t, t.TempDir(), testenv.NewHostKey(t)}
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f folder) put(name, text string) {
	f.Helper()
	if err := os.WriteFile(f.path(name), []byte(strings.ReplaceAll(text, "DIR", f.dir)), 0o700); err != nil {
		f.Fatal(err)
	}
}

func (f folder) config(text string) { f.put("sshd_config", "HostKey "+f.key+"\n"+text) }

func (f folder) refresh(s *SSHD) (changed bool) {
	f.Helper()
	changed, err := s.Refresh(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	return changed
}

func (f folder) wants(s *SSHD, a homes.Account, want ...string) {
	f.Helper()
	files, err := s.KeyFiles(a)
	if err != nil {
		f.Errorf("files of %s: %v", a.Name, err)
	}
	if diff := cmp.Diff(want, files.Paths); diff != "" {
		f.Errorf("files of %s: %s", a.Name, diff)
	}
	for _, odd := range files.Unkept {
		f.Logf("not kept: %s: %s", odd.Path, odd.Why)
	}
}

const (
	first  = ".ssh/authorized_keys"
	second = ".ssh/authorized_keys2"
)

// The answers are those of the real sshd.
func TestKeyFiles(t *testing.T) {
	type files = []string
	cases := map[string]struct {
		config     string
		alice, bob files
		perUser    bool
	}{
		"default":              {"", files{first, second}, files{first, second}, false},
		"several":              {"AuthorizedKeysFile .ssh/a /keys/%u\n", files{".ssh/a", "/keys/alice"}, files{".ssh/a", "/keys/bob"}, false},
		"tokens":               {"AuthorizedKeysFile /k/%U/%u %h/k /home/%u/./.ssh//x 1%%u\n", files{"/k/2001/alice", "k", ".ssh/x", "1%u"}, files{"/k/2002/bob", "k", ".ssh/x", "1%u"}, false},
		"one file twice":       {"AuthorizedKeysFile k %h/k ./k\n", files{"k"}, files{"k"}, false},
		"first value wins":     {"AuthorizedKeysFile a\nauthorizedKEYSfile b\n", files{"a"}, files{"a"}, false},
		"equals and quotes":    {"AuthorizedKeysFile=\"a\" # b\n", files{"a"}, files{"a"}, false},
		"a blank":              {"AuthorizedKeysFile \"a b\"\n", files{"a", "b", "a b"}, files{"a", "b", "a b"}, false},
		"none":                 {"AuthorizedKeysFile None\n", nil, nil, false},
		"Match without files":  {"AuthorizedKeysFile a\nMatch Address 10.0.0.0/8\nPasswordAuthentication no\n", files{"a"}, files{"a"}, false},
		"Match User":           {"Match User \"bob\"\nAuthorizedKeysFile /b/%u\n", files{first, second}, files{"/b/bob", first, second}, true},
		"Match User none":      {"Match User bob\nAuthorizedKeysFile none\n", files{first, second}, files{first, second}, true},
		"Match all":            {"AuthorizedKeysFile a\nMatch all\nAuthorizedKeysFile b\n", files{"b"}, files{"b"}, true},
		"Include":              {"Include DIR/*.conf\nAuthorizedKeysFile a\n", files{"i"}, files{"i"}, false},
		"Include in a Match":   {"Match User bob\nInclude DIR/*.conf\n", files{first, second}, files{"i", first, second}, true},
		"Match in an Include":  {"Include DIR/*.inc\nAuthorizedKeysFile a\n", files{"a"}, files{"m", "a"}, true},
		"Match Address":        {"AuthorizedKeysFile a\nMatch Address 10.0.0.0/8\nAuthorizedKeysFile b\n", files{"a", "b"}, files{"a", "b"}, true},
		"Match LocalPort":      {"Match LocalPort 2222\nAuthorizedKeysFile b\n", files{first, second, "b"}, files{first, second, "b"}, true},
		"Match Address and *":  {"AuthorizedKeysFile a\nMatch Address *\nAuthorizedKeysFile b\n", files{"b", "a"}, files{"b", "a"}, true},
		"a user behind it":     {"Match Host *\nAuthorizedKeysFile b\nMatch User bob\nAuthorizedKeysFile c\n", files{"b", "c", first, second}, files{"b", "c", first, second}, true},
		"a user before it":     {"Match User bob\nAuthorizedKeysFile c\nMatch Host *\nAuthorizedKeysFile b\n", files{"b", first, second}, files{"c", "b", first, second}, true},
		"Include in a Match *": {"Match RDomain x\nInclude DIR/*.inc\nAuthorizedKeysFile b\n", files{first, second, "m", "b"}, files{first, second, "m", "b"}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			f.put("i.conf", "AuthorizedKeysFile i\n")
			f.put("m.inc", "Match User bob\nAuthorizedKeysFile m\n")
			f.config(c.config)
			s := NewSSHD("", []string{f.path("sshd_config")})
			f.refresh(s)
			f.wants(s, alice, c.alice...)
			f.wants(s, bob, c.bob...)
			if got := s.servers[0].force.perUser; got != c.perUser {
				t.Errorf("asked for each user: %v", got)
			}
		})
	}
}

func TestMatchGroup(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	f, member := newFolder(t), testenv.NewAccount(t)
	f.config("Match Group " + member.Name + "\nAuthorizedKeysFile g\n") // useradd made a group of the user's name
	s := NewSSHD("", []string{f.path("sshd_config")})
	f.refresh(s)
	f.wants(s, homes.Account(member), "g")
	f.wants(s, alice, first, second)
}

// What is no file of the account alone is told, and never taken for one that is.
func TestUnkept(t *testing.T) {
	files := keyFiles([]string{
		"none", "/keys/all", "/keys/%x", "k%", "../k", "%h/../k", "/keys/%u", "/keys/all", "\u00e9", "%h",
		"/keys/%u*", "/keys/%%/%u/../*", "/keys/%%/%u?", "k[1]", "%h/*", ".ssh/*", ".ssh/known?hosts", ".ssh/*/keys", ".ssh/[/]k", `\.ssh/k`, ".ssh/.k*", ".ssh/[[:alpha:]]", "/keys/*/%u",
	}, alice, true)
	if diff := cmp.Diff([]string{"/keys/alice"}, files.Paths); diff != "" {
		t.Error(diff)
	}
	for path, why := range map[string]string{
		"/keys/all": "one file for all accounts", "/keys/%x": "does not know the token", "k%": "does not know the token", "../k": `".."`, "%h/../k": `".."`, "\u00e9": "ASCII", "%h": "not a clean path",
		"/keys/%u*": "another user's", "/keys/%%/%u/../*": `".."`, "/keys/%%/%u?": "another user's", "k[1]": "in the home itself", "%h/*": "in the home itself",
		".ssh/*": "private keys", ".ssh/known?hosts": "private keys", ".ssh/*/keys": "a directory's name", ".ssh/[/]k": "a directory's name",
		`\.ssh/k`: "a directory's name", ".ssh/.k*": "begin with a dot", ".ssh/[[:alpha:]]": "a class", "/keys/*/%u": "a directory's name",
	} {
		i := slices.IndexFunc(files.Unkept, func(u homes.Unkept) bool { return u.Path == path })
		if i < 0 || !strings.Contains(files.Unkept[i].Why, why) {
			t.Errorf("%s: %+v", path, files.Unkept)
		}
	}
}

// OpenSSH 10 and later take an entry for a pattern; earlier ones, for the name of one file.
func TestGlobCharacters(t *testing.T) {
	entries := `.ssh/authorized_keys* %h/k.d/* .ssh/a[0-9]?k /keys/%u/[!.]* .ssh/k\* .ssh/x`
	paths := []string{".ssh/authorized_keys", "k.d/authorized_keys", ".ssh/a0ak", "/keys/alice/a", ".ssh/k*", ".ssh/x"}
	patterns := []string{".ssh/authorized_keys*", "k.d/*", ".ssh/a[0-9]?k", "/keys/alice/[!.]*"}
	literal := []string{".ssh/authorized_keys*", "k.d/*", ".ssh/a[0-9]?k", "/keys/alice/[!.]*", `.ssh/k\*`, ".ssh/x"}
	for version, expands := range map[string]bool{
		"echo OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1 >&2": true, "echo OpenSSH_11.12, LibreSSL 4 >&2": true, "echo something else": true, "exit 3": true,
		"echo OpenSSH_9.2, OpenSSL 3.0.19 >&2": false, "(echo unknown option -- V; echo OpenSSH_8.9p1 Ubuntu-3, OpenSSL 3.0.2) >&2; exit 1": false,
	} {
		f := newFolder(t)
		s := f.stand("if [ $1 = -V ]; then " + version + "; exit; fi; echo Port 22; echo 'AuthorizedKeysFile " + entries + "'\n")
		f.refresh(s)
		files, err := s.KeyFiles(alice)
		want := homes.KeyFiles{Paths: literal}
		if expands {
			want = homes.KeyFiles{Paths: paths, Patterns: patterns}
		}
		if diff := cmp.Diff(want, files); diff != "" || err != nil {
			t.Errorf("%s: %v %s", version, err, diff)
		}
	}
}

// A configuration that sshd does not take is no answer: the last good one stays, and before there is one, all that the text
// names is kept beside the default.
func TestBrokenConfiguration(t *testing.T) {
	f := newFolder(t)
	s := NewSSHD("", []string{f.path("sshd_config")})
	broken := "Bogus yes\nAuthorizedKeysFile none\nMatch User bob\nAuthorizedKeysFile b\n"

	wantError := func(part string) {
		t.Helper()
		if changed, err := s.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("changed %v, error %v", changed, err)
		}
	}
	wantError("sshd_config")
	f.wants(s, alice, first, second)
	f.config(broken)
	wantError("Bogus")
	f.wants(s, alice, first, second, "b")

	f.config("AuthorizedKeysFile a\nMatch User bob\nAuthorizedKeysFile c\n")
	if !f.refresh(s) {
		t.Error("the first good answer changed nothing")
	}
	f.wants(s, bob, "c", "a")
	f.config(broken)
	wantError("Bogus")
	f.wants(s, bob, "c", "a")
	files, err := s.KeyFiles(alice) // he was not asked about before
	if err == nil || !strings.Contains(err.Error(), "Bogus") {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]string{first, second, "a", "c"}, files.Paths); diff != "" {
		t.Error(diff)
	}
	f.config("AuthorizedKeysFile d\n")
	f.refresh(s)
	f.wants(s, alice, "d")
}

func TestRefreshSeesWhatChanged(t *testing.T) {
	f := newFolder(t)
	f.config("Include DIR/conf.d/*.conf\nAuthorizedKeysFile a\n")
	if err := os.Mkdir(f.path("conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := NewSSHD("", []string{f.path("sshd_config")})
	if !f.refresh(s) || f.refresh(s) {
		t.Error("the first answer is a change, the second is none")
	}
	if diff := cmp.Diff([]string{f.dir, f.path("conf.d")}, s.Folders()); diff != "" {
		t.Error(diff)
	}
	f.put("conf.d/new.conf", "AuthorizedKeysFile b\n")
	if !f.refresh(s) {
		t.Error("a new file is a change")
	}
	f.wants(s, alice, "b")
	f.put("conf.d/new.conf", "PermitRootLogin no\n")
	if !f.refresh(s) {
		t.Error("a file that was written is a change")
	}
	f.wants(s, alice, "a")
	f.put("conf.d/new.conf", "PermitRootLogin yes\n")
	if f.refresh(s) {
		t.Error("a file that says nothing of the matter is no change")
	}
}

func TestTwoServers(t *testing.T) {
	f := newFolder(t)
	f.config("AuthorizedKeysFile a\n")
	f.put("other", "HostKey "+f.key+"\nAuthorizedKeysFile b a\n")
	s := NewSSHD("", []string{f.path("sshd_config"), f.path("other")})
	f.refresh(s)
	f.wants(s, alice, "a", "b")
}

func TestWithoutSSHD(t *testing.T) {
	f := newFolder(t)
	s := NewSSHD("", nil)
	f.refresh(s)
	f.wants(s, alice, first, second)

	f.config("AuthorizedKeysFile a\n")
	s = NewSSHD("", []string{f.path("sshd_config")})
	s.servers[0].find = func() string { return "" }
	f.refresh(s)
	f.wants(s, alice, first, second)
	s.servers[0].find = func() string { return find("sshd") }
	f.refresh(s)
	f.wants(s, alice, "a")
	s.servers[0].find = func() string { return "" }
	if _, err := s.Refresh(t.Context()); err == nil {
		t.Error("an sshd that went away is no reason to keep less")
	}
	f.wants(s, alice, "a")
	if _, err := NewSSHD("/nonexistent/sshd", []string{f.path("sshd_config")}).Refresh(t.Context()); err == nil {
		t.Error("a program that was named and is not there is an error")
	}
}

// stand writes a program that stands for another sshd.
func (f folder) stand(script string) *SSHD {
	f.Helper()
	f.put("stand", "#!/bin/sh\n"+script)
	f.config("")
	return NewSSHD(f.path("stand"), []string{f.path("sshd_config")})
}

// OpenSSH 10.5 spells keywords in its output as the manual page does, and prints no line for none.
func TestOtherVersions(t *testing.T) {
	f := newFolder(t)
	s := f.stand("echo Port 22; echo AuthorizedKeysFile .ssh/a .ssh/b\n")
	f.refresh(s)
	f.wants(s, alice, ".ssh/a", ".ssh/b")
	s = f.stand("echo Port 22; echo AddressFamily any\n")
	f.refresh(s)
	f.wants(s, alice)

	// -T fails where /run/sshd or the host keys are not there; -G does without, and takes -C beside -T only.
	s = f.stand("[ \"$1 $2\" = \"-G -T\" ] || { echo Missing privilege separation directory: /run/sshd >&2; exit 255; }\necho Port 22; echo AuthorizedKeysFile g\n")
	f.refresh(s)
	f.wants(s, alice, "g")
}

// No answer is not an empty answer.
func TestNoAnswer(t *testing.T) {
	for name, script := range map[string]string{
		"nothing": "exit 0\n", "something else": "echo AuthorizedKeysFile none\n", "a signal": "echo Port 22; kill -9 $$\n",
		"too much": "echo Port 22; exec yes\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			s := f.stand(script)
			if _, err := s.Refresh(t.Context()); err == nil {
				t.Error("no error")
			}
			f.wants(s, alice, first, second)
		})
	}
}

// A name service that hangs costs one wait, not one for each user.
func TestPauseAfterAFailure(t *testing.T) {
	f := newFolder(t)
	s := f.stand("echo x >>DIR/runs; case $3 in user=root,*) echo Port 22; echo AuthorizedKeysFile a;; *) exit 1;; esac\n")
	f.config("Match User bob\nAuthorizedKeysFile b\n")
	f.refresh(s)
	for i := range 5 {
		user := homes.Account{Name: fmt.Sprintf("user%d", i), UID: 3000 + i, GID: 3000, Home: "/home/x"}
		if files, err := s.KeyFiles(user); err == nil || !slices.Equal(files.Paths, []string{first, second, "b"}) {
			t.Errorf("files %v, error %v", files.Paths, err)
		}
	}
	runs, err := os.ReadFile(f.path("runs"))
	if got := strings.Count(string(runs), "x"); err != nil || got != 3 {
		t.Errorf("%d runs (%v), want 3: once for all, and twice for one user", got, err)
	}
}
