package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
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

// Several users of whom too much is known are one line in the log, and no other line when they are told of in another order, or when one's size changes.
func TestStatusTroubleIsToldOnce(t *testing.T) {
	core, logged := observer.New(zap.WarnLevel)
	s := &statuses{service: &service{log: zap.New(core)}, dir: t.TempDir(), last: make(map[int]written)}
	for i := range 20 {
		users := make(map[int][]ownStatus)
		for uid := range 50 {
			users[65000+uid] = []ownStatus{{Version: 1, UID: uid, Notes: []string{strings.Repeat("x", mostStatus+i)}}}
		}
		s.tell(s.writeAll(users, time.Now()))
	}
	if list := logged.All(); len(list) != 1 || len(fmt.Sprint(list[0].ContextMap())) > 500 {
		t.Errorf("%d lines: %.2000v", len(list), list)
	}
}
