package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

// user makes a home with .ssh and watches it.
func (s *site) user(name string) {
	s.Helper()
	s.must(s.Set(name, nil, s.mkdir(name), s.mkdir(name, ".ssh")))
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
			delete(missing, hint.User)
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
			if hint.User == marker {
				s.Drop(marker)
				return seen
			}
			seen[hint.User] = true
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

func TestEveryChangeOfSSHIsAHint(t *testing.T) {
	s := newSite(t)
	s.user("alice")
	keys := s.path("alice", ".ssh", "authorized_keys")
	steps := []struct {
		title string
		do    func() error
	}{
		{"create", func() error { return os.WriteFile(keys, []byte("a"), 0o600) }},
		{"write", func() error { return os.WriteFile(keys, []byte("b"), 0o600) }},
		{"chmod", func() error { return os.Chmod(keys, 0o644) }},
		{"rename away", func() error { return os.Rename(keys, s.path("x")) }},
		{"rename over", func() error { return os.Rename(s.path("x"), keys) }},
		{"remove", func() error { return os.Remove(keys) }},
		{"link", func() error { return os.Symlink("/", keys) }},
		{"another name", func() error { return os.WriteFile(keys+"2", nil, 0o600) }},
		{"mode of .ssh", func() error { return os.Chmod(s.path("alice", ".ssh"), 0o777) }},
	}
	for _, step := range steps {
		s.settle()
		s.must(step.do())
		t.Log(step.title)
		s.wait("alice")
	}
}

func TestHomeSaysOnlyWhatConcernsSSH(t *testing.T) {
	s := newSite(t)
	s.must(s.Set("alice", nil, s.mkdir("alice"), ""))
	s.touch("alice", "file")
	s.mkdir("alice", "dir")
	s.quiet("alice")
	s.mkdir("alice", ".ssh")
	s.wait("alice")
	s.settle()
	s.must(os.Remove(s.path("alice", ".ssh")))
	s.wait("alice")
	s.settle()
	s.touch("alice", ".SSH")
	s.wait("alice")
	s.settle()
	s.must(os.Chmod(s.path("alice"), 0o755))
	s.wait("alice")
	s.settle()
	s.must(os.Rename(s.path("alice"), s.path("gone")))
	s.wait("alice")
}

func TestExchangedSSHIsWatchedAfterSet(t *testing.T) {
	s := newSite(t)
	s.user("alice")
	for i := range 5 {
		s.must(os.Rename(s.path("alice", ".ssh"), s.path(fmt.Sprint("old", i))))
		s.mkdir("alice", ".ssh")
		s.wait("alice")
		for s.user("alice"); s.settle()["alice"]; s.user("alice") {
			// as the daemon does: every hint is a Set
		}
		s.touch("alice", ".ssh", "k")
		s.wait("alice")
		s.settle()
		s.touch(fmt.Sprint("old", i), "k")
		s.quiet("alice")
		if s.Len() != 2 {
			t.Fatalf("%d watches", s.Len())
		}
	}
}

func TestSetIsIdempotent(t *testing.T) {
	s := newSite(t)
	for range 10 {
		s.user("alice")
	}
	s.quiet("alice")
	if s.Len() != 2 || len(s.notify.WatchList()) != 2 {
		t.Errorf("%d watches, %q", s.Len(), s.notify.WatchList())
	}
	s.must(s.Set("alice", nil, s.path("alice"), ""))
	s.touch("alice", ".ssh", "k")
	s.quiet("alice")
	s.Drop("alice")
	if s.Len() != 0 || len(s.notify.WatchList()) != 0 {
		t.Errorf("%d watches left, %q", s.Len(), s.notify.WatchList())
	}
	s.Drop("alice")
}

func TestTwoUsersOneDirectory(t *testing.T) {
	testenv.Need(t, "root", "mount")
	s := newSite(t)
	s.user("alice")
	s.user("bob")
	s.must(unix.Mount(s.path("alice", ".ssh"), s.path("bob", ".ssh"), "", unix.MS_BIND, ""))
	t.Cleanup(func() { _ = unix.Unmount(s.path("bob", ".ssh"), unix.MNT_DETACH) })
	s.user("bob") // one inode under two paths
	s.must(s.Set("carol", nil, s.mkdir("carol"), s.path("alice", ".ssh")))
	s.settle()
	s.touch("alice", ".ssh", "k")
	s.wait("alice", "bob", "carol")
	s.settle()
	s.Drop("alice")
	s.touch("alice", ".ssh", "k")
	if seen := s.settle(); seen["alice"] || !seen["bob"] || !seen["carol"] {
		t.Errorf("hints for %v", seen)
	}
	s.Drop("bob")
	s.Drop("carol")
	if s.Len() != 0 || len(s.notify.WatchList()) != 0 {
		t.Errorf("left: %d %q", s.Len(), s.notify.WatchList())
	}
}

func TestSetRunsAsTheUser(t *testing.T) {
	s := newSite(t)
	home, ssh := s.mkdir("alice"), s.mkdir("alice", ".ssh")
	refusal := errors.New("refused")
	if err := s.Set("alice", func(func() error) error { return refusal }, home, ssh); !errors.Is(err, refusal) || s.Len() != 0 {
		t.Errorf("%v, %d watches", err, s.Len())
	}
	s.must(s.Set("alice", func(fn func() error) error { return fn() }, home, ssh))
	if s.Len() != 2 {
		t.Errorf("%d watches", s.Len())
	}
}

func TestLinksAndFilesAreNotWatched(t *testing.T) {
	s := newSite(t)
	s.mkdir("alice")
	s.must(os.Symlink("/etc", s.path("alice", ".ssh")))
	if err := s.Set("alice", nil, s.path("alice"), s.path("alice", ".ssh")); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("link: %v", err)
	}
	if err := s.Set("alice", nil, s.path("alice"), s.path("nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	if s.Len() != 1 {
		t.Errorf("the home is watched all the same: %d", s.Len())
	}
}

func TestLimitIsNamed(t *testing.T) {
	if err := explain("/h", unix.ENOSPC); !errors.Is(err, ErrNoWatch) || !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
}

func TestOverflowMeansEverybody(t *testing.T) {
	s := newSite(t)
	s.notify.Errors <- unix.EINVAL
	s.quiet("")
	s.notify.Errors <- fmt.Errorf("wrapped: %w", fsnotify.ErrEventOverflow)
	for {
		select {
		case hint := <-s.Hints():
			if hint == (Hint{Lost: true}) {
				return
			}
		case <-time.After(patience):
			t.Fatal("no hint")
		}
	}
}

// A user's flood may not stop the reader, whether or not hints are taken.
func TestFloodIsOneHint(t *testing.T) {
	s := newSite(t)
	s.user("alice")
	for range 3000 {
		s.touch("alice", ".ssh", "k")
		s.must(os.Remove(s.path("alice", ".ssh", "k")))
	}
	s.user("bob")
	s.touch("bob", ".ssh", "k")
	hints := 0
	for bob := false; !bob; hints++ {
		select {
		case hint := <-s.Hints():
			bob = hint.User == "bob" || hint.Lost
		case <-time.After(patience):
			t.Fatal("no hint")
		}
	}
	if hints > 4 {
		t.Errorf("%d hints", hints)
	}
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for range 100 {
			q.add("alice")
			q.add("bob")
		}
		q.drop("alice")
		go q.run()
		if hint := <-q.out; hint.User != "bob" {
			t.Errorf("%+v", hint)
		}
		q.add("alice")
		synctest.Wait() // run holds the hint out by now
		q.lost()
		if hint := <-q.out; hint.User != "alice" {
			t.Errorf("%+v", hint)
		}
		if hint := <-q.out; !hint.Lost {
			t.Errorf("%+v", hint)
		}
		q.stop()
		q.stop()
		if hint, open := <-q.out; open {
			t.Errorf("%+v", hint)
		}
	})
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.ldif")
	ctx, cancel := context.WithCancel(t.Context())
	changed, err := File(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	wait := func(title string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatalf("%s: no sign", title)
		}
	}
	wait("create", os.WriteFile(path, []byte("a"), 0o600))
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	wait("rename over", os.Rename(other, path))
	wait("remove", os.Remove(path))
	cancel()
	for range changed {
		// signs of the changes above may still wait
	}
	if _, err := File(t.Context(), filepath.Join(dir, "no", "file")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
