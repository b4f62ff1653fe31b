package watch

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// Set makes the watches of a user what they should be: on home, and on ssh
// unless it is "". Both are real paths, free of links; the paths of an earlier
// Set are given up. It may be called at any time and is meant to be called
// before every look at the user's files: a watch that is there stays.
//
// as runs its argument with the user's rights (nil: with the caller's), so that
// the kernel checks his right to read the directories. Two users on one
// directory both get its hints. Errors name the directory; the other one is
// watched all the same. ErrNoWatch: the kernel's limit is reached.
func (w *Watcher) Set(user string, as func(func() error) error, home, ssh string) error {
	if as == nil {
		as = func(fn func() error) error { return fn() }
	}
	kept := map[*dir]role{}
	err := as(func() error {
		return errors.Join(w.watch(user, home, isHome, kept), w.watch(user, ssh, isSSH, kept))
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range slices.Clone(w.users[user]) {
		if role := kept[d]; role != 0 {
			d.roles[user] = role
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
	w.queue.drop(user)
}

// watch asks the kernel for a watch and adds the directory to those kept.
// fsnotify follows links and cannot be told not to, so the path is looked at
// before and after: whoever exchanges it in between gets no further than what
// the user may read, and a hint to look again.
func (w *Watcher) watch(user, path string, as role, kept map[*dir]role) error {
	if path == "" {
		return nil
	}
	before, err := lookAt(path)
	if err != nil {
		return err
	}
	w.replaceStale(path, before)
	err = w.notify.Add(path)
	if d := w.enter(user, path, before, as, err == nil); d != nil {
		kept[d] |= as
	}
	if err != nil {
		return explain(path, err)
	}
	// After enter, for from now on events find their user.
	if after, err := lookAt(path); err != nil || before != after {
		w.queue.add(user)
	}
	return nil
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
	for user := range d.roles {
		w.queue.add(user)
	}
	w.forget(d)
	w.remove(path)
}

// enter puts a directory into the books; the watch of an inode keeps the path
// under which it was made. Without a fresh watch only one that the user has
// already is returned: it works on, though he took his right to read away.
func (w *Watcher) enter(user, path string, at inode, as role, fresh bool) *dir {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.inodes[at]
	if !fresh && (d == nil || d.roles[user] == 0) {
		return nil
	}
	if d == nil {
		d = &dir{inode: at, path: path, roles: map[string]role{}}
		w.inodes[at] = d
		w.paths[path] = d
	}
	if d.roles[user] == 0 {
		w.users[user] = append(w.users[user], d)
	}
	d.roles[user] |= as
	return d
}

// leave takes a user off a directory, and ends a watch that nobody wants then.
func (w *Watcher) leave(user string, d *dir) {
	w.unlist(user, d)
	delete(d.roles, user)
	if len(d.roles) == 0 && w.inodes[d.inode] == d {
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
