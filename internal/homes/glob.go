package homes

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// The bounds of what one pattern may find: sshd reads every match, and a directory
// belongs to a user who can fill it.
const (
	globMatches = 256
	globNames   = 1 << 14
)

// errMany says that there may be more key files than are kept.
var errMany = fmt.Errorf("more than %d files match, or the directory has more than %d names: the others are not kept, and sshd reads them", globMatches, globNames)

// Glob adds to the files of an account those that are there and match one of its
// patterns, as glob(3) would find them for sshd, whatever they are: in the order of
// their names, which may be any that a directory can hold, and each once. It lists
// a directory with the user's rights and opens nothing in it. One that is not there,
// or that Read does not follow either, has no matches: the pattern's own name in Paths
// makes Read tell of it. An error tells of files that may be there and were not
// found; those that were are there all the same.
func (d *Door) Glob(a Account, files KeyFiles) (KeyFiles, error) {
	files.Paths = slices.Clone(files.Paths)
	var wrong []error
	for _, pattern := range files.Patterns {
		found, err := d.glob(a, pattern)
		if err != nil && !errors.Is(err, ErrNoHome) { // Read says that
			wrong = append(wrong, fmt.Errorf("account %s: %s: %w", a.Name, pattern, err))
		}
		for _, name := range found {
			if !slices.Contains(files.Paths, name) {
				files.Paths = append(files.Paths, name)
			}
		}
	}
	return files, errors.Join(wrong...)
}

func (d *Door) glob(a Account, pattern string) ([]string, error) {
	dir, name := path.Split(pattern)
	names, err := ParsePattern(name)
	if err != nil {
		return nil, err
	}
	s, err := a.spot(dir + names.Name())
	if err != nil {
		return nil, err
	}
	list, err := glance(d, a, s.String(), reading, func(e *effort) ([]string, error) {
		p, err := d.locate(a, s, uint32(a.UID), e) //nolint:gosec // checked by Account.Check
		if err != nil {
			return nil, err
		}
		defer p.close()
		return p.list(names)
	})
	slices.Sort(list)
	for i, name := range list {
		list[i] = dir + name
	}
	return list, err
}

// list finds the names that match in the directory of the file.
func (p *place) list(names Pattern) ([]string, error) {
	if p.dir.fd < 0 {
		return nil, nil
	}
	fd, err := reopen(p.dir.fd, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.EACCES) && (!p.fixed() || p.dir.uid == 0) {
		return nil, nil // nor does sshd find any, and Read calls a file in there unreadable
	}
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	var list []string
	err = eachName(fd, globNames, func(name string) error {
		switch {
		case !names.Match(name):
			return nil
		case len(list) == globMatches:
			return errMany
		}
		list = append(list, name)
		return nil
	})
	return list, err
}

// eachName tells of the names in an open directory but "." and "..", until it has told an error, which it gives; errMany: there are more than so many.
func eachName(fd, most int, tell func(name string) error) error {
	buffer := make([]byte, 64<<10)
	for seen := 0; ; {
		n, err := unix.ReadDirent(fd, buffer)
		if err != nil || n <= 0 {
			return err
		}
		_, _, names := unix.ParseDirent(buffer[:n], -1, nil)
		for _, name := range names {
			if seen++; seen > most {
				return errMany
			}
			if err := tell(name); err != nil {
				return err
			}
		}
	}
}
