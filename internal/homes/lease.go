package homes

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// errHeld says that nobody can be kept from holding the lock of a file, since somebody has it open or its file system knows no leases.
var errHeld = errors.New("somebody may hold its lock")

// leaseTries and leasePause are how long somebody may have the file open: sshd does for a moment at each login.
const (
	leaseTries = 6
	leasePause = 10 * time.Millisecond
)

// shared reports that the directory of the file is root's, outside the home. It holds the files of others too, as a rule, and
// nothing can take its place.
//
// Whoever may open a file, if only to read, can hold its lock as long as he likes: by a read with O_DIRECT into a page of his own
// FUSE server. A rename, an exchange, a link and an unlink wait for that lock while they hold the directory's
// (do_renameat2, vfs_unlink in fs/namei.c), and then every look-up there waits that the kernel has no answer to in memory, sshd's for all its users. So such a call is
// made in a shared directory only for a file that nobody else can have open: one of root's, mode 0600, or one under a lease.
func (p *place) shared() bool { return p.outside != "" && len(p.above) == 0 && p.dir.fd >= 0 }

// exclude makes sure until free is called that nobody holds the lock of what stands in a shared directory, else the error is errHeld. The
// kernel grants a write lease only where nobody else has the file open, and lets nobody open it as long as there is
// one (fcntl(2); do_dentry_open in fs/open.c). Before Linux 5.3 a descriptor with O_PATH counts as well, so that there is never one. sshd, which opens with O_NONBLOCK
// (auth_openfile in misc.c), finds no key meanwhile: it is for the moment of a rename. What is no regular file has no such lock that others could hold.
func (j *job) exclude(at handle) (free func(), err error) {
	if at.fd < 0 || !j.p.shared() || !at.is(unix.S_IFREG) {
		return func() {}, nil
	}
	fd := -1
	if err := j.asOwner(at, func() (err error) { fd, err = lease(at); return err }); err != nil {
		return nil, fmt.Errorf("%w: %w", errHeld, err)
	}
	return func() { closeFD(fd) }, nil // the lease goes with the description
}

// asOwner runs fn with the rights of a file's owner, who alone is given a lease.
func (j *job) asOwner(at handle, fn func() error) error {
	here := func() error { return j.effort.here(fn) }
	switch at.uid {
	case j.uid:
		return fn()
	case uint32(j.account.UID): //nolint:gosec // checked by Account.Check
		return j.door.As(j.account, here)
	}
	return as(int(at.uid), nobody, nil, here)
}

// lease takes a write lease with the rights of the thread.
func lease(at handle) (int, error) {
	if at.perm()&0o400 == 0 {
		_ = chmodFD(at.fd, at.perm()|0o400)
	}
	fd, err := -1, error(nil)
	for tries := range leaseTries {
		if tries > 0 {
			time.Sleep(leasePause)
		}
		if fd < 0 {
			fd, err = reopen(at.fd, unix.O_RDONLY)
		}
		if err == nil {
			if _, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK); err == nil {
				return fd, nil
			}
		}
		if !errors.Is(err, unix.EAGAIN) {
			break
		}
		if fd >= 0 {
			err = nil // of the lease alone
		}
	}
	closeFD(fd)
	if err == nil {
		err = unix.EAGAIN
	}
	return -1, err
}
