package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/audit"
)

// soakUsers is how many users rewrite their files at once; "make soak" takes a thousand.
var soakUsers = flag.Int("soak", 30, "users of TestSoak")

// soakRounds is how often each of them does.
const soakRounds = 3

// soakMemory bounds what the daemon may use: the runtime, the registry, and what the workers have read at one time.
const soakMemory = 256 << 20

// All users rewrite their files at once, again and again: every unknown key goes, each removal is in the trail once, nobody's
// registered key is touched, nor any file of those who do nothing, and the daemon's memory stays within bounds.
func TestSoak(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	members := make([]member, *soakUsers+max(*soakUsers/10, 1))
	for i := range members {
		members[i] = s.newMember(i, keys["A"])
		members[i].write(t, "authorized_keys", keys["A"]+" own\n")
	}
	busy, quiet := members[:*soakUsers], members[*soakUsers:]
	s.put("registry.ldif", entries(members...))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("every home was looked at", 1)
	before := untouched(t, quiet)

	begin := time.Now()
	var wg sync.WaitGroup
	slowest := make([]time.Duration, len(busy))
	for i, m := range busy {
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
	if diff := cmp.Diff(before, untouched(t, quiet)); diff != "" {
		t.Errorf("files of users who did nothing were touched: %s", diff)
	}
	removed := s.removals()
	for _, m := range busy {
		if n := removed[m.name].intents; n != soakRounds {
			t.Errorf("the trail tells of %d removals of %s, want %d", n, m.name, soakRounds)
		}
	}
	if len(removed) != len(busy) {
		t.Errorf("the trail tells of %d users, want %d", len(removed), len(busy))
	}
	s.keyreeve(statusOK, "audit", "verify")
	if memory > soakMemory {
		t.Errorf("the daemon's memory was %d bytes, more than %d", memory, soakMemory)
	}
	slices.Sort(slowest)
	t.Logf("%d users, %d rounds beside %d users who do nothing: all clean after %v; the slowest removal of a user took %v in the median, %v at most; peak memory %d MiB",
		len(busy), soakRounds, len(quiet), took.Round(time.Millisecond), slowest[len(slowest)/2].Round(time.Millisecond),
		slowest[len(slowest)-1].Round(time.Millisecond), memory>>20)
}

// untouched is what stat(2) says of the homes and all that is in them; every change moves a change time.
func untouched(t *testing.T, members []member) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, m := range members {
		err := filepath.WalkDir(m.home, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			var stat syscall.Stat_t
			err = syscall.Lstat(path, &stat)
			all[path] = fmt.Sprintf("inode %d mode %o owner %d:%d size %d changed %v", stat.Ino, stat.Mode, stat.Uid, stat.Gid, stat.Size, stat.Ctim)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
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
		if time.Since(begin) > patience+time.Duration(*soakUsers)*100*time.Millisecond { // a disk takes so many fsyncs a second
			t.Errorf("%s keeps the unknown key", m.name)
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

// peak is the most memory that the daemon has had, in bytes, as the kernel tells it (VmHWM, proc(5)).
func (d *child) peak() int {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	d.t.Fatal("the kernel does not tell the daemon's peak memory")
	return 0
}

// removals are those that a trail tells of. One that is intended and not done is one that somebody was faster with, or after
// which its user has written again before the daemon looked at its work.
type removals struct{ intents, done int }

// removals counts the removals of an unregistered line, by user, in all files of the trail.
func (s site) removals() map[string]removals {
	s.t.Helper()
	files, err := audit.Files(s.path("log", "audit.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	n, intents := make(map[string]removals), make(map[string]int) // by user, by change
	for _, name := range files {
		file, err := audit.OpenFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			var r struct {
				Action  string `json:"event.action"`
				Outcome string `json:"event.outcome"`
				Reason  string `json:"event.reason"`
				ID      string `json:"event.id"`
				User    string `json:"user.name"`
			}
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				s.t.Fatal(err)
			}
			of := n[r.User]
			switch {
			case r.Action == audit.RemoveLine && r.Outcome == audit.Intent && r.Reason == "unregistered":
				intents[r.ID]++
				of.intents++
			case r.Action == audit.ReplaceFile && r.Outcome == audit.Success:
				of.done += intents[r.ID]
			}
			if of.intents > 0 {
				n[r.User] = of
			}
		}
		if err := file.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
	return n
}
