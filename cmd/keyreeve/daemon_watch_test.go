package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The link .ssh leads to d/ssh, and d is exchanged for another one.
func TestDaemonSeesASwappedParentOfSSH(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	inHome := func(name ...string) string { return filepath.Join(append([]string{user.home}, name...)...) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Remove(inHome(".ssh")))
	must(os.Symlink("d/ssh", inHome(".ssh")))
	must(os.Lchown(inHome(".ssh"), user.uid, user.gid))
	for _, dir := range []string{inHome("d"), inHome("d", "ssh"), inHome("d2"), inHome("d2", "ssh")} {
		must(os.Mkdir(dir, 0o755))
		must(os.Chown(dir, user.uid, user.gid))
	}
	user.write(t, "authorized_keys", keys["B"]+"\n"+keys["A"]+"\n")
	must(os.Rename(user.file("authorized_keys"), inHome("d2", "ssh", "authorized_keys")))
	user.write(t, "authorized_keys", keys["A"]+"\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("every home was looked at", 1)
	must(os.Rename(inHome("d"), inHome("d.ok")))
	must(os.Rename(inHome("d2"), inHome("d")))
	user.loses(t, "authorized_keys", keys["B"])
	user.append(t, "authorized_keys", keys["B"]+"\n")
	user.loses(t, "authorized_keys", keys["B"])
}

// The modes of .ssh and of a home that a watch cannot be set on: .ssh is put right; of a home the right to read is lifted until
// its watch stands, once, and its own event does not make that happen again.
func TestDaemonSeesWhatModesHide(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user, shy := s.newMember(1, keys["A"]), s.newMember(2, keys["A"])
	for _, m := range []member{user, shy} {
		m.write(t, "authorized_keys", keys["A"]+"\n")
	}
	for dir, mode := range map[string]os.FileMode{filepath.Join(user.home, ".ssh"): 0o300, shy.home: 0o300} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // so that who is not root can remove it
	}
	s.put("registry.ldif", entries(user, shy))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("every home was looked at", 1)
	var changed []syscall.Timespec
	for range 3 {
		for _, m := range []member{user, shy} {
			m.append(t, "authorized_keys", keys["B"]+"\n")
			m.loses(t, "authorized_keys", keys["B"])
		}
		var st syscall.Stat_t
		if err := syscall.Stat(shy.home, &st); err != nil || st.Mode&0o777 != 0o300 {
			t.Errorf("the home has mode %03o, %v", st.Mode&0o777, err)
		}
		changed = append(changed, st.Ctim)
	}
	if changed[0] != changed[1] || changed[1] != changed[2] {
		t.Errorf("the home is changed at every look: %v", changed)
	}
	for range 2 {
		shy.does(t, "mkdir .new; cat >.new/authorized_keys; mv .ssh .old; mv .new .ssh; rm -r .old", keys["B"]+"\n"+keys["A"]+"\n")
		shy.loses(t, "authorized_keys", keys["B"])
	}
	if n := d.said("home is not watched"); n != 0 {
		t.Errorf("it was told %d times that a home is not watched", n)
	}
	d.stop()
}

// In mode report nothing is changed in a home, for no moment.
func TestReportLeavesTheModeOfAHome(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	shy := s.newMember(1, keys["A"])
	shy.write(t, "authorized_keys", keys["A"]+"\n")
	var before, after syscall.Stat_t
	if err := errors.Join(os.Chmod(shy.home, 0o300), syscall.Stat(shy.home, &before)); err != nil {
		t.Fatal(err)
	}
	s.put("registry.ldif", entries(shy))
	s.configure("report", s.ldifRegistry())
	d := s.start()
	d.await("every home was looked at", 1)
	d.stop()
	if err := syscall.Stat(shy.home, &after); err != nil || before.Mode != after.Mode || before.Ctim != after.Ctim {
		t.Errorf("the home was changed: %+v, %+v, %v", before, after, err)
	}
	if n := d.said(shy.home + ": permission denied"); n != 1 {
		t.Errorf("the home that cannot be watched was told %d times", n)
	}
}
