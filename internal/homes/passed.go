package homes

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// errBlind says that a link leads through a directory in which names can be
// exchanged without anybody seeing it: inotify_add_watch(2) asks for the right to
// read, a look-up by sshd for the right to search only.
var errBlind = errors.New("through a directory that its user cannot read, so that nobody can watch it")

// errHidden says that a link leads through an encrypted directory: see hides.
var errHidden = errors.New("through a directory in which " + hiding)

// maxPassed bounds the directories that are noted on the way to one file: each
// costs a watch, of which the host has a limited number for all of its users.
const maxPassed = 64

var errMaze = fmt.Errorf("through more than %d directories that somebody else than root can change", maxPassed)

// Dir is a directory whose changes matter to a user's files: its real path, free
// of links, and the entries that count. No Names: all of them do.
type Dir struct {
	Path  string
	Names []string
}

// trail notes the directories in which a path is looked up: whoever may rename an
// entry there decides what it leads to.
type trail struct {
	home node
	dirs []Dir
	// hides, unless nil, reports that what stands in a directory is not to be believed: its user can hide it.
	hides func(dir handle) bool
	// strict is for a way outside the home: it leads through directories that root alone can change, and ends in the first one
	// that is owner's. rest is what is left of it there.
	strict bool
	owner  uint32
	rest   []string
}

// arrived reports that a strict way has come to a directory of its owner's.
func (t *trail) arrived(dir handle) bool { return t != nil && t.strict && dir.of(t.owner) }

// pass notes that a name is about to be looked up in a directory. Directories
// that root alone can change are left out, as is "..", which is no entry that
// could be exchanged.
func (t *trail) pass(dir handle, name string) error {
	if t != nil && t.strict && !dir.rootsAlone() {
		return errStrict
	}
	if t == nil || name == ".." || !dir.is(unix.S_IFDIR) || dir.rootsAlone() {
		return nil
	}
	if t.hides != nil && t.hides(dir) {
		return errHidden
	}
	if err := readable(dir); err != nil && !dir.same(t.home) {
		if errors.Is(err, unix.EACCES) {
			err = errBlind
		}
		return err
	}
	return t.note(dir, name)
}

// miss notes where a path ended before its target: what is made there makes the
// link lead somewhere. Only root can change what pass left out, so a right that is
// missing there does not matter.
func (t *trail) miss(dir handle, name string) {
	if t != nil && name != ".." && dir.is(unix.S_IFDIR) && readable(dir) == nil {
		_ = t.note(dir, name)
	}
}

func (t *trail) note(dir handle, name string) error {
	if len(t.dirs) == maxPassed {
		return errMaze
	}
	path, err := dir.realPath()
	if err == nil {
		t.dirs = append(t.dirs, Dir{Path: path, Names: []string{name}})
	}
	return err
}

func readable(dir handle) error {
	fd, err := reopen(dir.fd, unix.O_RDONLY|unix.O_DIRECTORY)
	closeFD(fd)
	return err
}

// Dirs returns the directories whose changes matter to key files of an account,
// for a watch, without changing anything. For a file in the home: the home and the
// directories below it, each for the next name on the way; where that is a link,
// the directories in which an entry of the path behind it could be exchanged by
// somebody other than root, and the one in which a dangling path ends; last the
// directory of the file, or what it leads to, unless there is none that may be
// used. For a file outside: the same from the first directory of the user's on, or
// else that of the file alone. Errors: ErrNoHome, ErrRefused, ErrStuck, or what the file system said;
// what was found of other files is returned all the same.
func (d *Door) Dirs(a Account, files ...string) ([]Dir, error) {
	var list []Dir
	var wrong []error
	for _, file := range files {
		dirs, err := d.dirs(a, file)
		list, wrong = append(list, dirs...), append(wrong, err)
	}
	err := errors.Join(wrong...)
	if err != nil {
		err = fmt.Errorf("account %s: %w", a.Name, err)
	}
	return merge(list), err
}

func (d *Door) dirs(a Account, file string) ([]Dir, error) {
	s, err := a.spot(file)
	if err != nil {
		return nil, err
	}
	return glance(d, a, s.String(), reading, func(e *effort) ([]Dir, error) { return d.dirsOf(a, s, e) })
}

func (d *Door) dirsOf(a Account, s spot, e *effort) ([]Dir, error) {
	p, err := d.locate(a, s, uint32(a.UID), e) //nolint:gosec // checked by Account.Check
	if err != nil {
		return nil, err
	}
	defer p.close()
	var list []Dir
	add := func(dir handle, names ...string) {
		path, wrong := dir.realPath()
		list, err = append(list, Dir{Path: path, Names: names}), errors.Join(err, wrong)
	}
	for i, dir := range p.above {
		if i < len(p.dirs) {
			add(dir, p.dirs[i])
		}
	}
	list = append(list, p.passed...)
	switch {
	case p.dir.fd < 0:
	case p.fixed() && (p.outside == "" || p.dir.uid == 0):
		add(p.dir, s.name) // much else may lie there
	default:
		add(p.dir)
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// merge makes one of several entries with the same path.
func merge(list []Dir) []Dir {
	var merged []Dir
	index := map[string]int{}
	for _, dir := range list {
		i, found := index[dir.Path]
		switch {
		case !found:
			index[dir.Path] = len(merged)
			merged = append(merged, dir)
		case dir.Names == nil || merged[i].Names == nil:
			merged[i].Names = nil
		default:
			for _, name := range dir.Names {
				if !slices.Contains(merged[i].Names, name) {
					merged[i].Names = append(merged[i].Names, name)
				}
			}
		}
	}
	return merged
}
