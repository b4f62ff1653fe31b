package homes

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// noRoom reports a full disk or quota, or a directory that holds as many others as
// one can (64,998 on ext4 without dir_nlink).
func noRoom(err error) bool { return oneOf(err, unix.ENOSPC, unix.EDQUOT, unix.EMLINK) }

// squeeze acts when there is no room for a new file: full is the error. An
// unregistered key must not stay because its owner filled his quota, and a
// registered one should not go for it. So a plain file with one link, owned by
// the user and without holes, is overwritten in place when its blocks hold the
// new content. Anything else goes aside under the mark, and full is returned.
func (j *job) squeeze(full error) error {
	if j.seen.nothing() {
		return fmt.Errorf("no room for the new file: %w", full)
	}
	if j.guarded() && j.holdsAfter(j.at) {
		return fmt.Errorf("no room for a file of root's; what the user's own holds is right: %w", full)
	}
	fd := j.overwrite()
	if fd < 0 {
		return errors.Join(fmt.Errorf("no room for the new file, the old one goes aside: %w", full),
			j.suspend(j.p.dir, j.spot.name, hidden(j.spot.name)))
	}
	defer closeFD(fd)
	return j.verify(fd)
}

// overwrite returns the descriptor of the file when that holds the new content
// now, else -1.
func (j *job) overwrite() int {
	if j.seen.State != Regular || j.before.loose {
		return -1
	}
	fd, err := reopen(j.at.fd, unix.O_RDWR)
	if err != nil {
		return -1
	}
	if !j.fits(fd) || fchmod(fd, j.mode()) != nil || pwrite(fd, j.after) != nil ||
		unix.Ftruncate(fd, int64(len(j.after))) != nil || retry(func() error { return unix.Fsync(fd) }) != nil {
		closeFD(fd)
		return -1
	}
	return fd
}

// fits reports whether the open file is still the one that was seen, is nobody
// else's, and has blocks enough for what it holds and for what it is to hold.
func (j *job) fits(fd int) bool {
	now, err := stat(fd)
	if err != nil || now != j.seen.Version.file || !now.single || now.uid != j.uid {
		return false
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false
	}
	return uint64(max(st.Blocks, 0))*512 >= max(now.size, uint64(len(j.after)))
}
