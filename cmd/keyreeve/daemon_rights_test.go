package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

// unitWithGuard is what the unit and the drop-in for "guard: root" leave.
func unitWithGuard(t *testing.T) []int {
	t.Helper()
	return testenv.UnitCapabilities(t, "../../systemd/keyreeve.service", "../../systemd/keyreeve.service.d/guard-root.conf")
}

// A file of root's in a home lets its user in, and nothing that he held before writes to it.
func TestGuardRootLogins(t *testing.T) {
	server, s := testenv.StartSSHD(t, ""), newSite(t)
	goodFile, good := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	alice := guest(t, good)
	logins := func(when string) {
		t.Helper()
		if err := server.Login(alice.name, goodFile); err != nil {
			t.Errorf("%s: the registered key: %v", when, err)
		}
		if err := server.Login(alice.name, badFile); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("%s: the unknown key: got %v, want ErrRefused", when, err)
		}
		if text, info := alice.read(t, "authorized_keys"), alice.state(t); text != good+"\n" || !strings.HasPrefix(info, "-rw-r--r-- 0:0 ") {
			t.Errorf("%s: %s", when, info)
		}
		if entries, err := os.ReadDir(filepath.Dir(alice.file("authorized_keys"))); err != nil || len(entries) != 1 {
			t.Errorf("%s: in .ssh: %v %v", when, entries, err)
		}
	}
	alice.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", good+"\n")
	kept, err := os.OpenFile(alice.file("authorized_keys"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	page, err := unix.Mmap(int(kept.Fd()), 0, len(good)+1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(page)

	s.put("registry.ldif", entries(alice))
	s.configure("enforce", s.ldifRegistry())
	s.setHomes("guard: root")
	cmd := exec.Command("keyreeve", "daemon", "--config", s.path("keyreeve.yaml"))
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := testenv.Confined(cmd.Run, unix.CAP_SETUID, unix.CAP_SETGID); err == nil || !strings.Contains(said.String(), "keyreeve: hint: ") {
		t.Errorf("without its drop-in the daemon said %v, %s", err, &said)
	}
	d := s.startBy(func(cmd *exec.Cmd) error { return testenv.Confined(cmd.Start, unitWithGuard(t)...) })
	d.await("every home was looked at", 1)
	testenv.OnlyCapabilities(t, d.cmd.Process.Pid, unitWithGuard(t))
	d.await("file changed", 1)
	logins("the user's own file, which is right")

	copy(page, bad) // as long as the other
	if err := unix.Msync(page, unix.MS_SYNC); err != nil {
		t.Error(err)
	}
	if _, err := kept.WriteAt([]byte(bad+"\n"), 0); err != nil {
		t.Error(err)
	}
	logins("written through a mapping and a descriptor")
	alice.does(t, "! echo more >>.ssh/authorized_keys", "")
	alice.does(t, "rm .ssh/authorized_keys; cat >.ssh/new; mv .ssh/new .ssh/authorized_keys", good+"\n"+bad+" planted\n")
	alice.loses(t, "authorized_keys", bad)
	d.await("file changed", 2)
	logins("renewed")
	d.stop()
}

// setHomes adds a line to the homes of a configuration.
func (s site) setHomes(option string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.put("keyreeve.yaml", strings.Replace(string(text), "homes: {", fmt.Sprintf("homes: {%s, ", option), 1))
}
