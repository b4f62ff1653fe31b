package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// asks points a configured site at the configuration of an sshd.
func (s site) asks(config string) {
	s.t.Helper()
	s.edit("configs: []", "configs: ["+config+"]")
}

// edit changes the configuration.
func (s site) edit(from, to string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.put("keyreeve.yaml", strings.ReplaceAll(string(text), from, to))
}

// gone waits until a file holds a key no more.
func gone(t *testing.T, path, key string) {
	t.Helper()
	eventually(t, path+" holds the unknown key no more", func() bool {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return !strings.Contains(string(text), key)
	})
}

// Whatever file sshd reads, for all users or for one: a key that nobody registered logs in by it before the daemon keeps it
// and never after, and a registered key goes on.
func TestLoginsByTheFilesOfSSHD(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	t.Run("in .ssh", func(t *testing.T) { testFiles(t, ".ssh/of-%U", ".ssh/100%%-%u", ".ssh/later") })
	t.Run("in the home", func(t *testing.T) { testFiles(t, "keys", "%h/a/b/%u", "a/later") })
	t.Run("outside", func(t *testing.T) {
		dir := testenv.RootDir(t)
		testFiles(t, dir+"/%u/list", dir+"/%U/keys/list", dir+"/later/%u/list")
	})
	t.Run("of root's", func(t *testing.T) {
		dir := testenv.RootDir(t)
		testFiles(t, dir+"/%u", dir+"/100%%-%U", dir+"/later/%u")
	})
}

// fill appends to a file. In the home its user does it; outside of it root, who makes the directory that bears the user's name
// or uid his, and what lies in a directory without these a file of root's.
func (m member) fill(t *testing.T, path, text string) {
	t.Helper()
	if strings.HasPrefix(path, m.home+"/") {
		m.does(t, "mkdir -p "+filepath.Dir(path)+"; cat >>"+path, text)
		return
	}
	for _, id := range []string{m.name, strconv.Itoa(m.uid)} {
		if above, below, found := strings.Cut(path, "/"+id+"/"); found {
			own := above + "/" + id
			if err := errors.Join(os.MkdirAll(own, 0o755), os.Chown(own, m.uid, m.gid)); err != nil {
				t.Fatal(err)
			}
			m.does(t, "umask 022; mkdir -p "+filepath.Dir(own+"/"+below)+"; cat >>"+path, text)
			return
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		m.fill(t, path, text)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(text); errors.Join(err, file.Close()) != nil {
		t.Fatal(err)
	}
}

// testFiles takes entries of AuthorizedKeysFile: for all users, for one by a Match block, and one that the daemon hears of later.
func testFiles(t *testing.T, all, one, later string) {
	t.Helper()
	goodFile, good := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	alice, bob, carol := guest(t, good), guest(t, good), guest(t, good)
	config := func(later string) string {
		return fmt.Sprintf("AuthorizedKeysFile .ssh/authorized_keys %s%s\nMatch User %s\nAuthorizedKeysFile %s\n", all, later, bob.name, one)
	}
	server := testenv.StartSSHD(t, config(" "+later))
	files := []struct {
		member
		path string
	}{{alice, all}, {bob, one}, {carol, later}}
	for i, f := range files {
		path := strings.NewReplacer("%%", "%", "%u", f.name, "%U", strconv.Itoa(f.uid), "%h", f.home).Replace(f.path)
		if !filepath.IsAbs(path) {
			path = filepath.Join(f.home, path)
		}
		files[i].path = path
		f.fill(t, path, good+" mine\n"+bad+" planted\n")
		if err := server.Login(f.name, badFile); err != nil {
			t.Fatalf("without keyreeve the unknown key must log in by %s, or nothing is proven: %v", path, err)
		}
	}
	// The daemon is shown another configuration first, which does not name the last of the files.
	s := newSite(t)
	text, err := os.ReadFile(server.Config)
	if err != nil {
		t.Fatal(err)
	}
	s.put("sshd_config", strings.Replace(string(text), config(" "+later), config(""), 1))
	s.put("registry.ldif", entries(alice, bob, carol))
	s.configure("enforce", s.ldifRegistry())
	s.asks(s.path("sshd_config"))
	left := testenv.UnitCapabilities(t, "../../systemd/keyreeve.service")
	d := s.startBy(func(cmd *exec.Cmd) error { return testenv.Confined(cmd.Start, left...) })
	d.await("every home was looked at", 1)
	for i, f := range files {
		if i == 2 {
			if err := server.Login(f.name, badFile); err != nil {
				t.Errorf("by a file that the daemon does not know yet: %v", err)
			}
			s.put("sshd_config", string(text))
		}
		gone(t, f.path, bad)
		if err := server.Login(f.name, goodFile); err != nil {
			t.Errorf("the registered key by %s: %v", f.path, err)
		}
		if err := server.Login(f.name, badFile); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("the unknown key by %s: %v", f.path, err)
		}
	}
	again := func() {
		t.Helper()
		for _, f := range files {
			f.fill(t, f.path, bad+" again\n")
			gone(t, f.path, bad)
		}
	}
	again()
	// A configuration that sshd does not take changes nothing.
	s.put("sshd_config", "Bogus yes\nAuthorizedKeysFile none\n")
	d.await("sshd does not say which files it reads", 1)
	again()
	s.put("sshd_config", string(text))
	d.await("sshd says again which files it reads", 1)
	d.stop()
}
