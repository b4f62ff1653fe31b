// Package watch tells whose home changed.
//
// It watches directories of each user with inotify(7): some for certain names, as
// the home for a .ssh that appears, goes or is exchanged, and .ssh itself for
// everything. A hint only says "look at this user again"; what happened, and under
// which name, is for the one who looks to find out.
//
//	watcher, err := watch.New()
//	err = watcher.Set("alice", asAlice, nil, []watch.Dir{{home, []string{".ssh"}}, {ssh, nil}})
//	                                        // first watch, then look
//	for hint := range watcher.Hints() { … }        // after a hint: Set again
//
// # Limits
//
// Hints are help, not proof. inotify shows a store through a shared mapping only
// when that ends, no write through another hard link, nothing that another host does on a
// network file system, no mount (see Mounted), and nothing in a directory between its making and its
// watch. A sweep on a timer must find what no hint tells.
//
// # No look-up under a lock
//
// A user can make a look-up in a directory of his wait for as long as he likes: a
// listing of it that waits on a FUSE server of his own holds its lock (i_rwsem),
// and a mkdir queued behind that keeps others out. So a directory is opened, with
// O_PATH and under no lock of the Watcher, and the watch is set on the descriptor:
// what waits is the Set of the user whose directory it is. fsnotify gives a path to
// inotify_add_watch(2), and the mutex that it holds then is one that its reader of
// events wants too: one such user would stop everybody's hints. It serves File and
// Folders, for directories of the administrator's.
package watch

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoWatch says that the kernel's limit of watches is reached
// (fs.inotify.max_user_watches, inotify(7)).
var ErrNoWatch = errors.New("no inotify watch left: fs.inotify.max_user_watches is too low")

// Watcher watches the homes of many users. Its methods may be called from many
// goroutines at once; Set and Drop of one user one after the other.
type Watcher struct {
	file  *os.File // of inotify_init1(2)
	conn  syscall.RawConn
	queue *queue
	wg    sync.WaitGroup

	mu     sync.Mutex   // never held during a call that can sleep in a file system
	dirs   map[int]*dir // by watch descriptor
	inodes map[inode]*dir
	users  map[string][]*dir
	vain   map[string]time.Time // when something of a user's was last unveiled in vain
}

// inode is what the kernel hangs a watch on: two paths to one inode share one. A
// file system may give two the same numbers; the watch descriptor tells them apart.
type inode struct{ dev, ino uint64 }

// Dir is a directory to watch: its real path, free of links, and the names in it
// that count. No Names: all of them do.
type Dir struct {
	Path  string
	Names []string
}

// dir is a directory that is watched for some users.
type dir struct {
	inode
	wd     int
	shares map[string]share // by user
}

func (d *dir) has(user string) bool {
	_, found := d.shares[user]
	return found
}

// share is what one user is told of a directory.
type share struct {
	all   bool
	names []string
	paths []string // for Mounted
}

func (s share) with(dir Dir) share {
	return share{all: s.all || dir.Names == nil, names: slices.Concat(s.names, dir.Names), paths: append(slices.Clip(s.paths), dir.Path)}
}

// wants folds case, for a directory may do so too (ext4 casefold).
func (s share) wants(name string) bool {
	return s.all || slices.ContainsFunc(s.names, func(mine string) bool { return strings.EqualFold(mine, name) })
}

// New makes a Watcher. Its error is that of inotify_init1(2): the limits are
// fs.inotify.max_user_instances and the number of descriptors.
func New() (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch: inotify_init1: %w", err)
	}
	w := &Watcher{
		file:   os.NewFile(uintptr(fd), "inotify"), // nonblocking, so that Close wakes its reader
		queue:  newQueue(),
		dirs:   map[int]*dir{},
		inodes: map[inode]*dir{},
		users:  map[string][]*dir{},
		vain:   map[string]time.Time{},
	}
	if w.conn, err = w.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("watch: %w", err), w.file.Close())
	}
	w.wg.Go(w.receive)
	w.wg.Go(w.queue.run)
	return w, nil
}

// Hints is the channel of hints: the name of a user to look at, or "" when events
// were lost and everybody is to be looked at. A user waits in it once, however
// often his home changes. It is closed by Close.
func (w *Watcher) Hints() <-chan string { return w.queue.out }

// Len is the number of directories that are watched.
func (w *Watcher) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.dirs)
}

// Limit is how many watches one user may have, root too (inotify(7)); those of his other programs count.
func Limit() (int, error) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_watches")
	if err != nil {
		return 0, fmt.Errorf("watch: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("watch: fs.inotify.max_user_watches: %w", err)
	}
	return n, nil
}

// Close ends the watches and the channel of hints. It waits for no Set.
func (w *Watcher) Close() error {
	go func() { _ = w.file.Close() }() // wakes receive, then waits for an inotify_add_watch(2) that hangs
	w.queue.stop()
	w.wg.Wait()
	return nil
}

// forget drops a directory from the books, not from the kernel.
func (w *Watcher) forget(d *dir) {
	delete(w.dirs, d.wd)
	if w.inodes[d.inode] == d {
		delete(w.inodes, d.inode)
	}
	for user := range d.shares {
		w.unlist(user, d)
	}
}

func (w *Watcher) unlist(user string, d *dir) {
	left := slices.DeleteFunc(w.users[user], func(other *dir) bool { return other == d })
	if len(left) == 0 {
		delete(w.users, user)
		return
	}
	w.users[user] = left
}
