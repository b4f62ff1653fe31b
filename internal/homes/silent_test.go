package homes

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// dead is a directory of a file server that answers nothing, beside the homes.
func (h *home) deadServer() (string, *testenv.Stall) {
	h.Helper()
	dir := h.base + "/dead"
	h.mkdir(dir, 0o755, 0)
	stall := testenv.Hang(h.TB, h.attacker(), dir)
	h.Cleanup(stall.Let)
	return dir, stall
}

// within wants a call to end in a time.
func within[T any](tb testing.TB, limit time.Duration, what string, call func() (T, error)) (T, error) {
	tb.Helper()
	begin := time.Now()
	value, err := call()
	if took := time.Since(begin); took > limit {
		tb.Errorf("%s took %v", what, took)
	}
	return value, err
}

// What a link shows is for the record only. One that leads to a dead server is a link all the same, and costs one thread.
func TestLinkToADeadServer(t *testing.T) {
	t.Parallel()
	h := newSSH(t, good)
	dir, stall := h.deadServer()
	second := keyPath + "2"
	h.link(dir+"/x", h.path(second), testUID)
	read := func() (File, error) { return h.door.Read(h.Account, second) }
	for i, limit := range []time.Duration{20 * time.Second, 2 * time.Second} {
		file, err := within(t, limit, fmt.Sprintf("look %d", i), read)
		if err != nil || file.State != Symlink || len(file.Data) > 0 || h.door.Stuck() != 1 {
			t.Fatalf("look %d: state %v, %v, and %d threads hang", i, file.State, err, h.door.Stuck())
		}
	}
	h.expect(Regular)
	file, err := read()
	h.must(err)
	h.must(h.door.Replace(h.Account, second, file.Version, []byte(good)))
	if got := h.content(h.path(second)); got != good {
		t.Errorf("the second file holds %q", got)
	}
	stall.Let()
	h.back()
}

// A call that hangs in one directory of a user's, for whatever reason, is given up: the other files are read and changed.
func TestFileThatIsSilent(t *testing.T) {
	t.Parallel()
	h := newSSH(t, bad)
	dir, stall := h.deadServer()
	h.link(dir+"/keys", h.path(".keys"), testUID)
	other := ".keys/" + name
	read := func() (File, error) { return h.door.Read(h.Account, other) }
	for i, limit := range []time.Duration{20 * time.Second, 2 * time.Second} {
		if _, err := within(t, limit, fmt.Sprintf("look %d", i), read); !errors.Is(err, ErrSilent) || h.door.Stuck() != 1 {
			t.Fatalf("look %d: %v, and %d threads hang, want ErrSilent and 1", i, err, h.door.Stuck())
		}
	}
	h.enforce(h.expect(Regular))
	if dirs, err := h.door.Dirs(h.Account, keyPath, other); !errors.Is(err, ErrSilent) || len(dirs) != 2 {
		t.Errorf("Dirs: %+v, %v, want the home and .ssh all the same", dirs, err)
	}
	stall.Let()
	h.back()
	if _, err := read(); errors.Is(err, ErrSilent) {
		t.Errorf("when it answers: %v", err)
	}
}

