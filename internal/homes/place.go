package homes

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// sshDir is where sshd and ssh keep a user's files (FILES in sshd(8)).
const sshDir = ".ssh"

// place is a home and its .ssh, found once and held by descriptors.
type place struct {
	home handle
	ssh  handle // fd -1: there is none that may be used
	link node   // the link .ssh, when it is one
	odd  node   // what stands in the place of .ssh and is not usable
	bad  string // why not
	shut bool   // the user may not search his own home
	// dangling: .ssh is a link, and nothing is where it leads to.
	dangling bool
	// passed are the directories that a link .ssh leads through.
	passed []Dir
}

func (p *place) close() {
	p.ssh.close()
	p.home.close()
}

// locate finds a home and its .ssh with the rights of the thread.
func (d *Door) locate(a Account) (*place, error) {
	home, err := d.home(a)
	if err != nil {
		return nil, fmt.Errorf("home %s: %w", a.Home, err)
	}
	p := &place{home: home, ssh: none()}
	if err := d.findSSH(p, uint32(a.UID)); err != nil { //nolint:gosec // checked by Account.Check
		p.close()
		return nil, fmt.Errorf("%s/%s: %w", a.Home, sshDir, err)
	}
	return p, nil
}

// home opens the home directory. Links on the way, the last name included, must
// be root's. The owner must be the user or root, as sshd wants it
// (auth_secure_path in misc.c).
func (d *Door) home(a Account) (handle, error) {
	home, err := d.walk(none(), a.Home, 0, nil)
	switch {
	case err == nil:
	case errors.Is(err, unix.ENOENT):
		return none(), fmt.Errorf("%w: %w", ErrNoHome, err)
	case oneOf(err, unix.ENOTDIR, unix.ELOOP, unix.EACCES), errors.Is(err, errLink), errors.Is(err, errForeign):
		return none(), fmt.Errorf("%w: %w", ErrRefused, err)
	default:
		return none(), err
	}
	switch {
	case !home.is(unix.S_IFDIR):
		err = fmt.Errorf("%w: it is %s", ErrRefused, home.kind())
	case home.uid != uint32(a.UID) && home.uid != 0: //nolint:gosec // checked by Account.Check
		err = fmt.Errorf("%w: owned by uid %d", ErrRefused, home.uid)
	}
	if err != nil {
		home.close()
		return none(), err
	}
	return home, nil
}

// findSSH fills in what .ssh is. The error is one that says nothing about .ssh:
// a dead server, a lack of memory.
func (d *Door) findSSH(p *place, uid uint32) error {
	found, err := d.step(p.home, sshDir)
	switch {
	case err == nil:
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EACCES) && p.home.uid == uid:
		p.shut = true
		return nil
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case errors.Is(err, errForeign):
		p.bad = err.Error()
		return nil
	default:
		return err
	}
	switch {
	case found.is(unix.S_IFLNK):
		defer found.close()
		p.link = found.node
		return d.follow(p, found, uid)
	case !found.is(unix.S_IFDIR):
		p.bad = "it is " + found.kind()
	case found.uid != uid && found.uid != 0:
		p.bad = fmt.Sprintf("owned by uid %d", found.uid)
	default:
		p.ssh = found
		return nil
	}
	p.odd = found.node
	found.close()
	return nil
}

// follow goes after a link .ssh. It counts as the user's .ssh when it leads,
// over links of his and root's only, to a directory of his own. One that leads to
// nothing lets nobody in, and waits for a file system to be mounted perhaps.
func (d *Door) follow(p *place, link handle, uid uint32) error {
	target, err := link.target(uid)
	found := none()
	if err == nil {
		way := trail{home: p.home.node}
		found, err = d.walk(p.home, target, uid, &way)
		p.passed = way.dirs
	}
	switch {
	case err == nil:
	case oneOf(err, unix.ENOENT, unix.ENOTDIR):
		p.dangling = true
		return nil
	case oneOf(err, unix.EACCES, unix.ELOOP, unix.ENAMETOOLONG),
		errors.Is(err, errLink), errors.Is(err, errForeign), errors.Is(err, errBlind):
		p.bad = "a link that cannot be followed: " + err.Error()
		return nil
	default:
		return err
	}
	switch {
	case !found.is(unix.S_IFDIR):
		p.bad = "a link to " + found.kind()
	case found.uid != uid:
		p.bad = fmt.Sprintf("a link to a directory of uid %d", found.uid)
	default:
		p.ssh = found
		return nil
	}
	found.close()
	return nil
}

// keyName is the name in .ssh that a path of a key file leads to. Others than
// .ssh/NAME are refused.
func keyName(file string) (string, error) {
	if err := checkPath(file); err != nil {
		return "", err
	}
	dir, name := path.Split(file)
	if dir != sshDir+"/" {
		return "", fmt.Errorf("file %s: %w: not in %s", file, ErrRefused, sshDir)
	}
	return name, nil
}

// maxElement bounds the names of a key file and its directory, which get longer
// when they go aside, or into quarantine; a name has 255 bytes at most.
const maxElement = 128

// checkPath admits the path of a key file as sshd would have expanded it: clean,
// absolute or below the home, and of plain ASCII without the characters that sshd
// expands.
func checkPath(file string) error {
	wrong := ""
	switch {
	case len(file) > maxHome:
		wrong = "too long"
	case !fs.ValidPath(strings.TrimPrefix(file, "/")), file == ".":
		wrong = "not a clean path"
	case strings.ContainsAny(file, `*?[]\%`):
		wrong = "it holds a character that sshd expands"
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
