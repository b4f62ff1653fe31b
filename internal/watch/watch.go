// Package watch tells whose home changed.
//
// It watches directories of each user with inotify (through fsnotify): some for
// certain names, as the home for a .ssh that appears, goes or is exchanged, and
// .ssh itself for everything. A hint only says "look at this user again"; what
// happened, and under which name, is for the one who looks to find out.
//
//	watcher, err := watch.New()
//	err = watcher.Set("alice", asAlice, nil, []watch.Dir{{home, []string{".ssh"}}, {ssh, nil}})
//	                                        // first watch, then look
//	for hint := range watcher.Hints() { … }        // after a hint: Set again
//
// # Limits
//
// Hints are help, not proof. inotify shows no store through a shared mapping,
// no write through another hard link, nothing that another host does on a
// network file system, and nothing in a directory between its making and its
// watch. A sweep on a timer must find what no hint tells. fsnotify holds a lock
// during inotify_add_watch(2), so a file server that dies at that very moment
// stops the hints until it answers; Set asks the directory first, outside of
// the lock.
package watch

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// ErrNoWatch says that the kernel's limit of watches is reached
// (fs.inotify.max_user_watches, inotify(7)).
var ErrNoWatch = errors.New("no inotify watch left: fs.inotify.max_user_watches is too low")

// Watcher watches the homes of many users. Its methods may be called from many
// goroutines at once; Set and Drop of one user one after the other.
type Watcher struct {
	notify *fsnotify.Watcher
	queue  *queue
	wg     sync.WaitGroup

	mu     sync.Mutex
	inodes map[inode]*dir
	paths  map[string]*dir
	users  map[string][]*dir
	vain   map[string]time.Time // when something of a user's was last unveiled in vain
}

// inode is what the kernel hangs a watch on: two paths to one inode share one.
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
	path   string           // as fsnotify knows it
	shares map[string]share // by user
}

// share is what one user is told of a directory.
type share struct {
	all   bool
	names []string
}

func (s share) with(dir Dir) share {
	return share{all: s.all || dir.Names == nil, names: slices.Concat(s.names, dir.Names)}
}

// wants folds case, for a directory may do so too (ext4 casefold).
func (s share) wants(name string) bool {
	return s.all || slices.ContainsFunc(s.names, func(mine string) bool { return strings.EqualFold(mine, name) })
}

// New makes a Watcher. Its error is that of inotify_init1(2): the limits are
// fs.inotify.max_user_instances and the number of descriptors.
func New() (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &Watcher{
		notify: notify,
		queue:  newQueue(),
		inodes: map[inode]*dir{},
		paths:  map[string]*dir{},
		users:  map[string][]*dir{},
		vain:   map[string]time.Time{},
	}
	w.wg.Go(w.receive)
	w.wg.Go(w.mourn)
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
	return len(w.inodes)
}

// Close ends the watches and the channel of hints.
func (w *Watcher) Close() error {
	err := w.notify.Close()
	w.queue.stop()
	w.wg.Wait()
	return err
}

// receive takes events as they come and waits for no reader of hints.
func (w *Watcher) receive() {
	for event := range w.notify.Events {
		w.sort(event)
	}
}

// mourn takes errors. It needs a goroutine of its own that wants no lock of the
// Watcher: fsnotify holds its lock while it waits to hand over some of them, and
// receive may be waiting for that lock.
func (w *Watcher) mourn() {
	for err := range w.notify.Errors {
		// EINVAL: a watch that the kernel had ended already was ended again.
		// Anything else, an overflow above all, means that events are lost.
		if !errors.Is(err, unix.EINVAL) {
			w.queue.lost()
		}
	}
}

// sort finds out whom an event concerns. Its name is that of a watched directory
// or of something in one.
func (w *Watcher) sort(event fsnotify.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	path := filepath.Clean(event.Name) // what happens in "/" comes with two slashes
	if d := w.paths[path]; d != nil {
		for user := range d.shares {
			w.queue.add(user)
		}
		if event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
			// The directory is not under this path any more. Its watch goes, or
			// the next Set would leave it behind in the kernel.
			w.forget(d)
			w.remove(d.path)
		}
	}
	if d := w.paths[filepath.Dir(path)]; d != nil {
		for user, share := range d.shares {
			if share.wants(filepath.Base(path)) {
				w.queue.add(user)
			}
		}
	}
}

// forget drops a directory from the books, not from the kernel.
func (w *Watcher) forget(d *dir) {
	if w.paths[d.path] == d {
		delete(w.paths, d.path)
	}
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

// lookAt is the inode of a directory, nothing else, links not followed.
func lookAt(path string) (inode, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return inode{}, fmt.Errorf("%s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return inode{}, fmt.Errorf("%s: %w", path, unix.ENOTDIR)
	}
	return inode{dev: st.Dev, ino: st.Ino}, nil
}