// What its user puts in the place of what is silent is another file, which is looked at.
func TestSilentFileThatIsExchanged(t *testing.T) {
	t.Parallel()
	exchange := func(h *home) {
		h.must(h.user(func() error {
			return errors.Join(os.Rename(h.path(".ssh"), h.path("old")), os.Mkdir(h.path(".ssh"), 0o700), os.WriteFile(h.keys(), []byte(bad), 0o600))
		}))
	}
	silent := func(h *home) {
		for range 2 {
			if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrSilent) || h.door.Stuck() != 1 {
				h.Fatalf("Read: %v with %d threads, want ErrSilent and one", err, h.door.Stuck())
			}
		}
	}
	t.Run("a link to a dead server", func(t *testing.T) {
		t.Parallel()
		h := newHome(t)
		dir, stall := h.deadServer()
		h.link(dir+"/x", h.path(".ssh"), testUID)
		silent(h)
		exchange(h)
		h.enforce(h.expect(Regular))
		stall.Let()
		h.back()
	})
	// His own look-up waits for his own listing, and the door's for that look-up.
	t.Run("a listing on XFS", func(t *testing.T) {
		t.Parallel()
		h := onDisk(t, "xfs", 300<<20)
		h.mkdir(h.path("d"), 0o700, testUID)
		h.stuff("d")
		h.link("d", h.path(".ssh"), testUID)
		holder := testenv.HoldDir(t, h.attacker(), h.path("d"))
		t.Cleanup(func() { holder.Let(); h.back() })
		first := make(chan struct{})
		thread := make(chan int64, 1)
		go func() {
			defer close(first)
			_ = h.user(func() error {
				thread <- int64(unix.Gettid())
				_, err := os.Lstat(h.path("d", name))
				return err
			})
		}()
		for id := <-thread; !locked(id); {
			time.Sleep(time.Millisecond)
		}
		silent(h)
		exchange(h)
		h.enforce(h.expect(Regular))
		holder.Let()
		<-first
	})
}

// Who exchanges it again and again has a few calls hang; then what stands there goes aside unseen, whatever it is.
func TestSilentFilesOneAfterTheOther(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	dir, stall := h.deadServer()
	for i := range stuckEach {
		h.link(dir+"/x", h.path(".ssh"), testUID)
		if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrSilent) || h.door.Stuck() != i+1 {
			t.Fatalf("Read: %v with %d threads, want ErrSilent and %d", err, h.door.Stuck(), i+1)
		}
		h.must(h.user(func() error { return os.Rename(h.path(".ssh"), h.path("old"+strconv.Itoa(i))) }))
	}
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), bad, 0o600, testUID)
	for range 2 {
		if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrStuck) {
			t.Fatalf("Read: %v, want ErrStuck", err)
		}
		h.must(h.door.Renew(h.Account, keyPath, []byte(good), false))
		if got := h.content(h.keys()); got != good {
			t.Errorf("the file holds %q", got)
		}
	}
	stall.Let()
	h.back()
	h.enforce(h.expect(Regular))
}

// A listing on XFS holds the buffer of the directory's block, which a look-up of a name that the kernel has not in memory waits for, and
// in that it keeps .ssh from going aside. What sshd finds in memory is read and overwritten all the same.
func TestHeldDirectoryOfXFS(t *testing.T) {
	t.Parallel()
	h := onDisk(t, "xfs", 300<<20)
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), bad, 0o600, testUID)
	h.stuff(".ssh")
	holder := testenv.HoldDir(t, h.attacker(), h.path(".ssh"))
	t.Cleanup(func() { holder.Let(); h.back() })
	second := keyPath + "2" // that is not there, and was never asked for
	if _, err := h.door.Read(h.Account, second); !errors.Is(err, ErrStuck) {
		t.Fatalf("Read: %v, want ErrStuck", err)
	}
	if err := h.door.Renew(h.Account, second, []byte(good), false, keyPath); err != nil && !errors.Is(err, ErrStuck) {
		t.Errorf("Renew: %v", err)
	}
	h.must(h.door.Replace(h.Account, keyPath, h.expect(Regular).Version, []byte(good)))
	if got := h.content(h.keys()); got != good {
		t.Errorf("the file holds %q", got)
	}
	if _, err := h.door.Read(h.Account, second); !errors.Is(err, ErrStuck) {
		t.Errorf("Read: %v, want ErrStuck", err)
	}
	if n := h.door.Stuck(); n > 3 {
		t.Errorf("%d threads hang", n)
	}
	holder.Let()
	h.back()
	h.enforce(h.read()) // also where the Renew that was left behind moved .ssh and stopped
}

// stuff makes more files in a directory than its inode has room for.
func (h *home) stuff(dir string) {
	h.Helper()
	for i := range 25 {
		h.write(h.path(dir, "a-rather-long-name-of-a-file-that-fills-a-block-"+strconv.Itoa(i)), "", 0o600, testUID)
	}
}

