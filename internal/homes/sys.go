package homes

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// openat is openat(2), closed on exec, again after EINTR (network and FUSE file
// systems return it).
func openat(dir int, name string, flags int, perm uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, perm)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// retry repeats a call that EINTR cut off.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// reopen opens the very inode of an O_PATH descriptor, whatever its name means
// by now. The link in /proc is followed without a name look-up; the permission
// check on the inode is made as for any open. O_NONBLOCK: a lease gives EAGAIN
// instead of a wait of /proc/sys/fs/lease-break-time seconds (fcntl(2)).
func reopen(fd, flags int) (int, error) {
	return openat(unix.AT_FDCWD, procPath(fd), flags|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// chmodFD changes the mode of an inode held by an O_PATH descriptor, for which
// fchmod(2) gives EBADF.
func chmodFD(fd int, mode uint32) error {
	return retry(func() error { return unix.Fchmodat(unix.AT_FDCWD, procPath(fd), mode&0o7777, 0) })
}

// fchmod is fchmod(2), again after EINTR.
func fchmod(fd int, mode uint32) error {
	return retry(func() error { return unix.Fchmod(fd, mode) })
}

// unlinkat is unlinkat(2), again after EINTR.
func unlinkat(dir int, name string, flags int) error {
	return retry(func() error { return unix.Unlinkat(dir, name, flags) })
}

func procPath(fd int) string {
	return "/proc/self/fd/" + strconv.Itoa(fd)
}

// closeFD drops a descriptor. Data was fsynced before where it matters, so
// there is nothing close(2) could still tell.
func closeFD(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}

// oneOf reports whether err is one of the errnos.
func oneOf(err error, errnos ...unix.Errno) bool {
	for _, errno := range errnos {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// stat is the node of a descriptor.
func stat(fd int) (node, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return node{}, err
	}
	return node{
		dev: st.Dev, ino: st.Ino,
		mode: st.Mode, uid: st.Uid,
		single: st.Nlink == 1,
		size:   uint64(max(st.Size, 0)),
		mtime:  st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}, nil
}

func (n node) is(format uint32) bool { return n.mode&unix.S_IFMT == format }
func (n node) perm() uint32          { return n.mode & 0o7777 }
func (n node) same(o node) bool      { return n.dev == o.dev && n.ino == o.ino }

// rootsAlone reports that nobody but root can change what is in a directory.
func (n node) rootsAlone() bool { return n.uid == 0 && n.perm()&0o022 == 0 }

// untouched reports that an inode is the one that was seen, and that nothing shows
// a write since. The ctime is left out: a rename sets it.
func (n node) untouched(seen node) bool {
	n.ctime, seen.ctime = 0, 0
	return n == seen
}

// identity leaves out what changes with every file made in a directory.
func (n node) identity() node {
	return node{dev: n.dev, ino: n.ino, mode: n.mode, uid: n.uid}
}

// kind is a word for reports.
func (n node) kind() string {
	switch n.mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "a regular file"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	}
	return "of unknown type"
}
