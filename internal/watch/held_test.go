package watch

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// thread is one of this process that does something which may hang.
type thread struct {
	s    *site
	tid  int
	done chan error
}

// spawn runs fn on a thread of its own.
func (s *site) spawn(fn func() error) *thread {
	tid, th := make(chan int), &thread{s: s, done: make(chan error, 1)}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with fn
		tid <- unix.Gettid()
		th.done <- fn()
	}()
	th.tid = <-tid
	return th
}

// waits reports whether the thread sleeps in one of the functions that ask for the lock of a directory, for a mkdir and for a
// look-up of a name that is not cached (proc_pid_wchan(5) shows their caller for the functions of the lock).
func (th *thread) waits() bool {
	where, _ := os.ReadFile("/proc/self/task/" + strconv.Itoa(th.tid) + "/wchan")
	return slices.ContainsFunc([]string{"filename_create", "lookup_slow", "walk_component", "rwsem"}, func(name string) bool {
		return strings.Contains(string(where), name)
	})
}

// until waits for a condition.
func (s *site) until(title string, condition func() bool) {
	s.Helper()
	for start := time.Now(); !condition(); time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			s.Fatalf("never: %s", title)
		}
	}
}

// ends wants fn or the thread to end without an error.
func (th *thread) ends(title string) {
	th.s.Helper()
	select {
	case err := <-th.done:
		if err != nil {
			th.s.Errorf("%s: %v", title, err)
		}
	case <-time.After(patience):
		th.s.Fatalf("%s: it hangs", title)
	}
}

// others wants a second user to be watched and to get hints; a Set that hangs is no end of the test.
func (s *site) others() {
	s.Helper()
	s.spawn(func() error {
		return s.Set("bob", nil, nil, dirs(s.path("bob"), s.path("bob", ".ssh")))
	}).ends("another user's Set")
	s.touch("bob", ".ssh", "k")
	s.wait("bob")
	s.spawn(func() error { s.Drop("bob"); return nil }).ends("another user's Drop")
}

// hold makes the user keep a directory's lock by a listing of it, and queues a mkdir of a name in it: from then on nobody
// looks up there what the kernel has not cached, and that name it has not.
func (s *site) hold(dir, name string) (*testenv.Stall, *thread) {
	s.Helper()
	stall := testenv.HoldDir(s, testenv.Account{Name: "alice", UID: veiledUser, GID: veiledUser, Home: dir}, dir)
	writer := s.spawn(func() error { return os.Mkdir(filepath.Join(dir, name), 0o755) })
	s.until("a writer waits for the lock", writer.waits)
	return stall, writer
}

// open makes the way to the site's homes open to every user, and a directory alice's.
func (s *site) open(dirs ...string) {
	s.Helper()
	s.must(errors.Join(os.Chmod(filepath.Dir(s.base), 0o711), os.Chmod(s.base, 0o711)))
	for _, dir := range dirs {
		s.must(os.Chown(dir, veiledUser, veiledUser))
	}
}

// Who holds the lock of his home makes his own Set wait, and nobody else. The home itself can be watched meanwhile.
func TestHeldHome(t *testing.T) {
	testenv.Need(t, "root", "fuse")
	s := newSite(t)
	home := s.mkdir("alice")
	s.open(home)
	s.mkdir("bob", ".ssh")
	stall, writer := s.hold(home, ".ssh")
	defer stall.Let()

	s.spawn(func() error { return s.Set("alice", asVeiled, nil, dirs(home, "")) }).ends("a Set of the held home alone")
	tid := make(chan int, 1)
	set := s.spawn(func() error {
		as := func(fn func() error) error {
			tid <- unix.Gettid()
			return asVeiled(fn)
		}
		return s.Set("alice", as, nil, dirs(home, s.path("alice", ".ssh")))
	})
	set.tid = <-tid
	s.until("the held user's Set waits", set.waits)
	for range 5 {
		s.others()
	}
	if !set.waits() {
		t.Error("the held user's Set does not wait any more")
	}
	stall.Let()
	writer.ends("the writer")
	set.ends("the held user's Set")
	s.settle()
	s.touch("alice", ".ssh", "k")
	s.wait("alice")
}