// A stranger holds a home of XFS in that way, when the kernel has nothing of it in memory, as after a boot: that is a lock, and no server
// that is dead.
func TestHeldHomeOfXFS(t *testing.T) {
	t.Parallel()
	h := onDisk(t, "xfs", 300<<20)
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), bad, 0o600, testUID)
	h.stuff(".")
	h.remount(func(string) {})
	holder := testenv.HoldDir(t, testenv.Account{UID: otherUID, GID: otherUID, Home: h.Home}, h.Home)
	t.Cleanup(func() { holder.Let(); h.back() })
	for range 2 {
		if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrStuck) || h.door.Stuck() != 1 {
			t.Errorf("Read: %v with %d threads, want ErrStuck and one", err, h.door.Stuck())
		}
	}
	holder.Let()
	h.back()
	h.enforce(h.expect(Regular))
}

// A file system that is frozen, as for a snapshot of it, is nobody's lock: nothing goes aside, and the change is made when it thaws.
func TestFreezeIsNoLock(t *testing.T) {
	t.Parallel()
	h := onDisk(t, "ext4", 64<<20)
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), bad, 0o600, testUID)
	ssh, before := h.inode(".ssh"), h.read().Version
	disk, err := os.Open(h.base + "/disk")
	h.must(err)
	t.Cleanup(func() { _ = disk.Close() })
	const freeze, thaw = requestRead | requestWrite | 4<<16 | 'X'<<8 | 119, requestRead | requestWrite | 4<<16 | 'X'<<8 | 120 // FIFREEZE, FITHAW
	var unused int32
	h.must(ioctl(int(disk.Fd()), freeze, &unused))
	thawed := make(chan error, 1)
	time.AfterFunc((stuckTimes+3)*stuckCheck, func() { thawed <- ioctl(int(disk.Fd()), thaw, &unused) })
	if err := h.door.Replace(h.Account, keyPath, before, []byte(good)); err != nil {
		t.Errorf("Replace: %v", err)
	}
	h.must(<-thawed)
	h.settled()
	if h.inode(".ssh") != ssh {
		t.Error(".ssh went aside")
	}
}

// Of what is silent, one file says nothing of another one, and nothing has to give way; a file server that is dead shows itself.
func TestHangsThatAreSilent(t *testing.T) {
	list := hangs{}
	silent := func(home, file string, what errand, server string) *hang {
		return &hang{home: home, file: file, errand: what, silent: true, server: server, effort: new(effort)}
	}
	const alice, second = "/home/alice", keyPath + "2"
	list.enter(silent(alice, keyPath, reading, "xfs 8:1"))
	list.enter(silent(alice, keyPath, peeking, "xfs 8:1"))
	for _, want := range []struct {
		file string
		what errand
		bars error
	}{
		{keyPath, reading, ErrSilent},
		{keyPath, changing, nil},
		{keyPath, renewing, nil},
		{second, reading, nil},
		{second, peeking, ErrSilent},
		{"", reading, nil},
	} {
		if got := list.bars(&hang{home: alice, file: want.file, errand: want.what}); !errors.Is(got, want.bars) {
			t.Errorf("errand %d for %q: %v, want %v", want.what, want.file, got, want.bars)
		}
	}
	if waits, moves := list.state(alice, ".ssh"); waits || moves {
		t.Errorf("a renewal would be for what waits (%v) or moves (%v)", waits, moves)
	}
	for i := range silentBeside - 1 {
		for range 2 {
			list.enter(silent("/home/user"+strconv.Itoa(i), keyPath, reading, "nfs a"))
		}
	}
	for _, want := range []struct {
		home, server string
		enters       bool
	}{{alice, "nfs a", true}, {alice, "nfs a", true}, {"/home/bob", "nfs a", false}, {"/home/bob", "nfs b", true}, {"/home/bob", "xfs 8:1", true}} {
		if list.enter(silent(want.home, keyPath, reading, want.server)) != want.enters {
			t.Errorf("%s on %s: want %v", want.home, want.server, want.enters)
		}
	}
}
