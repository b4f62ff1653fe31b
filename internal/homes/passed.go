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

// Dir is a directory whose changes matter to a user's files: its real path, free
// of links, and the entries that count. No Names: all of them do.
type Dir struct {
	Path  string
	Names []string
}

// trail notes the directories in which the path behind a link .ssh is looked up:
// whoever may rename an entry there decides what .ssh is.
type trail struct {
	home node
	dirs []Dir
}

// pass notes that a name is about to be looked up in a directory. Directories
// that root alone can change are left out, as is "..", which is no entry that
// could be exchanged.
func (t *trail) pass(dir handle, name string) error {
	if t == nil || name == ".." || !dir.is(unix.S_IFDIR) || dir.rootsAlone() {
		return nil
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

// Dirs returns the directories whose changes matter, for a watch, without
// changing anything: first the home, for its entry .ssh; when .ssh is a link, the
// directories in which an entry of the path behind it could be exchanged by
// somebody other than root, and the one in which a dangling path ends; last .ssh,
// or what it leads to, unless there is none that may be used. Errors: ErrNoHome,
// ErrRefused, or what the file system said.
func (d *Door) Dirs(a Account) ([]Dir, error) {
	var list []Dir
	err := d.As(a, func() error {
		p, err := d.locate(a)
		if err != nil {
			return err
		}
		defer p.close()
		home, err := p.home.realPath()
		if err != nil {
			return err
		}
		list = append([]Dir{{Path: home, Names: []string{sshDir}}}, p.passed...)
		if p.ssh.fd < 0 {
			return nil
		}
		ssh, err := p.ssh.realPath()
		list = append(list, Dir{Path: ssh})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", a.Name, err)
	}
	return merge(list), nil
}

// merge makes one of several entries with the same path.
func merge(list []Dir) []Dir {
	var merged []Dir
	for _, dir := range list {
		i := slices.IndexFunc(merged, func(other Dir) bool { return other.Path == dir.Path })
		switch {
		case i < 0:
			merged = append(merged, dir)
		case dir.Names == nil || merged[i].Names == nil:
			merged[i].Names = nil
		case !slices.Contains(merged[i].Names, dir.Names[0]):
			merged[i].Names = append(merged[i].Names, dir.Names...)
		}
	}
	return merged
}
