package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// readFlags open a file for Read. O_NOFOLLOW: a link could be turned to another file of root. O_NONBLOCK: opening a
	// FIFO that nobody writes to must not hang the daemon.
	readFlags = os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	// lockFlags open or make the lock file.
	lockFlags = os.O_RDWR | os.O_CREATE | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
)

// identity is what two looks at one file must agree on.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime time.Time
}

// identify reads the identity out of a stat result. The change time betrays a writer who set the modification time back.
func identify(info fs.FileInfo) identity {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{size: info.Size(), mtime: info.ModTime()}
	}
	return identity{
		dev:   stat.Dev,
		ino:   stat.Ino,
		size:  stat.Size,
		mtime: time.Unix(stat.Mtim.Unix()),
		ctime: time.Unix(stat.Ctim.Unix()),
	}
}

// Mark is what two looks at one file agree on as long as nobody has touched it or its name. The zero Mark is no file's.
type Mark struct{ id identity }

// MarkOf looks at what has the name path, without following a link.
func MarkOf(path string) (Mark, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Mark{}, err
	}
	return Mark{identify(info)}, nil
}

// Exposed goes from where a path leads up to "/", and gives the first name on the way that somebody other than root could change, with what is
// there: sshd runs no program below one, and like this looks at no link (safe_path in OpenSSH's misc.c). The name is empty where all are
// root's alone.
func Exposed(path string) (name string, info fs.FileInfo, err error) {
	if name, err = filepath.EvalSymlinks(path); err != nil {
		return "", nil, err
	}
	for ; ; name = filepath.Dir(name) {
		if info, err = os.Lstat(name); err != nil {
			return "", nil, err
		}
		if uid, _ := Owner(info); uid != 0 || info.Mode().Perm()&0o022 != 0 {
			return name, info, nil
		}
		if name == "/" {
			return "", nil, nil
		}
	}
}

// Program gives the path of a program that nobody but root could change, as sshd has it for its own command (safe_path in OpenSSH's misc.c). It is without
// links: whose directory has a link could turn it before the program is run.
func Program(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is not an absolute path", path)
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	at, _, err := Exposed(target)
	if err == nil && at != "" {
		err = fmt.Errorf("%s: somebody other than root could change %s", path, at)
	}
	return target, err
}

// Owner is who owns a file; -1 is not known.
func Owner(info fs.FileInfo) (uid, gid int) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(stat.Uid), int(stat.Gid)
}

// openError explains the two errors of open(2) whose text misleads: ELOOP for a link under O_NOFOLLOW and ENXIO for a
// socket.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ELOOP):
		return fmt.Errorf("%s: is a symbolic link: %w", path, err)
	case errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("%s: is not a regular file: %w", path, err)
	default:
		return err
	}
}

// fSetLease and fReadLease are F_SETLEASE and F_RDLCK of fcntl(2), which the syscall package does not name.
const (
	fSetLease  = 1024
	fReadLease = 0
)

// finished refuses a file that somebody has open for writing: what is in it by now may end in the middle. The kernel grants
// a read lease only on a file without a writer (fcntl(2), F_SETLEASE); it ends when the file is closed. Where the file
// system knows no leases, nothing is said.
func finished(file *os.File, path string) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, fSetLease, fReadLease)
	})
	if err == nil && errno == syscall.EAGAIN {
		return fmt.Errorf("%s: is open for writing: its writer has not finished", path)
	}
	return err
}

// sysCloseRange is close_range(2), which the syscall package does not name; it has this number everywhere.
const sysCloseRange = 436

// flock takes the lock of an open file. EWOULDBLOCK: another open file has it.
func flock(fd int) error {
	for {
		if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
