package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long a hint may take; no test waits that long unless it fails.
const patience = 20 * time.Second

type site struct {
	testing.TB
	*Watcher
	base  string
	round int
}

func newSite(t *testing.T) *site {
	t.Helper()
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{TB: t, Watcher: w, base: t.TempDir()}
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) path(elements ...string) string {
	return filepath.Join(append([]string{s.base}, elements...)...)
}

func (s *site) mkdir(elements ...string) string {
	s.Helper()
	path := s.path(elements...)
	s.must(os.MkdirAll(path, 0o700))
	return path
}

func (s *site) touch(elements ...string) {
	s.Helper()
	s.must(os.WriteFile(s.path(elements...), []byte("x"), 0o600))
}

// kernel counts the watches that the kernel has (proc_pid_fdinfo(5)).
func (s *site) kernel() int {
	s.Helper()
	var text []byte
	var err error
	s.must(s.conn.Control(func(fd uintptr) { text, err = os.ReadFile(fmt.Sprint("/proc/self/fdinfo/", fd)) }))
	s.must(err)
	return strings.Count(string(text), "inotify wd:")
}

// user makes a home with .ssh and watches it.
func (s *site) user(name string) {
	s.Helper()
	s.must(s.Set(name, nil, nil, dirs(s.mkdir(name), s.mkdir(name, ".ssh"))))
}

// dirs is what is watched of a home with a plain .ssh, or with none ("").
func dirs(home, ssh string) []Dir {
	list := []Dir{{Path: home, Names: []string{".ssh"}}}
	if ssh != "" {
		list = append(list, Dir{Path: ssh})
	}
	return list
}

// wait takes hints until it has one for each of the users.
func (s *site) wait(users ...string) {
	s.Helper()
	missing := map[string]bool{}
	for _, user := range users {
		missing[user] = true
	}
	for len(missing) > 0 {
		select {
		case hint := <-s.Hints():
			delete(missing, hint)
		case <-time.After(patience):
			s.Fatalf("no hint for %v", missing)
		}
	}
}

// settle takes the hints of everything done so far, and returns whose they were.
// Events come in order, so the first sign of a marker is the last of them.
func (s *site) settle() map[string]bool {
	s.Helper()
	s.round++
	marker := fmt.Sprint("marker", s.round)
	s.user(marker)
	s.touch(marker, ".ssh", "x")
	seen := map[string]bool{}
	for {
		select {
		case hint := <-s.Hints():
			if hint == marker {
				s.Drop(marker)
				return seen
			}
			if !strings.HasPrefix(hint, "marker") { // an earlier one's
				seen[hint] = true
			}
		case <-time.After(patience):
			s.Fatal("no hint for the marker")
		}
	}
}

// quiet wants no hint for the user since the last settle.
func (s *site) quiet(user string) {
	s.Helper()
	if s.settle()[user] {
		s.Fatalf("unexpected hint for %q", user)
	}
}
