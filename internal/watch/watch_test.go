package watch

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

func TestMain(m *testing.M) {
	if status, child := testenv.Child(); child {
		os.Exit(status)
	}
	goleak.VerifyTestMain(m)
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
	s.must(s.Set("alice", nil, nil, dirs(s.mkdir("alice"), "")))
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
	if s.Len() != 2 || s.kernel() != 2 {
		t.Errorf("%d watches, %d in the kernel", s.Len(), s.kernel())
	}
	s.must(s.Set("alice", nil, nil, dirs(s.path("alice"), "")))
	s.touch("alice", ".ssh", "k")
	s.quiet("alice")
	s.Drop("alice")
	if s.Len() != 0 || s.kernel() != 0 {
		t.Errorf("%d watches left, %d in the kernel", s.Len(), s.kernel())
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
	s.must(s.Set("carol", nil, nil, dirs(s.mkdir("carol"), s.path("alice", ".ssh"))))
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
	if s.Len() != 0 || s.kernel() != 0 {
		t.Errorf("left: %d, %d in the kernel", s.Len(), s.kernel())
	}
}

func TestSetRunsAsTheUser(t *testing.T) {
	s := newSite(t)
	home, ssh := s.mkdir("alice"), s.mkdir("alice", ".ssh")
	refusal := errors.New("refused")
	if err := s.Set("alice", func(func() error) error { return refusal }, nil, dirs(home, ssh)); !errors.Is(err, refusal) || s.Len() != 0 {
		t.Errorf("%v, %d watches", err, s.Len())
	}
	s.must(s.Set("alice", func(fn func() error) error { return fn() }, nil, dirs(home, ssh)))
	if s.Len() != 2 {
		t.Errorf("%d watches", s.Len())
	}
}

func TestLinksAndFilesAreNotWatched(t *testing.T) {
	s := newSite(t)
	s.mkdir("alice")
	s.must(os.Symlink("/etc", s.path("alice", ".ssh")))
	if err := s.Set("alice", nil, nil, dirs(s.path("alice"), s.path("alice", ".ssh"))); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("link: %v", err)
	}
	if err := s.Set("alice", nil, nil, dirs(s.path("alice"), s.path("nowhere"))); !errors.Is(err, os.ErrNotExist) {
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

// More events than fs.inotify.max_queued_events, by a real flood while nobody reads them.
func TestOverflowMeansEverybody(t *testing.T) {
	s := newSite(t)
	s.user("alice")
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	s.must(err)
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	s.must(err)
	s.remove(1 << 20) // a watch that is gone is no loss
	s.quiet("")
	s.mu.Lock()
	for range most { // two events each
		s.touch("alice", ".ssh", "k")
		s.must(os.Remove(s.path("alice", ".ssh", "k")))
	}
	s.mu.Unlock()
	s.wait("")
	s.settle()
	s.touch("alice", ".ssh", "k")
	s.wait("alice")
}

// A user's flood may not stop the reader while nobody takes hints, and is one
// hint in the end.
func TestFloodIsOneHint(t *testing.T) {
	s := newSite(t)
	s.user("alice")
	for range 3000 {
		s.touch("alice", ".ssh", "k")
		s.must(os.Remove(s.path("alice", ".ssh", "k")))
	}
	s.user("bob")
	s.touch("bob", ".ssh", "k")
	arrived := func() bool {
		s.queue.mu.Lock()
		defer s.queue.mu.Unlock()
		return s.queue.waiting["bob"] || s.queue.all
	}
	for start := time.Now(); !arrived(); runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatal("the reader stands still")
		}
	}
	for hints := range 4 {
		if hint := <-s.Hints(); hint == "bob" || hint == "" {
			return
		}
		t.Logf("hint %d is another's", hints)
	}
	t.Error("a flood is many hints")
}

// A directory may fold case (ext4 with casefold): a name that a program has spelt otherwise is that of the key file all the same.
func TestNamesFoldCase(t *testing.T) {
	s := newSite(t)
	ssh := s.mkdir("alice", ".ssh")
	s.must(s.Set("alice", nil, nil, []Dir{{Path: ssh, Names: []string{"authorized_keys"}}}))
	s.touch("alice", ".ssh", "Authorized_KEYS")
	s.wait("alice")
}