// A directory exchanged for a held one between its look-up and its watch, as a loop of renames does in the end. Here the
// moment is that in which it is unveiled.
func TestHeldDirectoryComesInBetween(t *testing.T) {
	testenv.Need(t, "root", "fuse")
	s := newSite(t)
	path := s.mkdir("alice", "d", "ssh")
	s.open(s.mkdir("alice", "d2"), s.path("alice", "d"), s.path("alice"), path)
	s.must(os.Chmod(path, 0o300))
	s.mkdir("bob", ".ssh")
	stall, writer := s.hold(s.path("alice", "d2"), "ssh")
	defer stall.Let()

	asked := make(chan struct{})
	unveil := func(path string, fn func() error) error {
		defer close(asked)
		s.must(os.Chmod(path, 0o700))
		s.must(os.Rename(s.path("alice", "d"), s.path("alice", "d1")))
		s.must(os.Rename(s.path("alice", "d2"), s.path("alice", "d")))
		return fn()
	}
	tid := make(chan int, 1)
	set := s.spawn(func() error {
		as := func(fn func() error) error {
			tid <- unix.Gettid()
			return asVeiled(fn)
		}
		return s.Set("alice", as, unveil, []Dir{{Path: path}})
	})
	set.tid = <-tid
	s.until("the watch is set, or waits", func() bool {
		select {
		case <-asked:
			return true
		default:
			return set.waits()
		}
	})
	s.others()
	set.ends("the Set of the user himself, who looks nothing up any more")
	stall.Let()
	writer.ends("the writer")
}

// Who gives up on a Set that waits for a held directory has the watches that were set by then, and no others when it is let go.
func TestHeldSetIsLeft(t *testing.T) {
	testenv.Need(t, "root", "fuse")
	s := newSite(t)
	home := s.mkdir("alice")
	s.open(home)
	s.mkdir("bob", ".ssh")
	stall, writer := s.hold(home, ".ssh")
	defer stall.Let()

	left := errors.New("left")
	var work *thread
	as := func(fn func() error) error {
		work = s.spawn(func() error { return asVeiled(fn) })
		s.until("the Set waits", work.waits)
		return left
	}
	if err := s.Set("alice", as, nil, dirs(home, s.path("alice", ".ssh"))); !errors.Is(err, left) || s.Len() != 1 {
		t.Errorf("Set: %v, %d watches", err, s.Len())
	}
	s.others()
	s.Drop("alice")
	stall.Let()
	writer.ends("the writer")
	if err := <-work.done; !errors.Is(err, errOver) {
		t.Errorf("what was left: %v", err)
	}
	s.settle()
	if s.Len() != 0 || s.kernel() != 0 {
		t.Errorf("%d watches left, %d in the kernel", s.Len(), s.kernel())
	}
}

// The same while a directory is unveiled: its descriptor is not another one's by the time that it is let go.
func TestHeldUnveilIsLeft(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	path := s.mkdir("alice")
	s.open(path)
	s.must(os.Chmod(path, 0o300))
	var late func() error
	unveil := func(_ string, fn func() error) error {
		late = fn
		return unix.EBUSY
	}
	if err := s.Set("alice", asVeiled, unveil, []Dir{{Path: path}}); !errors.Is(err, unix.EBUSY) {
		t.Errorf("Set: %v", err)
	}
	if err := late(); err == nil || s.Len() != 0 || s.kernel() != 0 {
		t.Errorf("what was left: %v, %d watches, %d in the kernel", err, s.Len(), s.kernel())
	}
}

// What a Set that was left finds after its end is kept by nobody, also before its watches are compared with those that are there.
func TestHoldAfterTheEnd(t *testing.T) {
	s := newSite(t)
	set := newSetting("alice")
	kept := s.end(set)
	if s.Watcher.hold(set, &dir{}, Dir{Path: "/late"}); len(kept) != 0 {
		t.Errorf("kept are %v", kept)
	}
}
