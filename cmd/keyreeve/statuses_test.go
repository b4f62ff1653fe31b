package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/internal/config"
)

// A status that is too large is none, and takes the place of none: an old one would say what is no longer so. One that says nothing new is written anew
// when it is old.
func TestStatusIsBounded(t *testing.T) {
	uid := os.Getuid()
	s := &statuses{service: &service{log: zap.NewNop()}, dir: t.TempDir(), last: make(map[int]written)}
	path := filepath.Join(s.dir, statusName(uid))
	now := time.Now()
	write := func(at time.Time, notes ...string) (when time.Time, err error) {
		t.Helper()
		if err := s.write(uid, []ownStatus{{Version: 1, UID: uid, Notes: notes}}, at); err != nil {
			return when, err
		}
		list, err := readStatus(path)
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v %v", list, err)
		}
		return list[0].Written, nil
	}
	first, err := write(now, "a note")
	if err != nil || !first.Equal(now.UTC().Truncate(time.Second)) {
		t.Fatalf("%v %v", first, err)
	}
	if again, err := write(now.Add(statusAge-time.Second), "a note"); err != nil || !again.Equal(first) {
		t.Errorf("nothing new: %v %v", again, err)
	}
	if other, err := write(now.Add(10*time.Second), "another"); err != nil || other.Equal(first) {
		t.Errorf("something new: %v %v", other, err)
	}
	if old, err := write(now.Add(10*time.Second+statusAge), "another"); err != nil || !old.Equal(now.Add(10*time.Second+statusAge).UTC().Truncate(time.Second)) {
		t.Errorf("old: %v %v", old, err)
	}
	if _, err := write(now, strings.Repeat("x", mostStatus)); err == nil {
		t.Error("a large one was written")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("what it said before is there: %v", err)
	}
}

// Whether an sshd lets a user's own group write to his key files is asked of that of each configuration.
func TestStatusTellsOfOwnGroups(t *testing.T) {
	for script, want := range map[string]bool{
		"exit 0": true,
		"echo 'command-line line 0: Bad configuration option: DebianBanner' >&2; exit 255": false,
	} {
		program := filepath.Join(t.TempDir(), "sshd")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		s := &service{log: zap.NewNop()}
		s.config.Homes.SSHD = config.SSHD{Program: program, Configs: []string{"/etc/ssh/sshd_config"}}
		if got := trustsOwnGroups(t.Context(), newSSHD(s.config.Homes.SSHD), s.newStatuses().configs); got != want {
			t.Errorf("%s: %v", script, got)
		}
	}
}

// A copy is read once: not as long as no other has come, and it is there.
func TestStatusReadsACopyOnce(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	ada := s.newMember(1, keys["A"])
	ada.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	s.put("registry.ldif", entries(ada))
	s.configure("enforce", s.ldifRegistry())
	s.keyreeve(statusOK, "apply")
	c, err := loadConfig(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	list := &statuses{quarantine: quarantineOf(c), taken: make(map[string]taken)}
	says := func(want int) {
		t.Helper()
		if lines, err := list.takenFrom(ada.name); err != nil || len(lines) != want {
			t.Errorf("%d lines, %v: not %d", len(lines), err, want)
		}
	}
	says(1)
	names, err := list.quarantine.Recent(ada.name, statusCopies)
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	path := filepath.Join(list.quarantine.Dir, ada.name, names[0])
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	says(1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	says(0)
}
