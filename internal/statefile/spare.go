package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"unsafe"
)

// Spare replaces one file again and again, also while somebody keeps the disk full: users can fill /var where they may write below it, and on XFS,
// or by using up the inodes, root has no room then either. Beside the file lies a second one, whose inode and blocks are there (fallocate(2)). The next
// content is written into that, and both exchange their names (renameat2(2), RENAME_EXCHANGE), so that the old file is the next spare and nothing is
// given back in between. Before more is written than both have room for, both get it. So whatever takes no more room than the
// file does can always be written.
type Spare struct {
	Dir, Name string
	// Shared makes the file one that the group of Dir may read, mode 0640; else it is 0600. Dir is a directory of root's, or of this process' user,
	// with the set-group-ID bit and closed to others. So nobody's rights are needed but those of the directory's owner: a process may give a file to
	// a group that it is not in only with CAP_CHOWN (chown(2)), and a directory gives its own group (inode(7), S_ISGID).
	Shared bool
	// Padded lets zeros stand behind the content, instead of giving blocks back that it does not need.
	Padded bool
}

// spareSlack is the room that each of both files has beside what it needs, and beside a quarter of that.
const spareSlack = 16 << 10

func (s Spare) path() string  { return filepath.Join(s.Dir, s.Name) }
func (s Spare) spare() string { return filepath.Join(s.Dir, ".spare-"+s.Name) }

// Replace makes the file one of exactly these bytes, but for zeros behind them where it is Padded. Who reads meanwhile sees the old file or the new
// one, and so does who reads after a crash of the machine. An error leaves the old one, unless it comes from the last step, bringing the
// names to the disk; it is Full where there is no room. The mark is that of the file which was written, whatever has its name by now.
func (s Spare) Replace(data []byte) (Mark, error) {
	// open(O_NOFOLLOW|O_NONBLOCK) fstat fcntl(F_SETLEASE) fallocate write fchmod fsync renameat2(RENAME_EXCHANGE) fstat close fsync(dir)
	file, err := s.open(len(data))
	if err != nil {
		return Mark{}, err
	}
	if err = s.extend(len(data)); err == nil {
		err = s.fill(file, data)
	}
	if err == nil {
		err = exchange(s.spare(), s.path())
	}
	info, wrong := file.Stat() // the new name has changed the time of its inode
	if err = errors.Join(err, wrong, file.Close()); err != nil {
		return Mark{}, err
	}
	return Mark{identify(info)}, syncDir(s.Dir)
}

// Ready makes sure that there is a spare with room for n bytes.
func (s Spare) Ready(n int) error {
	info, err := os.Lstat(s.spare())
	if err == nil && info.Mode().IsRegular() && roomOf(info) >= int64(n) {
		return nil // who reads it still is no matter yet
	}
	file, err := s.open(n)
	if err != nil {
		return fmt.Errorf("keep room for the next %s: %w", s.path(), err)
	}
	return file.Close()
}

// open gives a spare with room for n bytes that nobody else has open; a new one where there is none.
func (s Spare) open(n int) (*os.File, error) {
	gid := -1
	if s.Shared {
		shared, err := sharedBy(s.Dir)
		if err != nil {
			return nil, err
		}
		gid = int(shared)
	}
	there, busy := os.OpenFile(s.spare(), os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if busy == nil {
		if busy = errors.Join(owned(there, gid), idle(there)); busy == nil {
			if err := reserve(there, n); err != nil {
				return nil, errors.Join(err, there.Close())
			}
			return there, nil
		}
		busy = errors.Join(busy, there.Close())
	}
	file, err := temp(s.Dir, s.Name)
	if err != nil {
		return nil, errors.Join(err, busy)
	}
	if err = errors.Join(owned(file, gid), reserve(file, n)); err == nil {
		err = os.Rename(file.Name(), s.spare())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()), busy)
	}
	return file, nil
}

// owned refuses a file that is not this process' own, or has another group than it is to have.
func owned(file *os.File, gid int) error {
	if _, err := inspect(file, file.Name()); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if _, has := Owner(info); gid >= 0 && has != gid {
		return fmt.Errorf("%s: a new file there does not get the group of the directory", filepath.Dir(file.Name()))
	}
	return nil
}

