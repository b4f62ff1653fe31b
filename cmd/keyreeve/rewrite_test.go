package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// A program of the user's puts an unknown key back as fast as it can. What that costs is bounded: one alert, a look a second, a
// few records a look; nobody else waits; and when the program ends, the key is gone.
func TestRewriteLoop(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user, other := s.newMember(1, keys["A"]), s.newMember(2, keys["A"])
	s.put("registry.ldif", entries(user, other))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("every home was looked at", 1)

	begun := user.home + "/begun"
	loop := exec.Command("/bin/sh", "-euc", fmt.Sprintf(`umask 077; echo '%s' >key; >begun
while :; do cp key new; mv new .ssh/authorized_keys; done`, keys["B"]))
	loop.Dir = user.home
	if os.Geteuid() == 0 {
		loop.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user.uid), Gid: uint32(user.gid)}}
	}
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() { _, _ = loop.Process.Kill(), loop.Wait() }
	t.Cleanup(stop)
	eventually(t, "the loop runs", func() bool { _, err := os.Stat(begun); return err == nil })
	d.await("changed again and again", 1)
	told, before := d.said(user.name), s.size("log", "audit.jsonl")
	eventually(t, "the trail grows on", func() bool { return s.size("log", "audit.jsonl") > before+before/2 })
	other.write(t, "authorized_keys", keys["B"]+"\n")
	other.loses(t, "authorized_keys", keys["B"])

	stop()
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if n := d.said("changed again and again"); n != 1 {
		t.Errorf("the alert came %d times", n)
	}
	if n := d.said(user.name); n > told+1 {
		t.Errorf("%d lines tell of the user, %d of them after the alert", n, n-told)
	}
}

// size is how many bytes a file has.
func (s site) size(name ...string) int64 {
	s.t.Helper()
	info, err := os.Stat(s.path(name...))
	if err != nil {
		s.t.Fatal(err)
	}
	return info.Size()
}
