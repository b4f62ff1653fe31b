package watch

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

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
// the kernel checks his right to read the directories. It may give up on its argument, which
// waits where a user holds a directory of his, and return before that ends: the Set is over
// then, and what its argument does later sets no watch. Two users on one
// directory both get its hints. unveil runs its argument while the user may read
// a directory of his that he has closed to himself, and may give up as well; it is asked for what he has no
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
	set := newSetting(user)
	err := as(func() error {
		var wrong []error
		for _, dir := range dirs {
			wrong = append(wrong, w.watch(set, dir, unveil))
		}
		return errors.Join(wrong...)
	})
	w.keep(user, w.end(set))
	if err != nil {
		return fmt.Errorf("watch user %s: %w", user, err)
	}
	return nil
}

// setting is a Set under way; the Watcher's lock is its lock.
type setting struct {
	user string
	kept map[*dir]share
	over bool // what is found from now on is nobody's
}

// errOver ends what a Set has left behind.
var errOver = errors.New("the watches were set without it")

func newSetting(user string) *setting { return &setting{user: user, kept: map[*dir]share{}} }

// end makes a Set over, and returns what it kept.
func (w *Watcher) end(set *setting) map[*dir]share {
	w.mu.Lock()
	defer w.mu.Unlock()
	set.over = true
	return set.kept
}

// hold adds a directory to those that a Set keeps.
func (w *Watcher) hold(set *setting, d *dir, wanted Dir) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !set.over {
		set.kept[d] = set.kept[d].with(wanted)
	}
}

// Drop ends the watches of a user. Those he shares stay for the others.
func (w *Watcher) Drop(user string) {
	w.keep(user, nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.vain, user)
	w.queue.drop(user)
}

// keep ends the watches of a user but those kept.
func (w *Watcher) keep(user string, kept map[*dir]share) {
	for _, wd := range w.leave(user, kept) {
		w.remove(wd)
	}
}

// leave takes a user off the directories that are not kept, and returns the watches
// that nobody wants then.
func (w *Watcher) leave(user string, kept map[*dir]share) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var unwanted []int
	for _, d := range slices.Clone(w.users[user]) {
		if share, found := kept[d]; found {
			d.shares[user] = share
			continue
		}
		w.unlist(user, d)
		delete(d.shares, user)
		if len(d.shares) == 0 {
			w.forget(d)
			unwanted = append(unwanted, d.wd)
		}
	}
	return unwanted
}

// watch asks the kernel for a watch and adds the directory to those kept. The
// open is what waits where a user holds his directory; it is on his thread.
func (w *Watcher) watch(set *setting, wanted Dir, unveil Unveil) error {
	fd, err := unix.Open(wanted.Path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return explain(wanted.Path, err)
	}
	file := os.NewFile(uintptr(fd), wanted.Path)
	defer func() { _ = file.Close() }() // waits for who was left behind by unveil and uses it
	at, err := inodeOf(fd)
	if err != nil {
		return explain(wanted.Path, err)
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return explain(wanted.Path, err)
	}
	add := func() error {
		d, err := w.add(set, at, wanted, func() (wd int, err error) {
			closed := conn.Control(func(fd uintptr) { wd, err = w.ask(int(fd)) })
			return wd, errors.Join(closed, err)
		})
		if err == nil {
			w.hold(set, d, wanted)
		}
		return err
	}
	known := w.known(set.user, at)
	switch err = add(); {
	case !errors.Is(err, unix.EACCES):
	case known != nil:
		w.hold(set, known, wanted) // he took his right to read away; the watch that is there goes on
		err = nil
	case unveil != nil && w.veiled(set.user, at):
		err = w.unveil(set.user, wanted.Path, unveil, add)
	}
	if err != nil {
		return explain(wanted.Path, err)
	}
	return nil
}

// add asks for the watch of a directory until the kernel gives one that was
// in the books before. One that was not may be dead when it gets there: another
// user's leave asked for its end, and its IN_IGNORED found nobody. One that was is
// alive, or its end is still to be read and is a hint. What happens before that is
// no hint, but the look that follows a Set has not begun either.
func (w *Watcher) add(set *setting, at inode, wanted Dir, ask func() (wd int, err error)) (*dir, error) {
	for {
		wd, err := ask()
		if err != nil {
			return nil, err
		}
		switch d, before := w.enter(set, wd, at, wanted); {
		case d == nil:
			w.remove(wd)
			return nil, errOver
		case before:
			return d, nil
		}
	}
}

// veiled reports whether a directory that its user may not read is worth being
// unveiled: he has no watch on it yet.
func (w *Watcher) veiled(user string, at inode) bool {
	if w.known(user, at) != nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.vain[user]) > unveilPause
}

func (w *Watcher) unveil(user, path string, unveil Unveil, add func() error) error {
	return unveil(path, func() error {
		err := add()
		if err != nil && !errors.Is(err, errOver) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.vain[user] = time.Now()
		}
		return err
	})
}

// known is the directory that a user has a watch on already, if he has.
func (w *Watcher) known(user string, at inode) *dir {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.inodes[at]; d != nil && d.has(user) {
		return d
	}
	return nil
}

// enter puts a watch of a user's into the books, and reports whether it was there
// before. d is nil for one that nobody wants: it was in no books, and the Set is over.
func (w *Watcher) enter(set *setting, wd int, at inode, wanted Dir) (d *dir, before bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d = w.dirs[wd]
	switch {
	case set.over && d == nil:
		return nil, false
	case set.over:
		return d, true
	case d == nil:
		d = &dir{inode: at, wd: wd, shares: map[string]share{}}
		w.dirs[wd] = d
	}
	w.inodes[at] = d
	if before = d.has(set.user); !before {
		w.users[set.user] = append(w.users[set.user], d)
	}
	d.shares[set.user] = d.shares[set.user].with(wanted)
	return d, before
}

func explain(path string, err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%s: %w: %w", path, ErrNoWatch, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
