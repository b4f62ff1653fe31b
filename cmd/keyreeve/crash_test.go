package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// crash is a home that is out of line, in whose repair keyreeve dies.
type crash struct {
	name    string
	install string                       // homes.install
	prepare func(t *testing.T, m member) // puts the home out of line
	read    string                       // what of it keyreeve reads, so that quarantine keeps it
	fresh   string                       // what the file holds in the end
	key     string                       // the only registered one
	begun   bool                         // keyreeve's own folders are there
}

func crashes(t *testing.T) []crash {
	t.Helper()
	_, keys := vectors(t)
	text, key := keys["B"]+" intruder\n# mine\n"+keys["A"]+"\n", keys["A"]
	rewrite := crash{
		name: "rewrite", install: "present", key: key, begun: true, read: text, fresh: "# mine\n" + key + "\n",
		prepare: func(t *testing.T, m member) {
			t.Helper()
			m.write(t, "authorized_keys", text)
		},
	}
	first := rewrite
	first.name, first.begun = "first run", false
	return []crash{rewrite, first, {
		name: "link", install: "present", key: key, begun: true, read: text, fresh: key + "\n",
		prepare: func(t *testing.T, m member) {
			t.Helper()
			if err := errors.Join(os.WriteFile(m.home+"/mine", []byte(text), 0o644), os.Symlink("../mine", m.file("authorized_keys"))); err != nil {
				t.Fatal(err)
			}
		},
	}, {
		name: "no .ssh", install: "all", key: key, begun: true, fresh: key + "\n",
		prepare: func(t *testing.T, m member) {
			t.Helper()
			if err := os.Remove(filepath.Join(m.home, ".ssh")); err != nil {
				t.Fatal(err)
			}
		},
	}}
}

// The program dies by SIGKILL at the door of every system call that changes something, and of some others. Wherever that is,
// the file is the old one or the new one, what was done was told before, what went is in quarantine, and the next run ends the
// work. What the kernel has is not lost by that, as it is with the power: see TestApplySyncs.
func TestApplyKilled(t *testing.T) {
	testenv.Need(t, "strace")
	for _, c := range crashes(t) {
		t.Run(c.name, c.run)
	}
}

const (
	// attempts bounds the search for a place to die at. Which thread Go gives a goroutine to is another one in each run, so a
	// run may die elsewhere. It is a good run all the same.
	attempts = 4
	// sample is how many calls that change nothing come to one that is tried.
	sample = 3
	// leastPlaces is at how many places the program must have died from the record of the intent on.
	leastPlaces = 10
)

func (c crash) run(t *testing.T) {
	hit := &tally{runs: make(map[string]int)}
	var first []call
	for attempt := range attempts {
		s, _ := c.site(t)
		calls, _ := s.traced(door{})
		if attempt == 0 {
			first = calls
		}
		t.Run(fmt.Sprintf("attempt %d", attempt+1), func(t *testing.T) {
			for i, p := range calls {
				sampled := attempt == 0 && (i%sample == 0 || i == len(calls)-1)
				if hit.runs[p.label] > 0 || !p.changes() && !sampled {
					continue
				}
				t.Run(p.label, func(t *testing.T) {
					t.Parallel() // it begins when the last place is found
					hit.add(t, c.die(t, p.doors()[attempt%2]))
				})
			}
		})
	}
	hit.judge(t, first)
}

// tally counts where the program died.
type tally struct {
	mu   sync.Mutex
	runs map[string]int // by place
	all  int
}

func (a *tally) add(t *testing.T, place string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all++
	if place != "" {
		a.runs[place]++
	}
}

// judge fails the test unless the program died at enough places of a run, and tells which changes it did not die at. Some are
// out of strace's reach in most runs, since the paths of new files are random and another thread has made as many calls of that
// name before. What the kernel has there is the same as at the calls around them.
func (a *tally) judge(t *testing.T, calls []call) {
	t.Helper()
	told := slices.IndexFunc(calls, func(c call) bool { return c.label == "write /log/audit.jsonl #1" })
	if told < 0 {
		t.Fatalf("no intent was written: %v", calls)
	}
	var missed []string
	places, changes := 0, 0
	for i, c := range calls {
		switch {
		case a.runs[c.label] > 0 && i >= told:
			places++
			if c.changes() {
				changes++
			}
		case a.runs[c.label] == 0 && c.changes():
			missed = append(missed, c.label)
		}
	}
	t.Logf("%d runs died at %d places, %d of them from the intent on; there %d change something. Changes that were missed: %q",
		a.all, len(a.runs), places, changes, missed)
	if places < leastPlaces {
		t.Errorf("the program died at %d places from the intent on, want %d at least", places, leastPlaces)
	}
}

// site makes a site with the home that is out of line.
func (c crash) site(t *testing.T) (site, member) {
	t.Helper()
	s := newSite(t)
	m := s.newMember(1, c.key)
	c.prepare(t, m)
	s.put("registry.ldif", entries(m))
	if c.begun {
		for _, dir := range []string{"log", "state", "state/quarantine"} {
			if err := os.Mkdir(s.path(dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.configure("enforce", s.ldifRegistry())
	s.setHomes("install: " + c.install)
	return s, m
}

// atOnce bounds how many programs are traced side by side, on a machine with more processors too.
var atOnce = make(chan struct{}, 2)

// die lets the program die at a door and says at which of the site's calls it did, "" if at none.
func (c crash) die(t *testing.T, at door) (where string) {
	t.Helper()
	atOnce <- struct{}{}
	defer func() { <-atOnce }()
	s, m := c.site(t)
	old, fresh := m.state(t), m.fresh(c.fresh)
	calls, killed := s.traced(at)
	for _, p := range calls {
		if killed && p.name == at.name && !p.done {
			where = p.label
		}
	}

	switch now := m.state(t); now {
	case fresh:
		s.told(m, c.read)
	case old:
		if !killed {
			t.Error("the program lived, and changed nothing")
		}
	default:
		t.Errorf("killed at %s: the file is\n%s, neither the old one\n%s, nor the new one\n%s", where, now, old, fresh)
	}
	s.whole()
	m.clean(t)

	s.keyreeve(statusOK, "apply")
	s.keyreeve(statusOK, "quarantine", "list")
	if now := m.state(t); now != fresh {
		t.Errorf("killed at %s: after the next run the file is\n%s, want\n%s", where, now, fresh)
	}
	for _, name := range []string{"authorized_keys", "authorized_keys2"} {
		onlyKey(t, name, m.read(t, name), c.key)
	}
	s.told(m, c.read)
	s.whole()
	m.clean(t)
	return where
}

// state is everything that matters of authorized_keys, in one text.
func (m member) state(t *testing.T) string {
	t.Helper()
	info, err := os.Lstat(m.file("authorized_keys"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "missing"
	case err != nil:
		t.Fatal(err)
	case info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(m.file("authorized_keys"))
		return fmt.Sprintf("a link to %s, %v", target, err)
	}
	uid, gid := owner(info)
	return fmt.Sprintf("%v %d:%d %q", info.Mode(), uid, gid, m.read(t, "authorized_keys"))
}

// fresh is the state in which keyreeve leaves the file.
func (m member) fresh(text string) string {
	return fmt.Sprintf("%v %d:%d %q", fs.FileMode(0o600), m.uid, m.gid, text)
}
