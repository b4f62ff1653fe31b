package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Create makes the new file dir/name with mode 0400, since nobody is to write it again, and the bytes of data. A file of that name is an error that
// errors.Is fs.ErrExist and stays untouched. The name appears when the bytes are on the disk; when Create returns nil, both
// survive a crash of the machine. A crash on the way can leave a file whose name begins with a dot; an error leaves none.
func Create(dir, name string, data []byte) error {
	// open(O_CREAT|O_EXCL) fchmod write fsync close link unlink fsync(dir)
	file, err := temp(dir, name)
	if err != nil {
		return err
	}
	err = errors.Join(file.Chmod(0o400), fill(file, data))
	if err == nil {
		err = os.Link(file.Name(), filepath.Join(dir, name))
	}
	return errors.Join(err, os.Remove(file.Name()), syncDir(dir))
}

// Replace makes dir/name, mode 0600, a file of exactly these bytes, whether it was there or not. Who reads meanwhile sees the
// old file or the new one, and so does who reads after a crash of the machine. An error leaves the old one, unless it comes
// from the last step, bringing the name to the disk.
func Replace(dir, name string, data []byte) error {
	return ReplaceBy(dir, name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// ReplaceBy is Replace with the bytes that write writes, which need not be in memory at once. Its error leaves the old file.
func ReplaceBy(dir, name string, write func(io.Writer) error) error {
	// open(O_CREAT|O_EXCL) write fsync close rename fsync(dir)
	file, err := temp(dir, name)
	if err != nil {
		return err
	}
	if err := rename(file, filepath.Join(dir, name), settle(file, write(file))); err != nil {
		return err
	}
	return syncDir(dir)
}

// sharedBy gives the group of a directory that a file in it is to be shared by.
func sharedBy(dir string) (gid uint32, err error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return 0, err
	}
	if err := trusted(info, dir); err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.IsDir():
		return 0, fmt.Errorf("%s: is not a directory", dir)
	case info.Mode()&fs.ModeSetgid == 0 || info.Mode().Perm()&0o007 != 0:
		return 0, fmt.Errorf("%s: mode %s, where a directory is wanted that its group alone shares (2750)", dir, info.Mode())
	}
	return stat.Gid, nil
}

// rename gives a file that was written without an error its name; any other goes.
func rename(file *os.File, path string, err error) error {
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// temporary is the pattern of the names that files have while they are written.
const temporary = ".new-*"

// temp makes the file that is to get a name in dir.
func temp(dir, name string) (*os.File, error) {
	if name == "" || name[0] == '.' || name != filepath.Base(name) {
		return nil, fmt.Errorf("%q is not the name of a file in %s", name, dir)
	}
	return os.CreateTemp(dir, temporary) // mode 0600
}

// fill writes data, brings it to the disk and closes the file; a full disk shows in any of the three.
func fill(file *os.File, data []byte) error {
	_, err := file.Write(data)
	return settle(file, err)
}

// settle is the rest of fill for what was written without an error.
func settle(file *os.File, err error) error {
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncDir brings the names in a directory to the disk: fsync(2) of a file does not do that for its name.
func syncDir(dir string) error {
	file, err := os.Open(dir) //nolint:gosec // the directory is the daemon's own
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// makeDir makes a directory with exactly perm, whatever the umask, and the parents it lacks.
func makeDir(path string, perm fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // parents such as /var/lib are for everybody to pass
		return err
	}
	if err := os.Mkdir(path, perm.Perm()); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil // somebody was faster; EnsureDir looks at what is there
		}
		return err
	}
	if err := os.Chmod(path, perm.Perm()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Publish puts data in the place of dir/name, for others to read: with the mode perm, whole or not at all. It is not brought
// to the disk, since what it tells of is over when the machine is.
func Publish(dir, name string, data []byte, perm fs.FileMode) error {
	// open(O_CREAT|O_EXCL) write fchmod close rename
	file, err := os.CreateTemp(dir, temporary)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return rename(file, filepath.Join(dir, name), errors.Join(err, file.Chmod(perm), file.Close()))
}
