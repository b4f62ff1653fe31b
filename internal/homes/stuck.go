package homes

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrStuck says that a change waits for a lock of the kernel's on the file, or on
// the directory, that somebody else does not give back. A write of the user's
// that waits for a page of his own FUSE server holds the lock of its file
// (inode.i_rwsem) as long as he likes, and a rename that would take the file's name
// away waits for it, in a state in which nothing can end its thread. That thread is
// left behind; when it is let go it changes nothing more by name.
var ErrStuck = errors.New("somebody holds a lock of the kernel's that the change waits for")

// When a change is stuck: its thread was found waiting for a lock of an inode a
// number of times in a row. Waiting for a disk or a file server does not count,
// however long it lasts: moving .ssh aside would not help, and would be wrong when
// the server comes back.
const (
	stuckCheck = 500 * time.Millisecond
	stuckTimes = 6
	// stuckMax bounds the threads left behind. There are two for a home at most;
	// when there are that many, further changes wait like any other system call.
	stuckMax = 256
)

// hang is a change that was left behind.
type hang struct {
	home  string
	renew bool
}

// hangs are the changes that were left behind and have not come back.
type hangs struct {
	mu   sync.Mutex
	list []hang
}

// admit refuses a change that would be stuck as well.
func (h *hangs) admit(account Account, renew bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.list {
		if other.home == account.Home && (other.renew || !renew) {
			return fmt.Errorf("an earlier change has not come back: %w", ErrStuck)
		}
	}
	return nil
}

func (h *hangs) enter(one hang) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) >= stuckMax {
		return false
	}
	h.list = append(h.list, one)
	return true
}

// leave forgets a change that came back, whatever came of it.
func (h *hangs) leave(old hang, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.list, old); i >= 0 {
		h.list = slices.Delete(h.list, i, i+1)
	}
}

// Stuck is the number of threads that stuck changes hold at the moment.
func (d *Door) Stuck() int {
	d.hangs.mu.Lock()
	defer d.hangs.mu.Unlock()
	return len(d.hangs.list)
}

// effort is a change under way, as far as whoever waits for it is concerned.
type effort struct {
	thread atomic.Int64 // that is at work; 0: none
	left   atomic.Bool  // nobody waits for it any more: see ErrStuck
}

// here makes fn's thread the one that is at work, until fn ends.
func (e *effort) here(fn func() error) error {
	defer e.thread.Store(e.thread.Swap(int64(unix.Gettid())))
	return fn()
}

// change is hand for what changes names, and gives up with ErrStuck. fn ends as soon
// as it can once it is left.
func (d *Door) change(a Account, s spot, renew bool, fn func(owner uint32, e *effort) error) error {
	e := new(effort)
	if d.own != anyUser {
		return d.hand(a, s, func(owner uint32) error { return fn(owner, e) })
	}
	if err := d.hangs.admit(a, renew); err != nil {
		return err
	}
	result := make(chan error, 1)
	go func() {
		result <- d.hand(a, s, func(owner uint32) error {
			return e.here(func() error { return fn(owner, e) })
		})
	}()
	check := time.NewTicker(stuckCheck)
	defer check.Stop()
	for times := 0; ; {
		select {
		case err := <-result:
			return err
		case <-check.C:
		}
		if times++; !locked(e.thread.Load()) {
			times = 0
		}
		this := hang{home: a.Home, renew: renew}
		if times < stuckTimes || !d.hangs.enter(this) {
			continue
		}
		e.left.Store(true)
		go func() { d.hangs.leave(this, <-result) }()
		return ErrStuck
	}
}

// Renew takes the directory of a key file, .ssh as a rule, out of the way in which a
// change is stuck: it goes aside whole, under a name its user can find, and a new one is made that holds one key file.
// Nothing is looked up in the old one, whose lock the stuck change holds: a directory
// that is renamed within its parent is locked neither itself nor in what it holds
// (vfs_rename in fs/namei.c, Linux 6.8). So only somebody who holds the lock of
// the home as well can make it hang, and then the error is ErrStuck again. ErrChanged:
// its user was in the way, try again. Errors are those of Replace otherwise.
func (d *Door) Renew(a Account, file string, after []byte) error {
	return d.replace(a, file, Version{loose: true}, after, true, nil)
}

// findFolder goes as far as the name of the directory that is to give way, for Renew.
func (j *job) findFolder() error {
	if j.spot.fixed() {
		return fmt.Errorf("its directory cannot give way: %w", ErrStuck)
	}
	home, err := j.door.home(j.account)
	if err != nil {
		return fmt.Errorf("home %s: %w", j.account.Home, err)
	}
	j.p = &place{spot: j.spot, above: []handle{home}, dir: none()}
	for len(j.p.above) < len(j.p.dirs) {
		if err := j.door.enter(j.p, j.uid); err != nil || j.p.dir.fd < 0 {
			return err // what is not there or cannot be used is for prepare
		}
		j.p.above, j.p.dir, j.p.link = append(j.p.above, j.p.dir), none(), node{}
	}
	found, err := j.door.stands(j.p.top(), j.p.folder())
	if found {
		j.p.bad = "a change in it is stuck"
	}
	return err
}

// locked reports whether a thread of this process waits for the lock of an inode.
// /proc/PID/task/TID/wchan (proc_pid_wchan(5)) is the kernel's function that sleeps,
// less those of the scheduler and of the locks themselves: so it is the one that
// asked for the lock. These are the ones of fs/namei.c, fs/open.c, fs/inode.c and fs/readdir.c that
// ask for i_rwsem (Linux 4.18 to 6.18), and in older kernels the slow path of the
// lock. A wait for a disk or a server sleeps in a function of its own.
func locked(thread int64) bool {
	if thread == 0 {
		return false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/wchan", thread))
	if err != nil {
		return false
	}
	where, _, _ := strings.Cut(string(text), ".") // a part that the compiler split off
	return strings.Contains(where, "rwsem") || slices.Contains([]string{
		"lock_two_nondirectories", "lock_two_inodes", "lock_rename", "vfs_rename", "do_renameat2", "filename_renameat2",
		"path_openat", "do_last", "open_last_lookups", "lookup_open", "lookup_slow", "walk_component",
		"filename_create", "do_mkdirat", "vfs_mkdir", "vfs_unlink", "do_unlinkat", "vfs_rmdir", "do_rmdir",
		"chmod_common", "chown_common", "do_truncate", "do_ftruncate", "start_dirop", "__start_dirop",
		"iterate_dir", "wrap_directory_iterator", "start_creating", "start_removing", "start_renaming", "__start_renaming", "vfs_setxattr", "vfs_fsetxattr",
	}, where)
}
