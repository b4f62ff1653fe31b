package homes

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrStuck says that a call waits for a lock of the kernel's on the file, or on
// a directory, that somebody else does not give back. A write of the user's
// that waits for a page of his own FUSE server holds the lock of its file
// (inode.i_rwsem) as long as he likes, and a rename that would take the file's name
// away waits for it, in a state in which nothing can end its thread. A listing of a
// directory holds that one's lock together with others, until somebody waits to change the directory:
// then a look-up of a name that the kernel has not cached waits as well. The thread is
// left behind; when it is let go it changes nothing more by name.
var ErrStuck = errors.New("somebody holds a lock of the kernel's on the file or on a directory")

// ErrSilent says that a call below a home has not come back for a while, for whatever reason: a file server that is dead, behind a link
// of the user's as a rule. Nothing gives way for that; but a user has a say in where a call hangs, so what hangs at one of his
// files must not keep the others from being looked at. The thread is left behind, and goes on when it is let go. Until then the same
// call for the same file comes no further than to what it hangs at, which the user may have exchanged: then it is another
// one, of which some may hang, and further ones are stuck. What hangs at the home itself is waited for: there is nothing else to look at.
var ErrSilent = errors.New("no answer yet")

// When a call is stuck: its thread was found waiting for a lock of an inode a
// number of times in a row. Waiting for a disk or a file server does not count,
// however long it lasts: moving .ssh aside would not help, and would be wrong when
// the server comes back.
const (
	stuckCheck = 500 * time.Millisecond
	stuckTimes = 6
	// stuckEach bounds the threads that are left behind in one directory, but for one that
	// makes it give way; then further calls are stuck at once.
	stuckEach = 4
	// stuckMax bounds them all; further calls wait like any other system call then. A stranger can hang one in each home
	// that he may list, for two processes of his own. The unit's TasksMax= has room for them; Go ends a program that has
	// 10000 threads (runtime/debug.SetMaxThreads).
	stuckMax = 4096
	// silentTimes is after how many checks a call is silent. A change of a slow disk's takes its time, and who gives it up
	// does not know what came of it.
	silentTimes  = 8
	silentChange = 60
	// silentBeside bounds the homes of one file server in which calls are silent. Further ones are waited for, so that whoever
	// looks at homes can tell that the server is dead. A disk of this host is none: see Local.
	silentBeside = 64
)

// effort is a call under way, as far as whoever waits for it is concerned.
type effort struct {
	thread atomic.Int64 // that is at work; 0: none
	left   atomic.Bool  // nobody waits for it any more: see ErrStuck
	top    atomic.Bool  // looks for the home, or for a name in it
	staged atomic.Bool  // made the new file: what it waits for is not the lock of its directory
	// way is what stood under the names below the home, as far as it has come.
	way atomic.Pointer[[]node]
	// meets, unless nil, is asked before it goes on.
	meets func(way []node) error
}

// begin says that the way begins.
func (e *effort) begin() {
	if e != nil {
		e.way.Store(nil)
	}
}

// reached says what stands under the next name on the way. An error: to go on would hang as an earlier call does.
func (e *effort) reached(next node) error {
	if e == nil {
		return nil
	}
	way := append(e.past(), node{dev: next.dev, ino: next.ino, ctime: next.ctime})
	e.way.Store(&way)
	if e.meets == nil {
		return nil
	}
	return e.meets(way)
}

// past is the way so far, which nobody adds to.
func (e *effort) past() []node {
	if way := e.way.Load(); way != nil {
		return slices.Clip(*way)
	}
	return nil
}

// below says that the name in the home was found, or is not there. No effort: nobody asks.
func (e *effort) below() {
	if e != nil {
		e.top.Store(false)
	}
}

// here makes fn's thread the one that is at work, until fn ends.
func (e *effort) here(fn func() error) error {
	defer e.thread.Store(e.thread.Swap(int64(unix.Gettid())))
	return fn()
}

// attend runs fn, and gives up with ErrStuck or ErrSilent. fn ends as soon as it can once it is left;
// what it returns then is nobody's, so it must write nothing that others read. file is a spot's; "": the call is for no one file.
func attend[T any](d *Door, a Account, file string, what errand, fn func(e *effort) (T, error)) (T, error) {
	var nothing T
	e := new(effort)
	if d.own != anyUser {
		return fn(e)
	}
	this := &hang{home: a.Home, file: file, errand: what, effort: e}
	e.meets = func(way []node) error { return d.hangs.met(this, way) }
	if err := d.hangs.admit(this); err != nil {
		return nothing, err
	}
	type outcome struct {
		value T
		err   error
	}
	result := make(chan outcome, 1)
	go func() {
		value, err := fn(e)
		result <- outcome{value, err}
	}()
	check := time.NewTicker(stuckCheck)
	defer check.Stop()
	for age, times := 1, 0; ; age++ {
		select {
		case is := <-result:
			return is.value, is.err
		case <-check.C:
		}
		if times++; !locked(e.thread.Load()) {
			times = 0
		}
		err := ErrStuck
		this.silent = false
		switch {
		case times >= stuckTimes:
		case times == 0 && e.silent(what, age):
			err, this.silent, this.server = ErrSilent, true, d.Server(a.Home)
		default:
			continue
		}
		if !d.hangs.enter(this) {
			continue
		}
		e.left.Store(!this.silent) // a change that is silent may yet be made
		go func() {
			<-result // whatever came of it
			d.hangs.leave(this)
		}()
		return nothing, err
	}
}

