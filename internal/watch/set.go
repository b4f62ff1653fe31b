package watch

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// Unveil is what Set is given to watch directories that their user may not read.
type Unveil func(path string, fn func() error) error

// unveilPause is how long no directory of a user's is unveiled after that was in
// vain: it changes modes, which is an event in the directory above, and so would
// be the next hint.
const unveilPause = time.Minute

// Set makes the watches of a user what they should be: on the given directories,
// and on no others. It may be called at any time and is meant to be called before
// every look at the user's files: a watch that is there stays.
//
// as runs its argument with the user's rights (nil: with the caller's), so that
// the kernel checks his right to read the directories. Two users on one
// directory both get its hints. unveil runs its argument while the user may read
// a directory of his that he has closed to himself; it is asked for what he has no
// watch on yet (nil: that is an error). Errors name the directory; the others are watched
// all the same. ErrNoWatch: the kernel's limit is reached.
//
// The directories are watched in their order. Whoever found them did so before
// that: what he finds when he looks for them once more, if it differs, is to be
// set again.
func (w *Watcher) Set(user string, as func(func() error) error, unveil Unveil, dirs []Dir) error {
	if as == nil {
		as = func(fn func() error) error { return fn() }
	}
	kept := map[*dir]share{}
	err := as(func() error {
		var wrong []error
		for _, dir := range dirs {
			wrong = append(wrong, w.watch(user, dir, unveil, kept))
		}
		return errors.Join(wrong...)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range slices.Clone(w.users[user]) {
		if share, found := kept[d]; found {
			d.shares[user] = share
			continue
		}
		w.leave(user, d)
	}
	if err != nil {
		return fmt.Errorf("watch user %s: %w", user, err)
	}
	return nil
}

// Drop ends the watches of a user. Those he shares stay for the others.
func (w *Watcher) Drop(user string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range slices.Clone(w.users[user]) {
		w.leave(user, d)
	}
	delete(w.vain, user)
	w.queue.drop(user)
}

// watch asks the kernel for a watch and adds the directory to those kept.
// fsnotify follows links and cannot be told not to, so the path is looked at
// before and after: whoever exchanges it in between gets no further than what
// the user may read, and a hint to look again.
func (w *Watcher) watch(user string, wanted Dir, unveil Unveil, kept map[*dir]share) error {
	before, err := lookAt(wanted.Path)
	if err != nil {
		return err
	}
	w.replaceStale(wanted.Path, before)
	err = w.notify.Add(wanted.Path)
	if errors.Is(err, unix.EACCES) && unveil != nil && w.veiled(user, before) {
		err = w.unveil(user, wanted.Path, unveil)
	}
	if d := w.enter(user, wanted, before, err == nil); d != nil {
		kept[d] = kept[d].with(wanted)
		if errors.Is(err, unix.EACCES) {
			err = nil // the watch that is there goes on
		}
	}
	if err != nil {
		return explain(wanted.Path, err)
	}
	// After enter, for from now on events find their user.
	if after, err := lookAt(wanted.Path); err != nil || before != after {
		w.queue.add(user)
	}
	return nil
}

// veiled reports whether a directory that its user may not read is worth being
// unveiled: he has no watch on it yet.
func (w *Watcher) veiled(user string, at inode) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.inodes[at]; d != nil {
		if _, known := d.shares[user]; known {
			return false
		}
	}
	return time.Since(w.vain[user]) > unveilPause
}

func (w *Watcher) unveil(user, path string, unveil Unveil) error {
	vain := false
	err := unveil(path, func() error {
		err := w.notify.Add(path)
		vain = err != nil
		return err
	})
	if vain {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.vain[user] = time.Now()
	}
	return err
}

// replaceStale ends the watch fsnotify knows under a path when another directory
// stands there now; it would keep the old one in the kernel for ever.
func (w *Watcher) replaceStale(path string, now inode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.paths[path]
	if d == nil || d.inode == now {
		return
	}
	for user := range d.shares {
		w.queue.add(user)
	}
	w.forget(d)
	w.remove(path)
}

// enter puts a directory into the books; the watch of an inode keeps the path
// under which it was made. Without a fresh watch only one that the user has
// already is returned: it works on, though he took his right to read away.
func (w *Watcher) enter(user string, wanted Dir, at inode, fresh bool) *dir {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.inodes[at]
	known := false
	if d != nil {
		_, known = d.shares[user]
	}
	if !fresh && !known {
		return nil
	}
	if d == nil {
		d = &dir{inode: at, path: wanted.Path, shares: map[string]share{}}
		w.inodes[at] = d
		w.paths[wanted.Path] = d
	}
	if !known {
		w.users[user] = append(w.users[user], d)
	}
	d.shares[user] = d.shares[user].with(wanted)
	return d
}

// leave takes a user off a directory, and ends a watch that nobody wants then.
func (w *Watcher) leave(user string, d *dir) {
	w.unlist(user, d)
	delete(d.shares, user)
	if len(d.shares) == 0 && w.inodes[d.inode] == d {
		w.forget(d)
		w.remove(d.path)
	}
}

// remove ends a watch in the kernel. One that is gone already is what was asked
// for, and there is no other error but a Watcher that is closed.
func (w *Watcher) remove(path string) {
	_ = w.notify.Remove(path)
}

func explain(path string, err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%s: %w: %w", path, ErrNoWatch, err)
	}
	if errors.Is(err, fsnotify.ErrClosed) {
		return fsnotify.ErrClosed
	}
	return fmt.Errorf("%s: %w", path, err)
}
