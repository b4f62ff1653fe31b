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

// Entry is a file of a folder of the daemon's.
type Entry struct {
	Name string
	Size int64
}

// Entries lists the regular files of a folder in the order of their names. Those that are not finished, whose names begin with
// a dot, are left out; a folder that is not there has none.
func Entries(dir string) ([]Entry, error) {
	found, err := os.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []Entry
	for _, entry := range found {
		if !entry.Type().IsRegular() || entry.Name()[0] == '.' {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // another process was faster
		}
		if err != nil {
			return nil, err
		}
		list = append(list, Entry{entry.Name(), info.Size()})
	}
	return list, err
}

// Folders lists the folders in a folder of the daemon's; one that is not there has none.
func Folders(dir string) ([]string, error) {
	found, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []string
	for _, entry := range found {
		if entry.IsDir() {
			list = append(list, entry.Name())
		}
	}
	return list, err
}

// Remove removes a file. One that is not there any more is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make room in %s: %w", filepath.Dir(path), err)
	}
	return nil
}

// Full reports whether an error says that the disk, or a quota on it, has no room.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// Tidy removes what a crash left of files that were being written into dir: those that nobody has written to for so long, which may be 0 where the
// caller is the only writer.
func Tidy(dir string, age time.Duration) error {
	list, err := filepath.Glob(filepath.Join(dir, temporary))
	for _, path := range list {
		info, wrong := os.Lstat(path)
		if wrong == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) >= age {
			wrong = os.Remove(path)
		}
		if !errors.Is(wrong, fs.ErrNotExist) { // it has its name by now
			err = errors.Join(err, wrong)
		}
	}
	return err
}
