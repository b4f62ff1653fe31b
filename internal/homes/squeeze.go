package homes

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// squeeze acts when there is no room for a new file: full is the error. An
// unregistered key must not stay because its owner filled his quota, and a
// registered one should not go for it. So a plain file with one link, owned by
// the user and without holes, is overwritten in place: that needs no block.
// Anything else goes aside, and full is returned.
func (j *job) squeeze(full error) error {
	if j.seen.State == Missing {
		return fmt.Errorf("new file: %w", full)
	}
	if j.overwrite() {
		return nil
	}
	return errors.Join(fmt.Errorf("no room for the new file, the old one goes aside: %w", full), aside(j.p.ssh.fd, j.name, "."+j.name))
}

// overwrite reports whether the file holds the new content now.
func (j *job) overwrite() bool {
	if j.seen.State != Regular || j.before.loose || uint64(len(j.after)) > j.at.size {
		return false
	}
	fd, err := reopen(j.at.fd, unix.O_RDWR)
	if err != nil {
		return false
	}
	defer closeFD(fd)
	now, err := stat(fd)
	if err != nil || now != j.seen.Version.file || !now.single || now.uid != j.uid {
		return false
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || uint64(max(st.Blocks, 0))*512 < now.size {
		return false
	}
	if unix.Fchmod(fd, 0o600) != nil || pwrite(fd, j.after) != nil || unix.Ftruncate(fd, int64(len(j.after))) != nil {
		return false
	}
	return retry(func() error { return unix.Fsync(fd) }) == nil
}