// silent reports that a call has taken so long, in number of checks, that it is silent. What has no thread is not at work in a home yet.
func (e *effort) silent(what errand, age int) bool {
	limit := silentTimes
	if what != reading && what != peeking {
		limit = silentChange
	}
	return age >= limit && !e.top.Load() && e.thread.Load() != 0
}

// change is hand for what changes names, under attend.
func (d *Door) change(a Account, s spot, what errand, fn func(owner uint32, e *effort) error) error {
	_, err := attend(d, a, s.String(), what, func(e *effort) (struct{}, error) {
		return struct{}{}, d.hand(a, s, e, func(owner uint32) error { return fn(owner, e) })
	})
	return err
}

// glance is As for what reads, under attend.
func glance[T any](d *Door, a Account, file string, what errand, fn func(e *effort) (T, error)) (T, error) {
	return attend(d, a, file, what, func(e *effort) (found T, err error) {
		err = d.As(a, func() error {
			return e.here(func() (err error) {
				found, err = fn(e)
				return err
			})
		})
		return found, err
	})
}

// Attend is As, and gives up with ErrStuck when fn waits for a lock that is not given back, or with ErrSilent. fn goes on then as soon as it
// can, so it must write nothing that others read, but under a lock.
func (d *Door) Attend(a Account, fn func() error) error {
	_, err := glance(d, a, "", reading, func(*effort) (struct{}, error) { return struct{}{}, fn() })
	return err
}

// Renew takes the directory of a key file, .ssh as a rule, out of the way in which a
// call is stuck: it goes aside whole, under a name its user can find, and a new one is made that holds one key file.
// Nothing is looked up in the old one, whose lock the stuck call waits for: a directory
// that is renamed within its parent is locked neither itself nor in what it holds
// (vfs_rename in fs/namei.c, Linux 6.8). So only somebody who holds the lock of
// the home as well can make it hang, and then the error is ErrStuck again: at once where
// that is what a call is stuck in. ErrChanged:
// its user was in the way, try again, or the call that was stuck has come back (a listing
// that waits for a slow file server looks like one that somebody never ends); anyway
// does not ask for that, so that who holds a lock again and again gains nothing. others are
// key files that may have been in the old directory: they are Unreadable until they are
// replaced. Errors are those of Replace otherwise.
func (d *Door) Renew(a Account, file string, after []byte, anyway bool, others ...string) error {
	return d.replace(a, file, job{before: Version{loose: true}, after: after, patient: !anyway, others: others, blind: true}, renewing)
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
	j.thaw()
	for len(j.p.above) < len(j.p.dirs) {
		if err := j.door.enter(j.p, j.uid); err != nil || j.p.dir.fd < 0 {
			return err // what is not there or cannot be used is for prepare
		}
		j.p.above, j.p.dir, j.p.link = append(j.p.above, j.p.dir), none(), node{}
	}
	j.thaw()
	found, err := j.door.stands(j.p.top(), j.p.folder())
	if found {
		j.p.bad = "somebody holds a lock in it"
	}
	return err
}

// locked reports whether a thread of this process waits for the lock of an inode.
// /proc/PID/task/TID/wchan (proc_pid_wchan(5)) is the kernel's function that sleeps,
// less those of the scheduler and of the locks themselves: so it is the one that
// asked for the lock. These are the ones of fs/namei.c, fs/open.c, fs/inode.c and fs/readdir.c that
// ask for i_rwsem (Linux 4.18 to 6.18), those of file systems that do so to read or write a
// file, and in older kernels the slow path of the
// lock. A wait for a disk or a server sleeps in a function of its own, and so does one for a file system that is frozen (percpu_rwsem_wait).
// On XFS a listing holds the buffer of the directory's block as well, which a look-up waits for (xfs_dir2_leaf_getdents in
// fs/xfs/xfs_dir2_readdir.c); a disk that is slow holds it too, but then a rehearsal of the change takes as long (makeWay). Not so d_alloc_parallel,
// in which a look-up waits for another one of the same name: with a dead server that is sshd's.
func locked(thread int64) bool {
	if thread == 0 {
		return false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/wchan", thread))
	if err != nil {
		return false
	}
	where, _, _ := strings.Cut(string(text), ".") // a part that the compiler split off
	return strings.Contains(where, "rwsem") && !strings.Contains(where, "percpu") || slices.Contains([]string{
		"lock_two_nondirectories", "lock_two_inodes", "lock_rename", "vfs_rename", "do_renameat2", "filename_renameat2",
		"path_openat", "do_last", "open_last_lookups", "lookup_open", "lookup_slow", "walk_component",
		"filename_create", "do_mkdirat", "vfs_mkdir", "vfs_unlink", "do_unlinkat", "vfs_rmdir", "do_rmdir",
		"chmod_common", "chown_common", "do_truncate", "do_ftruncate", "start_dirop", "__start_dirop",
		"iterate_dir", "wrap_directory_iterator", "start_creating", "start_removing", "start_renaming", "__start_renaming", "vfs_setxattr", "vfs_fsetxattr", "vfs_fileattr_set",
		"xfs_ilock", "xfs_lock_inodes", "xfs_lock_two_inodes", "xfs_buf_lock", "xfs_buf_find_lock", "nfs_start_io_read", "nfs_start_io_write", "netfs_start_io_read", "netfs_start_io_write", "ceph_start_io_read", "ceph_start_io_write",
		"btrfs_inode_lock", "ext4_buffered_write_iter", "generic_file_write_iter", "shmem_file_write_iter",
	}, where)
}
