package homes

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// noRoom reports a full disk or quota, or a directory that holds as many others as
// one can (64,998 on ext4 without dir_nlink).
func noRoom(err error) bool { return oneOf(err, unix.ENOSPC, unix.EDQUOT, unix.EMLINK) }

// denied reports that the user himself may not do it, or, in an encrypted directory of which he has taken the key away (fscrypt), cannot.
func denied(err error) bool { return oneOf(err, unix.EACCES, unix.EPERM, unix.ENOKEY) }

// withoutName acts when nothing in the directory may get another name, nor the directory itself: by an
// attribute (chattr(1)), an ACL that the mode does not show (NFSv4), a policy, or since it comes from a lower
// layer of an overlay (EXDEV). err is what was said to that. The file that was seen is dealt with where it is.
func (j *job) withoutName(err error) error {
	if j.blind || j.at.fd < 0 || !denied(err) && !errors.Is(err, unix.EXDEV) {
		return err
	}
	if j.p.dir.fd < 0 {
		p, failed := j.again()
		if failed != nil {
			return err
		}
		j.p.close()
		j.p = p
	}
	_, at, failed := j.door.look(j.p)
	defer at.close()
	if failed != nil || !at.same(j.at.node) {
		return err
	}
	return j.squeeze(err)
}

// inPlace reports that a file of its owner's can be overwritten.
func inPlace(at handle, owner uint32) bool {
	return at.fd >= 0 && at.is(unix.S_IFREG) && at.uid == owner && at.perm()&0o400 != 0 && at.size <= MaxSize && attributes(at) == Free
}

// milder reports that to overwrite the file is enough where no new one may be made, and costs its user less than another directory.
func (j *job) milder(err error) bool {
	return denied(err) && inPlace(j.at, j.uid) && !j.guarded() && (j.p.dir.uid == j.uid || attributes(j.p.dir) != Free)
}

// overHeld overwrites a plain file of the user's while somebody holds the lock of its directory, in which no other file can be
// made. It takes no lock but the file's own. On XFS the directory may not even give way then: a look-up that waits for
// the buffer of its block holds the lock that a rename of the directory takes (xfs_lookup, xfs_lock_inodes).
func (j job) overHeld(d *Door, a Account, s spot) error {
	_, err := attend(d, a, s.String(), overwriting, func(e *effort) (struct{}, error) {
		return struct{}{}, d.hand(a, s, e, func(owner uint32) error {
			j := j
			j.door, j.account, j.spot, j.uid, j.effort, j.at = d, a, s, owner, e, none()
			defer j.end()
			if err := j.find(); err != nil {
				return err
			}
			if j.holdsAfter(j.at) && untidy(j.at.node, j.uid) == "" {
				return ErrStuck // it is more that is to be changed
			}
			if j.p.shared() {
				return j.rework()
			}
			j.before = j.seen.Version // also of a file that does not keep still: what is in it goes
			fd := j.overwrite(false)
			if fd < 0 {
				return ErrStuck
			}
			defer closeFD(fd)
			return j.verify(fd)
		})
	})
	return err
}

// squeeze acts when a new file cannot be made, as for lack of room: why is the error. An
// unregistered key must not stay because its owner filled his quota, and a
// registered one should not go for it. So a plain file owned by
// the user is overwritten in place; where there is no room it must have one link, no holes, and blocks enough for the
// new content. Anything else goes aside under the mark, and why is returned.
func (j *job) squeeze(why error) error {
	if j.seen.nothing() {
		return why
	}
	if (j.guarded() || !noRoom(why)) && j.holdsAfter(j.at) {
		return fmt.Errorf("what the file holds is right, and no more can be done: %w", why)
	}
	if j.p.shared() {
		return j.squeezeShared(why)
	}
	fd := j.overwrite(noRoom(why))
	if fd < 0 {
		return errors.Join(fmt.Errorf("the old file goes aside: %w", why), j.suspend(j.p.dir, j.spot.name, hidden(j.spot.name)))
	}
	defer closeFD(fd)
	return j.verify(fd)
}

// squeezeShared is squeeze in a shared directory.
func (j *job) squeezeShared(why error) error {
	err := j.rework()
	switch {
	case err == nil || errors.Is(err, ErrChanged):
		return err
	case errors.Is(err, errRest):
		return errors.Join(why, err)
	}
	free, held := j.exclude(j.at)
	if held != nil {
		return errors.Join(why, err)
	}
	defer free()
	return errors.Join(fmt.Errorf("the old file goes aside: %w", why), err, j.suspend(j.p.dir, j.spot.name, hidden(j.spot.name)))
}

// overwrite returns the descriptor of the file when that holds the new content
// now, else -1. full: there may be no room.
func (j *job) overwrite(full bool) int {
	if j.seen.State != Regular || j.before.loose {
		return -1
	}
	if j.at.uid == j.uid && j.at.perm()&0o200 == 0 {
		_ = chmodFD(j.at.fd, j.at.perm()|0o200) // its owner may write it then
	}
	fd, err := reopen(j.at.fd, unix.O_RDWR)
	if err != nil {
		return -1
	}
	if !j.fits(fd, full) || fchmod(fd, j.mode()) != nil || pwrite(fd, j.after) != nil ||
		unix.Ftruncate(fd, int64(len(j.after))) != nil || retry(func() error { return unix.Fsync(fd) }) != nil {
		closeFD(fd)
		return -1
	}
	return fd
}

// fits reports whether the open file is still the one that was seen, and the user's; on a full disk also that it is nobody
// else's, and has blocks enough for what it holds and for what it is to hold.
func (j *job) fits(fd int, full bool) bool {
	now, err := stat(fd)
	now.mode = j.seen.Version.file.mode
	if err != nil || !now.untouched(j.seen.Version.file) || now.uid != j.uid {
		return false
	}
	if !full {
		return true
	}
	return now.single && room(fd) >= max(now.size, uint64(len(j.after)))
}

// room is how many bytes the blocks of an open file hold; their unit is always 512 bytes (stat(3type)).
func room(fd int) uint64 {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0
	}
	return uint64(max(st.Blocks, 0)) * 512
}
