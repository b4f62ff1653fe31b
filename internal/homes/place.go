package homes

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// place is the way to a key file, found once and held by descriptors.
type place struct {
	spot
	// above are the home, or outside of it the first directory of the user's, and the
	// directories below it in which the names of spot.dirs were looked up; the search
	// ended in the last one. None: outside, and root's all the way.
	above []handle
	dir   handle // of the file; fd -1: there is none that may be used
	link  node   // the link that the last name is, when it is one
	via   bool   // a directory on the way is behind a link
	odd   node   // what stands in the place of a directory and is not usable
	bad   string // why not
	shut  bool   // the user may not search his own directory, the last one above
	// dangling: a directory is a link, and nothing is where it leads to.
	dangling bool
	// passed are the directories that links on the way lead through.
	passed []Dir
	effort *effort // of the call, unless nobody waits for it
}

func (p *place) close() {
	p.dir.close()
	for _, dir := range p.above {
		dir.close()
	}
}

// top is the directory that holds the directory of the file, or what there is in
// its place.
func (p *place) top() handle { return p.above[len(p.above)-1] }

// folder is the name in top.
func (p *place) folder() string { return p.dirs[len(p.above)-1] }

// where is the path of the directory of the file, or of what there is in its
// place, for people.
func (p *place) where() string {
	if p.outside == "" && p.fixed() {
		return "the home"
	}
	return path.Join(p.outside, path.Join(p.dirs[:min(len(p.above), len(p.dirs))]...))
}

// locate finds the directory of a key file with the rights of the thread. owner
// is the uid that these are of.
func (d *Door) locate(a Account, s spot, owner uint32, e *effort) (*place, error) {
	e.begin()
	if s.outside != "" {
		return d.outside(s, owner, e)
	}
	e.top.Store(true)
	defer e.below()
	home, err := d.home(a)
	if err != nil {
		return nil, fmt.Errorf("home %s: %w", a.Home, err)
	}
	p := &place{spot: s, above: []handle{home}, dir: none(), effort: e}
	if err := d.descend(p, owner); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// descend goes on from the last directory above, name by name, until the one of
// the file is found or one cannot be used.
func (d *Door) descend(p *place, uid uint32) (err error) {
	p.shut = false
	if p.fixed() {
		p.dir, err = p.top().again()
		return err
	}
	for {
		if err := d.enter(p, uid); err != nil {
			return fmt.Errorf("%s: %w", p.where(), err)
		}
		if p.dir.fd < 0 || len(p.above) == len(p.dirs) {
			return nil
		}
		p.above, p.dir, p.link = append(p.above, p.dir), none(), node{}
	}
}

// retreat forgets all that is below the n-th directory above.
func (p *place) retreat(n int) {
	p.dir.close()
	for _, dir := range p.above[n+1:] {
		dir.close()
	}
	p.above, p.dir = p.above[:n+1], none()
	p.link, p.odd, p.bad, p.shut = node{}, node{}, "", false
}

// home opens the home directory. Links on the way, the last name included, must
// be root's. The owner must be the user or root, as sshd wants it
// (auth_secure_path in misc.c).
func (d *Door) home(a Account) (handle, error) {
	home, err := d.walk(none(), a.Home, 0, nil)
	switch {
	case errors.Is(err, unix.ENOENT):
		return none(), fmt.Errorf("%w: %w", ErrNoHome, err)
	case err != nil:
		return none(), refusal(err)
	case !home.is(unix.S_IFDIR):
		err = fmt.Errorf("%w: it is %s", ErrRefused, home.kind())
	case home.uid != uint32(a.UID) && home.uid != 0: //nolint:gosec // checked by Account.Check
		err = fmt.Errorf("%w: owned by uid %d, while the account has uid %d", ErrStranger, home.uid, a.UID)
	}
	if err != nil {
		home.close()
		return none(), err
	}
	return home, nil
}

// refusal makes ErrRefused of what is wrong with a path. Other errors say nothing
// about it.
func refusal(err error) error {
	if oneOf(err, unix.ENOTDIR, unix.ELOOP, unix.EACCES) || errors.Is(err, errLink) || errors.Is(err, errForeign) || errors.Is(err, errStrict) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// enter fills in what the next name is. The error is one that says nothing about
// it: a dead server, a lack of memory.
func (d *Door) enter(p *place, uid uint32) error {
	found, err := d.step(p.top(), p.folder())
	p.effort.below()
	switch {
	case err == nil:
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EACCES) && p.top().uid == uid:
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
	if err := p.effort.reached(found.node); err != nil {
		found.close()
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
	case p.hides(found):
		p.bad = hiding
	default:
		p.dir = found
		return nil
	}
	p.odd = found.node
	found.close()
	return nil
}

// hides reports that a directory is encrypted (fscrypt) and the one above all is not. Its user shows what is in it, and hides it,
// by adding a key to the file system's and removing it: that raises no event, and sshd finds then what nobody saw.
func (p *place) hides(dir handle) bool { return encrypted(dir) && !encrypted(p.above[0]) }

const hiding = "what is there is encrypted, and can be shown for a login alone"

// follow goes after a link in the place of a directory. It counts as that when it
// leads, over links of the user's and root's only, to a directory of his own. One
// that leads to nothing lets nobody in, and waits for a file system to be mounted
// perhaps.
func (d *Door) follow(p *place, link handle, uid uint32) error {
	target, err := link.target(uid)
	found := none()
	if err == nil {
		way := trail{home: p.above[0].node, dirs: p.passed, hides: p.hides}
		found, err = d.walk(p.top(), target, uid, &way)
		p.passed, p.via = way.dirs, true
	}
	switch {
	case err == nil:
	case oneOf(err, unix.ENOENT, unix.ENOTDIR):
		p.dangling = true
		return nil
	case oneOf(err, unix.EACCES, unix.ELOOP, unix.ENAMETOOLONG),
		errors.Is(err, errLink), errors.Is(err, errForeign), errors.Is(err, errBlind), errors.Is(err, errHidden), errors.Is(err, errMaze):
		p.bad = "a link that cannot be followed: " + err.Error()
		return nil
	default:
		return err
	}
	where, err := found.realPath()
	switch {
	case !found.is(unix.S_IFDIR):
		p.bad = "a link to " + found.kind()
	case found.uid != uid:
		p.bad = fmt.Sprintf("a link to a directory of uid %d", found.uid)
	case found.same(p.above[0].node):
		p.bad = "a link to the home itself" // which is never given a mode for good
	case p.hides(found):
		p.bad = "a link to a directory in which " + hiding
	case err != nil, len(where) > unix.PathMax-maxHome:
		// A watch is set by path, and what is to be found below has names too.
		p.bad = "a link to a directory so deep that nobody can watch it"
	default:
		p.dir = found
		return nil
	}
	found.close()
	return nil
}
