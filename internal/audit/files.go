package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Files lists the files of a trail from the oldest to the newest: the one at path and those that logrotate made of it, whose
// names go on behind it with "." or "-", compressed or not. Their order is that of their first records; a file that has none
// comes first.
func Files(path string) ([]string, error) {
	list, err := numbered(path, true)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		_, err := os.Lstat(path)
		return nil, err
	}
	names := make([]string, len(list))
	for i, f := range list {
		if f.wrong != nil {
			return nil, f.wrong
		}
		names[i] = f.path
	}
	return names, nil
}

// numberedFile is a file of a trail and the number of its first record, 0 where it has none, or where it cannot be read: wrong says why.
type numberedFile struct {
	path  string
	first uint64
	wrong error
}

// numbered leaves the file at path itself unopened unless it is wanted: who holds its lock must not ask for it again. A file that
// logrotate renames meanwhile is looked for again.
func numbered(path string, itself bool) ([]numberedFile, error) {
	for range rotations {
		names, err := named(path, itself)
		if err != nil {
			return nil, err
		}
		list := make([]numberedFile, len(names))
		for i, name := range names {
			list[i].path = name
			list[i].first, list[i].wrong = firstNumber(name)
		}
		if !slices.ContainsFunc(list, func(f numberedFile) bool { return errors.Is(f.wrong, fs.ErrNotExist) }) {
			slices.SortStableFunc(list, func(a, b numberedFile) int { return cmp.Compare(a.first, b.first) })
			return list, nil
		}
	}
	return nil, fmt.Errorf("the files beside %s are renamed again and again", path)
}

// named lists the files by their names alone. One that is being compressed is there twice until that is done.
func named(path string, itself bool) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	var list []string
	for _, entry := range entries {
		rest, ok := strings.CutPrefix(entry.Name(), base)
		if !ok || !entry.Type().IsRegular() || rest == "" && !itself || rest != "" && rest[0] != '.' && rest[0] != '-' {
			continue
		}
		list = append(list, filepath.Join(filepath.Dir(path), entry.Name()))
	}
	all := slices.Clone(list)
	return slices.DeleteFunc(list, func(name string) bool {
		plain, zipped := strings.CutSuffix(name, ".gz")
		return zipped && slices.Contains(all, plain)
	}), nil
}

// firstNumber looks at the first lines alone: of those one may be cut off by a crash.
func firstNumber(path string) (first uint64, err error) {
	file, err := OpenFile(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	lines := bufio.NewReaderSize(file, lineBound)
	for range 3 {
		line, err := lines.ReadSlice('\n')
		if l, wrong := parseLink(bytes.TrimSuffix(line, []byte("\n"))); wrong == nil {
			return l.Sequence, nil
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
			return 0, nil
		case err != nil:
			return 0, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return 0, nil
}

// rotated is the head of the newest file that was moved away from path; zero where there is none. One that cannot be read is passed
// over only if it is older than one that can.
func rotated(path string) (h head, err error) {
	list, err := numbered(path, false)
	if err != nil || len(list) == 0 {
		return head{}, err
	}
	newest := list[len(list)-1]
	for _, f := range list {
		if f.wrong != nil && !older(f.path, newest) {
			return head{}, f.wrong
		}
	}
	if newest.first == 0 {
		return head{}, nil
	}
	file, err := OpenFile(newest.path)
	if err != nil {
		return head{}, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var end tail
	if _, err := io.Copy(&end, file); err != nil {
		return head{}, fmt.Errorf("read %s: %w", newest.path, err)
	}
	return headOf(end.bytes), nil
}

// older reports that a file was last written before another one was, which has records. Neither logrotate's renames nor gzip(1) change that.
func older(path string, than numberedFile) bool {
	a, wrong := os.Stat(path)
	b, err := os.Stat(than.path)
	return than.first != 0 && wrong == nil && err == nil && a.ModTime().Before(b.ModTime())
}

// tail keeps the last bytes that were written to it, two lines of any length at least.
type tail struct{ bytes []byte }

func (t *tail) Write(data []byte) (int, error) {
	t.bytes = append(t.bytes, data...)
	if over := len(t.bytes) - 2*lineBound; over > 0 {
		t.bytes = append(t.bytes[:0], t.bytes[over:]...)
	}
	return len(data), nil
}

// OpenFile opens a file of a trail to read what is in it by now, whole batches of records; what gzip(1) has compressed is
// read as it was.
func OpenFile(path string) (io.ReadCloser, error) {
	// open fstat flock(LOCK_SH) lseek flock(LOCK_UN)
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // a trail that the administrator named
	if err != nil {
		return nil, err
	}
	size, err := settled(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), file.Close())
	}
	plain := bufio.NewReader(io.LimitReader(file, size))
	opened := struct {
		io.Reader
		io.Closer
	}{plain, file}
	if magic, _ := plain.Peek(2); string(magic) == "\x1f\x8b" { // RFC 1952 section 2.3.1; no JSON begins so
		zipped, err := gzip.NewReader(plain)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), file.Close())
		}
		opened.Reader = zipped
	}
	return opened, nil
}

// settled is the size of a file while nobody writes to it: a writer holds the lock until its records are whole.
func settled(file *os.File) (size int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, errors.New("it is not a regular file")
	}
	fd := int(file.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_SH); err != nil {
		return 0, fmt.Errorf("lock it: %w", err)
	}
	info, err = file.Stat()
	if err == nil {
		size = info.Size()
	}
	return size, errors.Join(err, syscall.Flock(fd, syscall.LOCK_UN))
}
