package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// open: openat(O_APPEND|O_CREAT|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC), fstat. O_NONBLOCK keeps a FIFO in the file's place from holding
// the daemon up for ever.
func open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600) //nolint:gosec // the configured path of the trail
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = syncDir(filepath.Dir(path)) // a file that was just made has no name on disk before
	}
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o022 != 0:
		err = fmt.Errorf("%s may be written by others than its owner (mode %v)", path, info.Mode().Perm())
	default:
		return file, nil
	}
	return nil, errors.Join(err, file.Close())
}

func syncDir(path string) error {
	dir, err := os.Open(path) //nolint:gosec // the folder of the configured trail
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// write: flock(LOCK_EX), lseek(end), pread of the last line if somebody else wrote it, write, fsync, flock(LOCK_UN).
func (l *Log) write(records []Record) (err error) {
	if err := l.lock(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN)) }()
	last, err := l.last.now(l.path, l.file)
	if err != nil {
		return err
	}
	var text []byte
	if last.torn {
		text = append(text, '\n')
	}
	start, lines := last.end, make([][]byte, len(records))
	for i, r := range records {
		if lines[i], err = l.encode(r, last); err != nil {
			return err
		}
		text = append(text, lines[i]...)
		last = last.next(lines[i])
	}
	if err := l.append(text, start); err != nil {
		return err
	}
	last.end = start + int64(len(text))
	l.last = last
	l.journal.copy(lines)
	return nil
}

// rotations is how often in a row the file may be another one than that which was just opened.
const rotations = 8

// lock takes the lock of the file that the path names. logrotate(8) moves a file away; whoever has it open then writes into
// it no more once somebody may have gone on in the new one, since he looks when he has the lock.
func (l *Log) lock() error {
	for range rotations {
		fd := int(l.file.Fd())
		if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
			return fmt.Errorf("lock it: %w", err)
		}
		moved, err := l.moved()
		if err == nil && !moved {
			return nil
		}
		if err := errors.Join(err, syscall.Flock(fd, syscall.LOCK_UN)); err != nil {
			return err
		}
		file, err := open(l.path)
		if err != nil {
			return err
		}
		old := l.file
		l.file, l.last.end = file, -1
		if err := old.Close(); err != nil {
			return err
		}
	}
	return errors.New("it is moved away again and again")
}

// moved says whether the path names another file than the open one, or none.
func (l *Log) moved() (bool, error) {
	named, err := os.Lstat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	held, err := l.file.Stat()
	return err == nil && !os.SameFile(named, held), err
}

// append takes a part that was written back off the file, so that the next record does not stand on half a line.
func (l *Log) append(text []byte, start int64) error {
	_, err := l.file.Write(text)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return errors.Join(err, l.file.Truncate(start))
	}
	return nil
}
