package homes

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// attacker is the user of a home as testenv wants him.
func (h *home) attacker() testenv.Account {
	return testenv.Account{UID: h.UID, GID: h.GID, Home: h.Home}
}

// stuck replaces the file until that is stuck.
func (h *home) stuck() {
	h.Helper()
	before := h.read().Version
	begin := time.Now()
	if err := h.door.Replace(h.Account, keyPath, before, []byte(good)); !errors.Is(err, ErrStuck) {
		h.Fatalf("Replace: %v, want ErrStuck", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		h.Errorf("that was found out after %v", took)
	}
	if h.door.Stuck() != 1 {
		h.Errorf("%d threads are stuck, want 1", h.door.Stuck())
	}
	if err := h.door.Replace(h.Account, keyPath, before, []byte(good)); !errors.Is(err, ErrStuck) || h.door.Stuck() != 1 {
		h.Errorf("a second Replace, which would be stuck as well: %v, and %d threads are stuck, want 1", err, h.door.Stuck())
	}
}

// back waits until every thread that was left behind has come back.
func (h *home) back() {
	h.Helper()
	for end := time.Now().Add(20 * time.Second); h.door.Stuck() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("%d threads never came back", h.door.Stuck())
		}
	}
}

// Whoever holds the lock of his file, or of .ssh, by a call that waits for his own file server, keeps no key by that.
func TestChangeThatIsStuck(t *testing.T) {
	for title, hold := range map[string]func(h *home) *testenv.Stall{
		"a write into the file": func(h *home) *testenv.Stall { return testenv.HoldFile(h.TB, h.attacker(), h.keys(), bad) },
		"a file behind a link": func(h *home) *testenv.Stall {
			h.must(os.Rename(h.path(".ssh"), h.path("elsewhere")))
			h.link("elsewhere", h.path(".ssh"), testUID)
			return testenv.HoldFile(h.TB, h.attacker(), h.keys(), bad)
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			h := newSSH(t, bad)
			holder := hold(h)
			h.stuck()
			h.must(h.door.Renew(h.Account, keyPath, []byte(good), false))
			h.holds(good)
			h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good+"# again\n")))
			h.holds(good + "# again\n")
			holder.Let()
			h.back()
			h.holds(good + "# again\n")
			h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
			h.holds(good)
		})
	}
}

// neighbour is another user's home on the same file system.
func (h *home) neighbour(name, content string) *home {
	h.Helper()
	n := *h
	n.Account = Account{Name: name, UID: otherUID, GID: otherUID, Home: h.base + "/" + name}
	n.mkdir(n.Home, 0o755, otherUID)
	n.mkdir(n.path(".ssh"), 0o700, otherUID)
	n.write(n.keys(), content, 0o600, otherUID)
	return &n
}

// Whoever hangs his own change hangs nobody else's on the file system.
func TestChangeBesideOneThatIsStuck(t *testing.T) {
	t.Parallel()
	for title, mode := range map[string]string{"user": os.Getenv(doorMode), "root": "guard"} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			h := newHomeFor(t, mode)
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			h.write(h.keys(), bad, 0o600, testUID)
			bob := h.neighbour("bob", bad)
			holder := testenv.HoldFile(t, h.attacker(), h.keys(), bad)
			h.stuck()
			for _, text := range []string{good, good + "# again\n"} {
				bob.must(bob.door.Replace(bob.Account, keyPath, bob.read().Version, []byte(text)))
				bob.holds(text)
			}
			bob.must(os.Remove(bob.keys()))
			bob.must(bob.door.Replace(bob.Account, keyPath, bob.read().Version, []byte(good)))
			bob.holds(good)
			holder.Let()
			h.back()
		})
	}
}

// While somebody lists .ssh no file is made there, and the one that is there is overwritten, again and again; nothing goes aside.
func TestChangeInADirectoryThatIsHeld(t *testing.T) {
	t.Parallel()
	h := newSSH(t, bad)
	holder := testenv.HoldDir(t, h.attacker(), h.path(".ssh"))
	t.Cleanup(holder.Let)
	ssh := h.inode(".ssh")
	for _, text := range []string{good + "# longer than what comes\n", good} {
		h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(text)))
		if got := h.content(h.keys()); got != text || h.door.Stuck() != 1 {
			t.Errorf("the file holds %q, want %q, and %d threads hang, want 1", got, text, h.door.Stuck())
		}
	}
	old := h.read().Version
	h.write(h.keys(), bad, 0o600, testUID)
	if err := h.door.Replace(h.Account, keyPath, old, []byte(good)); !errors.Is(err, ErrStuck) {
		t.Errorf("Replace of an older version: %v", err)
	}
	h.must(h.door.Seize(h.Account, keyPath, []byte(good)))
	if err := h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)); !errors.Is(err, ErrStuck) {
		t.Errorf("Replace of what is right: %v, want ErrStuck: it would be done again and again", err)
	}
	holder.Let()
	h.back()
	if h.inode(".ssh") != ssh || h.content(h.keys()) != good || len(h.entries(".ssh")) != 1 {
		t.Errorf("the file holds %q beside %q", h.content(h.keys()), h.entries(".ssh"))
	}
}

