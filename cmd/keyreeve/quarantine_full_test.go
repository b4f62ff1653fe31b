package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A disk that is full stops the daemon's removal, loudly, or lets it go on without copies, as the centre has chosen.
func TestDaemonQuarantineFull(t *testing.T) {
	testenv.Need(t, "root", "mount")
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	dir := s.path("state", "quarantine")
	smallDisk(t, dir, "size=64k,mode=700")
	junk, err := os.Create(s.path("state", "quarantine", "junk"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(junk, strings.NewReader(strings.Repeat("x", 1<<20))); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := junk.Close(); err != nil {
		t.Fatal(err)
	}

	d := s.start()
	d.await("every home was looked at", 1)
	both := keys["A"] + "\n" + keys["B"] + " intruder\n"
	user.append(t, "authorized_keys", keys["B"]+" intruder\n")
	d.await("nothing is removed until it has (quarantine_full: stop)", 1)
	d.await("quarantine is full: ", 1)
	if text := user.read(t, "authorized_keys"); text != both {
		t.Errorf("without a copy the file became %q", text)
	}
	if err := os.Remove(junk.Name()); err != nil {
		t.Fatal(err)
	}
	user.loses(t, "authorized_keys", keys["B"]) // the daemon tries again by itself
	if list, _ := s.keyreeve(statusOK, "quarantine", "list"); !strings.Contains(list, user.file("authorized_keys")) {
		t.Errorf("the quarantine has %q", list)
	}

	if err := os.WriteFile(junk.Name(), []byte(strings.Repeat("x", 1<<20)), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", string(text)+"quarantine_full: remove\n")
	d.signal(syscall.SIGHUP)
	d.await("configuration read again", 1)
	user.append(t, "authorized_keys", keys["B"]+" intruder\n")
	user.loses(t, "authorized_keys", keys["B"])
	d.await("what is removed is lost (quarantine_full: remove)", 1)
	d.stop()
	trail, err := os.ReadFile(s.path("log", "audit.jsonl"))
	if err != nil || strings.Count(string(trail), `"event.action":"keep-copy","event.outcome":"failure","event.reason":"quarantine-full"`) != 1 {
		t.Errorf("the trail does not say once that there is no copy: %v", err)
	}
}
