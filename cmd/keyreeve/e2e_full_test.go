package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A user who fills the disk of the answers, to its last block and inode, keeps no key that is revoked: with the home's files left out, and with the
// gate. Nor if he registers more than there is room for: then what is new waits, for everybody.
func TestAnswerLoginsOnAFullDisk(t *testing.T) {
	testenv.Need(t, "root", "sshd", "mount")
	d, s := newDesk(t), newSite(t)
	disk := filepath.Join(filepath.Dir(d.dir), "disk")
	smallDisk(t, disk, "size=256k,nr_inodes=32,mode=755")
	goodFile, good := testenv.NewKey(t)
	lostFile, lost := testenv.NewKey(t)
	newFile, late := testenv.NewKey(t)
	ada, bob := guest(t, good), guest(t, good)
	theirs := filepath.Join(disk, "theirs")
	d.dir = filepath.Join(disk, "answers")
	err := errors.Join(os.Mkdir(d.dir, 0o750), os.Chown(d.dir, 0, d.account.GID), os.Chmod(d.dir, 0o750|os.ModeSetgid), os.Mkdir(theirs, 0o700), os.Chown(theirs, ada.uid, ada.gid))
	if err != nil {
		t.Fatal(err)
	}
	fill := func() {
		t.Helper()
		ada.does(t, "set +e; cd "+theirs+"; { cat /dev/zero >>junk; n=0; while (: >f$n); do n=$((n+1)); done; cat /dev/zero >>junk; } 2>/dev/null; true", "")
	}
	server := testenv.StartSSHD(t, d.dropIn(t, "10-keyreeve-strong.conf"))
	gate := testenv.StartPAM(t, d.gateStack(t, s, ""), "")
	for _, m := range []member{ada, bob} {
		m.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", good+"\n"+lost+"\n")
	}
	put := func(keys ...string) {
		bob.keys = keys
		s.put("registry.ldif", entries(ada, bob))
	}
	in := func(who member, key string) {
		t.Helper()
		eventually(t, "a login", func() bool { return server.Login(who.name, key) == nil })
	}
	noSession := func(who member) {
		t.Helper()
		eventually(t, "the key begins no session", func() bool { return gate.Login(who.name, lostFile) != nil })
		if err := gate.Login(who.name, goodFile); err != nil {
			t.Error(err)
		}
	}
	ada.keys = []string{good, lost}
	put(good, lost)
	s.configure("report", s.ldifRegistry())
	s.more(fmt.Sprintf("answer: {dir: %s}\n", d.dir))
	daemon := s.start()
	eventually(t, "both get in", func() bool { return server.Login(bob.name, lostFile) == nil && gate.Login(ada.name, lostFile) == nil })

	fill()
	ada.keys = []string{good}
	put(good, lost)
	turnedAway(t, server, ada.name, lostFile)
	noSession(ada)
	in(ada, goodFile)

	fill()
	for range 400 {
		ada.keys = append(ada.keys, newKeyLine(t))
	}
	put(good, late)
	turnedAway(t, server, bob.name, lostFile)
	noSession(bob)
	in(bob, goodFile)
	in(ada, goodFile)
	daemon.await("nobody has a key that he had not", 1)
	if err := server.Login(bob.name, newFile); !errors.Is(err, testenv.ErrRefused) {
		t.Errorf("what there is no room for: got %v, want ErrRefused", err)
	}

	if err := os.RemoveAll(theirs); err != nil {
		t.Fatal(err)
	}
	in(bob, newFile)
	daemon.stop()
}

// What a daemon read last, and could not keep on a full disk, is not undone by the next one, which has an older reading alone while the registry is
// away.
func TestAnswerLoginsOfAnOlderReading(t *testing.T) {
	testenv.Need(t, "root", "sshd", "mount")
	d, s := newDesk(t), newSite(t)
	state := s.path("state")
	smallDisk(t, state, "size=128k,mode=700")
	server := testenv.StartSSHD(t, d.dropIn(t, "10-keyreeve-strong.conf"))
	goodFile, good := testenv.NewKey(t)
	lostFile, lost := testenv.NewKey(t)
	ada := guest(t, good)
	put := func(keys ...string) {
		ada.keys = keys
		s.put("registry.ldif", entries(ada))
	}
	put(good, lost)
	s.configure("report", s.ldifRegistry())
	s.more(fmt.Sprintf("answer: {dir: %s}\n", d.dir))
	daemon := s.start()
	eventually(t, "sshd is answered", func() bool { return server.Login(ada.name, lostFile) == nil })
	junk := fill(t, state)
	put(good)
	turnedAway(t, server, ada.name, lostFile)
	daemon.signal(syscall.SIGKILL)
	<-daemon.ended
	if err := errors.Join(os.Remove(s.path("registry.ldif")), os.Remove(junk)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(d.dir, "keys.cdb"))
	if err != nil {
		t.Fatal(err)
	}
	daemon = s.start()
	daemon.await("until it answers no key is added", 1)
	if err := server.Login(ada.name, goodFile); err != nil {
		t.Error(err)
	}
	if err := server.Login(ada.name, lostFile); !errors.Is(err, testenv.ErrRefused) {
		t.Errorf("what was revoked before: got %v, want ErrRefused", err)
	}
	put(good, lost)
	daemon.signal(syscall.SIGHUP)
	eventually(t, "it counts again when the registry says so", func() bool { return server.Login(ada.name, lostFile) == nil })
	if text, err := os.ReadFile(filepath.Join(d.dir, "keys.cdb")); err != nil || strings.HasPrefix(string(text), string(before)) {
		t.Errorf("the file is the old one: %v", err)
	}
	daemon.stop()
}
