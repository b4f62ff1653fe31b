package homes

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// link goes after a symbolic link to a file below the home, so that a key which is kept elsewhere there, as dot files are, is seen. It is read as text and followed by hand,
// through no other link: so no way leads out, and none to a dead server.
func (s *sifter[T]) link(at handle, where string) {
	inside, is, err := s.inside(at, where)
	switch {
	case err != nil:
		s.blind(where, err.Error())
		return
	case !is:
		return
	}
	found, err := s.home.again()
	for names := elements(inside); err == nil && len(names) > 0; names = names[1:] {
		var next handle
		if next, err = s.door.step(found, names[0]); err == nil {
			found.close()
			found = next
		}
	}
	defer found.close()
	switch {
	case oneOf(err, unix.ENOENT, unix.ENOTDIR) && !found.is(unix.S_IFLNK):
	case found.is(unix.S_IFLNK):
		s.blind(where, "a link that leads through another one: it is not followed")
	case err != nil:
		s.blind(where, err.Error())
	case found.is(unix.S_IFREG) && found.size > 0:
		s.open(found, where)
	}
}

// inside is where a link leads below the home; nothing where that is looked at without the link. An error says why it is not followed.
func (s *sifter[T]) inside(at handle, where string) (string, bool, error) {
	target, err := at.target(s.uid)
	switch {
	case err != nil:
		return "", false, err
	case s.via:
		return "", false, errors.New("a link in a directory that is behind a link: it is not followed")
	case path.IsAbs(target):
		below, is := strings.CutPrefix(path.Clean(target), s.root+"/")
		if !is {
			return "", false, errOut
		}
		target = below
	default:
		target = path.Join(path.Dir(where), target)
	}
	if target == ".." || strings.HasPrefix(target, "../") {
		return "", false, errOut
	}
	return target, !strings.HasPrefix(target+"/", s.given+"/"), nil
}

var errOut = errors.New("a link that leads out of the home: it is not followed")
