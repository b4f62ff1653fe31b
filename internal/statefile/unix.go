package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// owner returns the uid that owns a file.
func owner(info fs.FileInfo) (uid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, false
	}
	return int(stat.Uid), true
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

// flock takes the lock of an open file, or says at once that another open file has it.
func flock(file *os.File) (held bool, err error) {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return false, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return true, nil
		case !errors.Is(err, syscall.EINTR):
			return false, err
		}
	}
}
