package homes

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// explain says of a right that was missing when it is missing to everybody: chattr(1) +i or +a, which no mode and no owner
// shows.
func (j *job) explain(err error) error {
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	if unchangeable(j.at.fd) {
		return fmt.Errorf("%w: the file is immutable or append-only (chattr)", err)
	}
	if j.p != nil && unchangeable(j.p.dir.fd) {
		return fmt.Errorf("%w: its directory is immutable or append-only (chattr)", err)
	}
	return err
}

// unchangeable asks statx(2) for the attributes of an open file.
func unchangeable(fd int) bool {
	var st unix.Statx_t
	return fd >= 0 && unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, 0, &st) == nil &&
		st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
}
