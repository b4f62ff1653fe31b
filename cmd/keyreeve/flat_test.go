package main

import (
	"os"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A stranger holds, or has open, the key file of one of the users whose files are in one directory of root's, while a key in it is revoked. The others
// log in meanwhile, also those whose names the kernel has not in memory, and their revoked keys go. What is open goes at once; what is held when he lets go.
func TestLoginsBesideOneFileThatIsHeld(t *testing.T) {
	testenv.Need(t, "root", "fuse", "sshd")
	dir := testenv.RootDir(t)
	server := testenv.StartSSHD(t, "AuthorizedKeysFile "+dir+"/%u\n")
	goodFile, good := testenv.NewKey(t)
	oldFile, old := testenv.NewKey(t)
	s, alice, bob, carol, eve := newSite(t), guest(t, good), guest(t, good), guest(t, good), guest(t, good)
	all := []member{alice, bob, carol, eve}
	for i, m := range all {
		all[i].keys = []string{good, old}
		if err := os.WriteFile(dir+"/"+m.name, []byte(old+"\n"+good+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.put("registry.ldif", entries(all...))
	s.configure("enforce", s.ldifRegistry())
	s.asks(server.Config)
	d := s.start()
	d.await("every home was looked at", 1)
	login := func(m member, file string, in bool) {
		t.Helper()
		if err := server.Login(m.name, file); (err == nil) != in {
			t.Errorf("%s: in %v, want %v: %v", m.name, err == nil, in, err)
		}
	}
	for _, m := range all[:3] {
		login(m, oldFile, true)
	}
	stall := testenv.HoldByRead(t, eve.as(), dir+"/"+alice.name)
	t.Cleanup(stall.Let)
	open, err := os.Open(dir + "/" + bob.name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = open.Close() })
	for i := range all[:3] {
		all[i].keys = []string{good}
	}
	s.put("registry.ldif", entries(all...))
	gone(t, dir+"/"+bob.name, old)
	gone(t, dir+"/"+carol.name, old)
	d.hangs()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0o200); err != nil {
		t.Fatal(err)
	}
	for _, m := range all[:3] {
		login(m, goodFile, true)
	}
	login(bob, oldFile, false)
	login(carol, oldFile, false)
	stall.Let()
	gone(t, dir+"/"+alice.name, old)
	login(alice, goodFile, true)
	login(alice, oldFile, false)
	if text, err := os.ReadFile(dir + "/" + bob.name); err != nil || string(text) != strings.Repeat("#", len(old))+"\n"+good+"\n" {
		t.Errorf("what was changed in its place was changed again: %q, %v", text, err)
	}
	d.stop()
}
