package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// soakUsers is how many users rewrite their files at once; "make soak" takes a thousand.
var soakUsers = flag.Int("soak", 30, "users of TestSoak")

// soakRounds is how often each of them does.
const soakRounds = 3

// All users rewrite their files at once, again and again: every unknown key goes, every one of them is in the trail before it
// went, nobody's registered key is touched, and the daemon's memory stays within bounds.
func TestSoak(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	members := make([]member, *soakUsers)
	for i := range members {
		members[i] = s.newMember(i, keys["A"])
		members[i].write(t, "authorized_keys", keys["A"]+" own\n")
	}
	s.put("registry.ldif", entries(members...))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("every home was looked at", 1)

	begin := time.Now()
	var wg sync.WaitGroup
	slowest := make([]time.Duration, len(members))
	for i, m := range members {
		wg.Go(func() {
			for range soakRounds {
				slowest[i] = max(slowest[i], m.intrude(t, keys["B"]))
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	memory := d.peak()
	d.stop()

	for _, m := range members {
		if text := m.read(t, "authorized_keys"); text != keys["A"]+" own\n" {
			t.Errorf("%s has %q", m.name, text)
		}
	}
	intents := s.removals("unregistered")
	for _, m := range members {
		if n := intents[m.name]; n < 1 || n > soakRounds {
			t.Errorf("the trail tells of %d removals of %s, want 1 to %d", n, m.name, soakRounds)
		}
	}
	slices.Sort(slowest)
	t.Logf("%d users, %d rounds: all clean after %v; the slowest removal of a user took %v in the median, %v at most; peak memory %s",
		len(members), soakRounds, took.Round(time.Millisecond), slowest[len(slowest)/2].Round(time.Millisecond),
		slowest[len(slowest)-1].Round(time.Millisecond), memory)
}

// intrude puts a file with an unknown key in the place of the member's, as an editor does, and waits until the key is gone.
func (m member) intrude(t *testing.T, key string) time.Duration {
	t.Helper()
	text := m.read(t, "authorized_keys")
	m.write(t, "new", key+" intruder\n"+text)
	begin := time.Now()
	if err := os.Rename(m.file("new"), m.file("authorized_keys")); err != nil {
		t.Error(err)
	}
	for strings.Contains(m.read(t, "authorized_keys"), key) {
		if time.Since(begin) > patience {
			t.Errorf("%s keeps the unknown key", m.name)
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

// peak is the most memory that the daemon has had, as the kernel tells it (VmHWM, proc(5)).
func (d *child) peak() string {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(size)
		}
	}
	return "unknown"
}

// removals counts the intents to remove a line for a reason, by user.
func (s site) removals(reason string) map[string]int {
	s.t.Helper()
	text, err := os.ReadFile(s.path("log", "audit.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	n := make(map[string]int)
	for line := range bytes.Lines(text) {
		var r struct {
			Action  string `json:"event.action"`
			Outcome string `json:"event.outcome"`
			Reason  string `json:"event.reason"`
			User    string `json:"user.name"`
		}
		if err := json.Unmarshal(line, &r); err != nil {
			s.t.Fatal(err)
		}
		if r.Action == "remove-line" && r.Outcome == "intent" && r.Reason == reason {
			n[r.User]++
		}
	}
	return n
}
