package main

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The daemon does its whole job with what its unit leaves it.
func TestDaemonUnderTwoCapabilities(t *testing.T) {
	testenv.Need(t, "root")
	left := testenv.UnitCapabilities(t, "../../systemd/keyreeve.service")
	if !slices.Equal(left, []int{unix.CAP_SETGID, unix.CAP_SETUID}) {
		t.Errorf("the unit leaves the capabilities %v", left)
	}
	s := newSite(t)
	_, keys := vectors(t)
	user, closed := s.newMember(1, keys["A"]), s.newMember(2, keys["A"])
	for _, m := range []member{user, closed} {
		m.write(t, "authorized_keys", keys["B"]+" planted\n"+keys["A"]+" mine\n")
	}
	// Out of reach for a root that has no capability to override modes.
	if err := errors.Join(os.Chmod(closed.file("authorized_keys"), 0), os.Chmod(closed.file(""), 0), os.Chmod(closed.home, 0o700)); err != nil {
		t.Fatal(err)
	}
	s.put("registry.ldif", entries(user, closed))
	s.configure("enforce", s.ldifRegistry())
	d := s.startBy(func(cmd *exec.Cmd) error { return testenv.Confined(cmd.Start, left...) })
	d.await("every home was looked at", 1)
	testenv.OnlyCapabilities(t, d.cmd.Process.Pid, left)
	user.append(t, "authorized_keys", keys["B"]+" again\n")
	for _, m := range []member{user, closed} {
		m.loses(t, "authorized_keys", keys["B"])
	}
	user.keys = []string{keys["A"], keys["D"]}
	s.put("registry.ldif", entries(user, closed))
	d.await("registry read", 2)
	user.append(t, "authorized_keys", keys["D"]+" new\n"+keys["B"]+" third\n")
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if text, want := user.read(t, "authorized_keys"), keys["A"]+" mine\n"+keys["D"]+" new\n"; text != want {
		t.Errorf("the file holds %q, want %q", text, want)
	}
	if text, want := closed.read(t, "authorized_keys"), keys["A"]+"\n"; text != want {
		t.Errorf("the closed file holds %q, want %q", text, want)
	}
	s.keyreeve(statusOK, "audit", "verify")
}
