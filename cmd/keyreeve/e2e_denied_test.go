package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/internal/krl"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// denyDropIn is the drop-in that keyreeve brings, for a list and an account that it leaves out.
func denyDropIn(t *testing.T, list, leftOut string) string {
	t.Helper()
	text, err := os.ReadFile("../../configs/sshd_config.d/20-keyreeve-deny.conf")
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("/var/lib/keyreeve/revoked.krl", list, "!root", "!"+leftOut).Replace(string(text))
}

// smallDisk makes a directory that is a disk in memory, by options of tmpfs(5).
func smallDisk(t *testing.T, path, options string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(path, 0o700), syscall.Mount("none", path, "tmpfs", 0, options)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill takes all the room of a small disk, until the file that it names goes.
func fill(t *testing.T, dir string) string {
	t.Helper()
	junk, err := os.Create(filepath.Join(dir, "junk"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(junk, strings.NewReader(strings.Repeat("x", 1<<20))); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := junk.Close(); err != nil {
		t.Fatal(err)
	}
	return junk.Name()
}

// A key that was registered and is nobody's now is refused, though it stands in a file that keyreeve leaves as it is. One that is anybody's is
// not, nor one that a file of root's names, nor any key of whom the drop-in leaves out. On a full disk nobody is locked out.
func TestDeniedLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd", "mount")
	s := newSite(t)
	disk := s.path("disk")
	smallDisk(t, disk, "size=64k,mode=700")
	goodFile, good := testenv.NewKey(t)
	lostFile, lost := testenv.NewKey(t)
	laterFile, later := testenv.NewKey(t)
	strangeFile, strange := testenv.NewKey(t)
	ada, bob, admin := guest(t, good), guest(t, good), testenv.NewAccount(t)
	root := member{name: admin.Name, uid: admin.UID, gid: admin.GID, home: admin.Home}
	list := filepath.Join(disk, "revoked.krl")
	server := testenv.StartSSHD(t, denyDropIn(t, list, root.name))
	ada.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", strings.Join([]string{good, lost, later, strange, ""}, "\n"))
	root.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", lost+"\n")
	s.put("never", strange+"\n")
	registered := func(of member, keys ...string) {
		of.keys = keys
		s.put("registry.ldif", entries(of, bob))
	}
	in := func(who member, key string) {
		t.Helper()
		eventually(t, "a login", func() bool { return server.Login(who.name, key) == nil })
	}
	out := func(who member, key string) { t.Helper(); turnedAway(t, server, who.name, key) }

	out(ada, goodFile) // without a list nobody gets in
	registered(ada, good, lost, later, strange)
	s.configure("report", s.ldifRegistry())
	s.more(fmt.Sprintf("deny: {file: %s, except: [%s]}\n", list, s.path("never")))
	d := s.start()
	for _, file := range []string{goodFile, lostFile, laterFile, strangeFile} {
		in(ada, file)
	}

	registered(ada, good, later)
	out(ada, lostFile)
	in(ada, goodFile)
	in(ada, strangeFile) // though it was registered
	in(root, lostFile)
	if text := ada.read(t, "authorized_keys"); !strings.Contains(text, lost) {
		t.Error("mode report has changed a file")
	}
	d.stop()
	out(ada, lostFile)
	d = s.start()
	d.await("registry read", 1)
	out(ada, lostFile)

	junk := fill(t, disk)
	registered(ada, good)
	out(ada, laterFile)
	out(ada, lostFile)
	in(ada, goodFile)
	// It is registered again.
	bob.keys = []string{good, lost}
	registered(ada, good)
	in(ada, lostFile)
	in(ada, goodFile)
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	out(ada, laterFile)
	in(ada, lostFile)
	in(ada, goodFile)
	d.stop()
}

// What the daemon finds under the name of its list at a start: its own list stays, a damaged one gives way, another one is left alone.
func TestDeniedFileAtTheStart(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	_, keys := vectors(t)
	s.put("registry.ldif", entries(s.newMember(1, keys["A"])))
	s.configure("report", s.ldifRegistry())
	list := s.path("lists", "revoked.krl")
	s.more(fmt.Sprintf("deny: {file: %s}\n", list))
	empty := func() bool { text, err := os.ReadFile(list); return err == nil && len(text) == 0 }
	start := func() {
		t.Helper()
		d := s.start()
		d.await("registry read", 1)
		eventually(t, "there is an empty list", empty)
		if err := os.Remove(list); err != nil {
			t.Fatal(err)
		}
		d.signal(syscall.SIGHUP) // which reads the registry
		eventually(t, "there is one again", empty)
		s.put("lists/revoked.krl", "an old list, put back")
		d.signal(syscall.SIGHUP)
		eventually(t, "it is an empty one", empty)
		d.stop()
	}
	start()
	s.put("lists/revoked.krl", "SSHKRL\n\x00\x00\x00\x00\x01"+strings.Repeat("\x00", 28)+"\x00\x00\x00\x08keyreeve\x05\x00\x00")
	start()
	own := "# somebody's own list\n"
	s.put("lists/revoked.krl", own)
	if _, said := s.keyreeve(statusError, "daemon"); !strings.Contains(said, "is not a list that keyreeve wrote") {
		t.Errorf("the daemon says %q", said)
	}
	if text, err := os.ReadFile(list); err != nil || string(text) != own {
		t.Errorf("the file became %q, %v", text, err)
	}
}

// On a full disk a list that has outgrown its room leaves the old one, but for keys that are somebody's by now.
func TestDeniedOnAFullDisk(t *testing.T) {
	testenv.Need(t, "root", "mount")
	disk := t.TempDir()
	smallDisk(t, disk, "size=64k,mode=700")
	d := &denied{spare: statefile.Spare{Dir: disk, Name: "list"}, log: zap.NewNop()}
	hashes := make([]krl.Hash, 1000)
	for n := range hashes {
		hashes[n] = sha256.Sum256([]byte{byte(n), byte(n >> 8)})
	}
	lists := func(want ...krl.Hash) {
		t.Helper()
		if text, err := os.ReadFile(filepath.Join(disk, "list")); err != nil || !bytes.Equal(text, krl.Make(want)) {
			t.Errorf("the list has %d bytes, want %d keys: %v", len(text), len(want), err)
		}
	}
	put := func(full bool, want ...krl.Hash) {
		t.Helper()
		if err := d.put(want); statefile.Full(err) != full || err != nil && !full {
			t.Errorf("%d keys: %v", len(want), err)
		}
	}
	put(false)
	junk := fill(t, disk)
	put(false, hashes[:2]...)
	put(false, hashes[:300]...)
	put(false, hashes[:299]...)
	lists(hashes[:299]...)
	put(true, hashes...)
	lists(hashes[:299]...)
	put(true, hashes[1:]...)
	lists(hashes[1:299]...)
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	put(false, hashes[1:400]...)
	lists(hashes[1:400]...)
}

// A key that nobody has registered is refused from the moment in which it is written again, where that is wanted: it stands in bob's file, which is left
// as it is, and is refused when it went from eve's. Whose it becomes has it back, and nobody is hit whose key is registered.
func TestDeniedLoginsByUnknownKeys(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	s := newSite(t)
	goodFile, good := testenv.NewKey(t)
	strangeFile, strange := testenv.NewKey(t)
	_, ada := testenv.NewKey(t)
	eve, bob := guest(t, good), guest(t, good)
	list := s.path("lists", "revoked.krl")
	server := testenv.StartSSHD(t, denyDropIn(t, list, "nobody"))
	bob.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", good+"\n"+strange+"\n")
	s.put("registry.ldif", entries(eve, bob))
	s.configure("enforce", s.ldifRegistry())
	s.more(fmt.Sprintf("deny: {file: %s, unknown: true}\nusers: [{user: %s, mode: report}]\n", list, bob.name))
	d := s.start()
	d.await("every home was looked at", 1)
	eventually(t, "bob logs in with it", func() bool { return server.Login(bob.name, strangeFile) == nil })
	eve.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", good+"\n"+ada+"\n"+strange+"\n")
	eve.loses(t, "authorized_keys", strange)
	turnedAway(t, server, bob.name, strangeFile)
	for _, m := range []member{eve, bob} {
		if err := server.Login(m.name, goodFile); err != nil {
			t.Errorf("the registered key: %v", err)
		}
	}
	bob.keys = []string{good, strange}
	s.put("registry.ldif", entries(eve, bob))
	eventually(t, "it is bob's, who logs in with it", func() bool { return server.Login(bob.name, strangeFile) == nil })
	d.stop()
}
