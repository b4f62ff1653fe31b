package homes

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// swap puts the new file in the place of the one that was read, and takes that
// one away only when it is what was read: whatever came in between the last look
// and the swap goes aside, and so does a link, whose target says where its user
// keeps his keys. The new file stays in either case, so no unregistered key comes
// back.
func (j *job) swap(t *temp) error {
	known, err := t.try(j.spot.name, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.EXDEV):
		return t.over(j.spot.name)
	case err != nil:
		return err
	case !known && j.seen.State == Symlink:
		return j.supplant(t)
	case !known:
		return t.over(j.spot.name)
	}
	old, err := j.door.step(t.dir, t.name)
	defer old.close()
	if errors.Is(err, unix.ENOENT) {
		return nil // its owner was faster
	}
	link := err == nil && old.is(unix.S_IFLNK)
	known = err == nil && (old.untouched(j.seen.Version.file) || j.holdsAfter(old))
	if known && !link {
		err = unlinkat(t.dir.fd, t.name, 0)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
	}
	name := asideName(hidden(j.spot.name))
	err = move(t.dir.fd, t.name, name)
	if link && noRoom(err) {
		err = unlinkat(t.dir.fd, t.name, 0)
	} else if err == nil && !known {
		j.displaced(name, old)
	}
	if err != nil && !errors.Is(err, ErrChanged) {
		return fmt.Errorf("the new file is in place, the old one is %s: %w", t.name, err)
	}
	return nil
}

// holdsAfter reports that a displaced file is as good as the new one: another node, which shares this home, was faster.
func (j *job) holdsAfter(old handle) bool {
	if !old.is(unix.S_IFREG) || old.size != uint64(len(j.after)) {
		return false
	}
	fd, err := reopen(old.fd, unix.O_RDONLY)
	if err != nil {
		return false
	}
	defer closeFD(fd)
	same, err := holds(fd, j.after)
	return err == nil && same
}

// supplant moves aside what has the name, under the mark, and takes its place.
func (j *job) supplant(t *temp) error {
	if err := j.suspend(j.p.dir, j.spot.name, hidden(j.spot.name)); err != nil {
		return err
	}
	return t.rename(j.spot.name)
}

// Bounds of the search for leftovers of runs that were cut off: how old they are
// unless their maker is known to be no more, how many blocks of directory entries
// are read, and how many files go. A Replace takes milliseconds; another one in the
// same .ssh, of this host or of another, must keep its file.
const (
	leftoverAge    = 10 * time.Minute
	leftoverBlocks = 2
	leftoverFiles  = 16
)

// sweep removes temporary files that a crash left in .ssh: new files, and old ones
// that a swap had put there; a link goes aside. sshd reads none of them. Without a
// file that was just written, nothing is old. Errors are of no account.
func (j *job) sweep(t *temp) {
	var fresh node
	if t != nil {
		fresh, _ = stat(t.fd) // the zero node does without the age
	}
	j.sweepIn(j.p.dir, fresh, false)
}

// sweepIn is sweep for a directory. deep: what a rehearsal left goes as well, which is a directory.
func (j *job) sweepIn(dir handle, fresh node, deep bool) {
	fd, err := reopen(dir.fd, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer closeFD(fd)
	buffer, gone := make([]byte, 16<<10), 0
	for range leftoverBlocks {
		n, err := unix.ReadDirent(fd, buffer)
		if err != nil || n <= 0 {
			return
		}
		_, _, names := unix.ParseDirent(buffer[:n], -1, nil)
		for _, name := range names {
			if gone < leftoverFiles && j.rid(dir, name, fresh, deep) {
				gone++
			}
		}
	}
}

// rid takes one leftover away. It goes at once if its maker was a process of this
// host, and is no more; else the age counts, by the clock of the file system itself:
// the ctime of the file that was just written, and the ctime that the last rename or
// write gave to the other one.
func (j *job) rid(dir handle, name string, fresh node, deep bool) bool {
	by, made := makerOf(name)
	if !made {
		return false
	}
	at, err := j.door.step(dir, name)
	if err != nil {
		return false
	}
	defer at.close()
	if at.uid != j.uid && at.uid != 0 || at.same(fresh) { // root's is the guard's
		return false
	}
	dead := by.host == j.door.maker.host && by.dead()
	switch {
	case at.is(unix.S_IFREG) && (dead || at.ctime <= fresh.ctime-j.door.grace.Nanoseconds()):
		free, err := j.exclude(at)
		if err != nil {
			return false
		}
		defer free()
		return unlinkat(dir.fd, name, 0) == nil
	case at.is(unix.S_IFLNK) && dead:
		return aside(dir.fd, name, hidden(j.spot.name)) == nil
	case at.is(unix.S_IFDIR) && dead && deep:
		j.sweepIn(at, fresh, false)
		return unlinkat(dir.fd, name, unix.AT_REMOVEDIR) == nil // with anything else in it, it stays
	}
	return false
}