// extend gives the file that is there the room for n bytes: it is the next spare.
func (s Spare) extend(n int) error {
	file, err := os.OpenFile(s.path(), os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil //nolint:nilerr // what it is, if it is there at all, is seen when it is to be used
	}
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = reserve(file, n)
	}
	return errors.Join(err, file.Close())
}

// fill is fill for a file that had another content.
func (s Spare) fill(file *os.File, data []byte) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := int64(len(data))
	if rest := info.Size() - size; rest > 0 && s.Padded {
		data = append(data[:size:size], make([]byte, rest)...)
	} else if rest > 0 {
		if err := errors.Join(file.Truncate(size), reserve(file, len(data))); err != nil {
			return err
		}
	}
	if _, err := file.WriteAt(data, 0); err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	if s.Shared {
		mode = 0o640
	}
	return errors.Join(file.Chmod(mode), file.Sync())
}

// reserve gives an open file blocks for n bytes and some more, without a change of its size; some more only where there is room.
func reserve(file *os.File, n int) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	least := int64(n)
	want := least + least/4 + spareSlack
	if roomOf(info) >= want {
		return nil
	}
	err = fallocate(file, want)
	if Full(err) && roomOf(info) < least {
		err = fallocate(file, least)
	} else if Full(err) {
		err = nil
	}
	return err
}

// roomOf is how many bytes the blocks of a file hold. XFS wants free blocks of fallocate(2) also for those that are there.
func roomOf(info fs.FileInfo) int64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return stat.Blocks * 512 // stat(2)
}

// keepSize is FALLOC_FL_KEEP_SIZE.
const keepSize = 1

// fallocate is fallocate(2); a file system that lacks it keeps no room.
func fallocate(file *os.File, n int64) error {
	for {
		err := syscall.Fallocate(int(file.Fd()), keepSize, 0, n)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return nil
		case err != nil:
			return &fs.PathError{Op: "fallocate", Path: file.Name(), Err: err}
		default:
			return nil
		}
	}
}

// fWriteLease and fNoLease are F_WRLCK and F_UNLCK of fcntl(2).
const (
	fWriteLease = 1
	fNoLease    = 2
)

// idle refuses a file that anybody else has open: a reader who was given it before would see two contents. The kernel grants a write lease only on
// a file that nobody else has open (fcntl(2), F_SETLEASE).
func idle(file *os.File) error {
	for _, lease := range []uintptr{fWriteLease, fNoLease} {
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, file.Fd(), fSetLease, lease); errno != 0 {
			return fmt.Errorf("%s: nobody is to read it: %w", file.Name(), errno)
		}
	}
	return nil
}

// sysRenameat2 is the number of renameat2(2), which the syscall package does not name; 0 is none, and then a spare is made anew for each content.
func sysRenameat2() uintptr {
	switch runtime.GOARCH {
	case "amd64":
		return 316
	case "arm64", "riscv64", "loong64":
		return 276
	case "ppc64le":
		return 357
	case "s390x":
		return 347
	}
	return 0
}

const (
	atFdcwd        = -100
	renameExchange = 2
)

// exchange exchanges two names, or renames where the second is not there, or they cannot be exchanged (an old kernel, NFS).
func exchange(from, to string) error {
	a, err := syscall.BytePtrFromString(from)
	if err != nil {
		return err
	}
	b, err := syscall.BytePtrFromString(to)
	if err != nil {
		return err
	}
	at, errno := atFdcwd, syscall.ENOSYS
	if number := sysRenameat2(); number != 0 {
		_, _, errno = syscall.Syscall6(number, uintptr(at), uintptr(unsafe.Pointer(a)), uintptr(at), uintptr(unsafe.Pointer(b)), renameExchange, 0) //nolint:gosec // the system call takes pointers
	}
	if errno == 0 {
		return nil
	}
	if slices.Contains([]syscall.Errno{syscall.ENOENT, syscall.ENOSYS, syscall.EINVAL, syscall.EOPNOTSUPP}, errno) {
		return os.Rename(from, to)
	}
	return &os.LinkError{Op: "exchange", Old: from, New: to, Err: errno}
}
