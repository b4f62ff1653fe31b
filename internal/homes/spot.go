package homes

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// spot is where a key file is said to be.
type spot struct {
	// dirs are the directories between the home and the file, from the top: .ssh as
	// a rule. None: the file lies in the home itself, or outside.
	dirs    []string
	outside string // absolute path of a directory outside the home; "" in the home
	name    string
}

// spot finds out where the path of a key file leads. A path below the home means
// the same whether it is absolute or not.
func (a Account) spot(file string) (spot, error) {
	if err := checkFile(file); err != nil {
		return spot{}, err
	}
	if below, found := strings.CutPrefix(file, a.Home+"/"); found {
		file = below
	}
	dir, name := path.Split(file)
	s := spot{dirs: elements(dir), name: name}
	if !path.IsAbs(file) {
		return s, nil
	}
	s.dirs, s.outside = nil, path.Clean(dir)
	if name == a.Name && slices.Contains(systemDirs(), s.outside) {
		return spot{}, fmt.Errorf("file %s: %w: a file of the system could have the user's name", file, ErrRefused)
	}
	return s, nil
}

// systemDirs hold files of the system that may be called as a user is: passwd,
// shadow and moduli are login names.
func systemDirs() []string { return []string{"/", "/etc", "/etc/ssh"} }

// String is the path of the file, relative to the home unless it is outside.
func (s spot) String() string {
	return path.Join(s.outside, path.Join(s.dirs...), s.name)
}

// fixed reports that the directory of the file is nobody's to renew.
func (s spot) fixed() bool { return len(s.dirs) == 0 }

// maxElement bounds the names of a key file and its directories, which get longer
// when they go aside, or into quarantine; a name has 255 bytes at most.
const maxElement = 128

// checkFile is CheckPath but for the last name, which glob(3) may have found: it is
// then any that a directory can hold.
func checkFile(file string) error {
	dir, name := path.Split(file)
	if len(name) > unix.NAME_MAX || slices.Contains([]string{"", ".", ".."}, name) || strings.Contains(name, "\x00") {
		return fmt.Errorf("file %+q: %w: not the name of a file", cut(file, maxHome), ErrRefused)
	}
	return CheckPath(dir + "x")
}

// CheckPath reports why a path cannot be that of a key file as sshd would have
// expanded it; nil when it can: clean, absolute or below the home, at most 1024
// bytes of printable ASCII, with names of at most 128 bytes; what sshd would expand
// in it is taken to be expanded already. The error wraps ErrRefused.
func CheckPath(file string) error {
	wrong := ""
	switch {
	case len(file) > maxHome:
		wrong = "too long"
	case !fs.ValidPath(strings.TrimPrefix(file, "/")), file == ".":
		wrong = "not a clean path"
	case strings.ContainsFunc(file, func(r rune) bool { return r < ' ' || r > '~' }):
		wrong = "not plain ASCII"
	case slices.ContainsFunc(strings.Split(file, "/"), func(name string) bool { return len(name) > maxElement }):
		wrong = "a name in it is too long"
	}
	if wrong != "" {
		return fmt.Errorf("file %+q: %w: %s", cut(file, maxHome), ErrRefused, wrong)
	}
	return nil
}