// holds wants a tidy file with the text where sshd looks for it.
func (h *home) holds(text string) {
	h.Helper()
	if file := h.read(); file.State != Regular || !file.Tidy || string(file.Data) != text {
		h.Errorf("the file is %v (%s): %.40q, want %q", file.State, file.Detail, file.Data, text)
	}
}

// queue makes a change wait for the lock of a directory that is listed, so that everybody's look-up there waits behind it.
func (h *home) queue(dir string) {
	h.Helper()
	thread, done := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		thread <- unix.Gettid()
		_ = os.Mkdir(dir+"/queued", 0o700)
	}()
	h.Cleanup(func() { <-done })
	tid := int64(<-thread)
	for end := time.Now().Add(20 * time.Second); !locked(tid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("nothing waits for the lock of %s", dir)
		}
	}
}

// A user who has an authorized_keys2 alone, and holds .ssh, so that not even the look-up of the first file comes back.
func TestReadThatIsStuck(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	for round := range stuckEach + 1 {
		if _, err := os.Lstat(h.path(".ssh")); err == nil {
			h.must(os.Rename(h.path(".ssh"), h.path("old"+strconv.Itoa(round))))
		}
		h.mkdir(h.path(".ssh"), 0o700, testUID)
		h.write(h.keys()+"2", bad, 0o600, testUID)
		holder := testenv.HoldDir(t, h.attacker(), h.path(".ssh"))
		t.Cleanup(holder.Let) // before what is queued is waited for
		h.queue(h.path(".ssh"))
		t.Cleanup(holder.Let)
		for range 2 {
			begin := time.Now()
			if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrStuck) {
				t.Fatalf("round %d: Read: %v, want ErrStuck", round, err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("round %d: that was found out after %v", round, took)
			}
		}
		if _, err := h.door.Dirs(h.Account, keyPath); err != nil && !errors.Is(err, ErrStuck) {
			t.Errorf("round %d: Dirs: %v", round, err)
		}
		if n := h.door.Stuck(); n != min(round+1, stuckEach) {
			t.Errorf("round %d: %d threads are stuck", round, n)
		}
		h.must(h.door.Renew(h.Account, keyPath, []byte(good), false))
		if text := h.content(h.keys()); text != good {
			t.Errorf("round %d: the file holds %q", round, text)
		}
		if _, err := os.Lstat(h.keys() + "2"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("round %d: the second file: %v", round, err)
		}
		if round < stuckEach-1 {
			h.holds(good)
		}
	}
}

// What is done for a watch gives up like a read, and goes on when it is let go.
func TestWatchThatIsStuck(t *testing.T) {
	t.Parallel()
	for title, call := range map[string]func(h *home, ran *atomic.Bool) error{
		"Attend": func(h *home, ran *atomic.Bool) error {
			return h.inside().Attend(h.Account, func() error {
				_, err := os.Lstat(h.path("held", "name"))
				ran.Store(true)
				return err
			})
		},
		"Unveil": func(h *home, ran *atomic.Bool) error {
			return h.inside().Unveil(h.Account, h.path("held"), func() error { ran.Store(true); return nil })
		},
		"Above": func(h *home, ran *atomic.Bool) error {
			h.Home = h.path("held", "above", "home")
			_, err := h.inside().Above(h.Account)
			ran.Store(true)
			return err
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			h := newSSH(t, bad)
			held := h.path("held")
			h.mkdir(held, 0o355, testUID) // a stranger may list it
			holder := testenv.HoldDir(t, testenv.Account{UID: otherUID, GID: otherUID, Home: h.Home}, held)
			t.Cleanup(holder.Let)
			h.queue(held)
			t.Cleanup(holder.Let)
			var ran atomic.Bool
			begin := time.Now()
			if err := call(h, &ran); !errors.Is(err, ErrStuck) || time.Since(begin) > 20*time.Second {
				t.Errorf("%v after %v, want ErrStuck", err, time.Since(begin))
			}
			holder.Let()
			h.back()
			if !ran.Load() {
				t.Error("it did not go on")
			}
		})
	}
}
