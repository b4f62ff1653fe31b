package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A home is behind a folder that is open to a group alone, in which its user is by NSS, as initgroups(3) of sshd finds out.
func TestHomeBehindAGroupOfNSS(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	_, keys := vectors(t)
	alice, other := guest(t, keys["A"]), testenv.NewAccount(t)
	lab := filepath.Dir(alice.home)
	if err := errors.Join(os.Chown(lab, 0, other.GID), os.Chmod(lab, 0o750), os.Mkdir(alice.file(""), 0o700), os.Chown(alice.file(""), alice.uid, alice.gid)); err != nil {
		t.Fatal(err)
	}
	alice.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	s.put("registry.ldif", entries(alice))
	s.configure("enforce", s.ldifRegistry())
	if out, _ := s.keyreeve(statusError, "apply"); !strings.Contains(out, "permission denied") {
		t.Errorf("out of the group: %s", out)
	}
	if out, err := exec.Command("/usr/sbin/usermod", "-a", "-G", other.Name, alice.name).CombinedOutput(); err != nil {
		t.Fatalf("usermod: %v %s", err, out)
	}
	s.keyreeve(statusOK, "apply")
	if text := alice.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("the file holds %q", text)
	}
}
