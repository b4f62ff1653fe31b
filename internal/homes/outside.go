package homes

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// errStrict says that a path outside the home leads through a directory that
// somebody else can change. sshd refuses such a file as well (StrictModes,
// auth_secure_path in misc.c).
var errStrict = errors.New("through a directory that another user owns, or one of root's that group or others may write")

// outside finds a directory outside the home. Links on the way must be root's, and every directory root's and nobody else's to
// write, until one is owner's: from there on it is the owner's own affair, as below his home, whatever he makes of modes and
// links. A refusal there would let him keep a key, and make the path fit for sshd for the moment of a login. A directory of
// root's below one of his is nobody's to work in: he could put another one of root's there.
func (d *Door) outside(s spot, owner uint32, e *effort) (*place, error) {
	p := &place{spot: s, dir: none(), effort: e}
	way := trail{strict: true, owner: owner}
	found, err := d.walk(none(), s.outside, 0, &way)
	switch {
	case errors.Is(err, unix.ENOENT):
		return p, nil
	case err != nil:
		err = refusal(err)
	case !found.is(unix.S_IFDIR):
		err = fmt.Errorf("%w: it is %s", ErrRefused, found.kind())
	case found.of(owner):
		p.above, p.dirs = []handle{found}, way.rest
		if p.outside, err = found.realPath(); err == nil {
			err = d.descend(p, owner)
		}
		if err == nil && p.holdsRoots() {
			err = fmt.Errorf("%w: root's, below a directory of uid %d", ErrRefused, owner)
		}
		if err == nil {
			return p, nil
		}
		p.close()
		return nil, fmt.Errorf("%s: %w", s.outside, err)
	case !found.rootsAlone():
		err = fmt.Errorf("%w: owned by uid %d, mode %04o", ErrRefused, found.uid, found.perm())
	default:
		// Nor does sshd find a file where the user may not search.
		var self handle
		if self, err = d.step(found, "."); err == nil {
			self.close()
			p.dir = found
			return p, nil
		}
		err = refusal(err)
	}
	found.close()
	return nil, fmt.Errorf("%s: %w", s.outside, err)
}

// of reports that a directory is a user's own; root's are not.
func (n node) of(uid uint32) bool { return n.is(unix.S_IFDIR) && n.uid == uid && uid != 0 }

// holdsRoots reports that a directory on the way is root's, below one that is not.
func (p *place) holdsRoots() bool {
	return p.dir.fd >= 0 && p.dir.uid == 0 || slices.ContainsFunc(p.above, func(dir handle) bool { return dir.uid == 0 })
}

// hand runs fn with the rights that changes of a key file are made with: the
// user's; but where its directory, outside the home, is root's, those of uid 0
// without any capability. Modes count for these as for everybody's, nothing that
// is another user's can be touched, and in a directory that root alone can change
// no name is a trap. owner is the uid.
func (d *Door) hand(a Account, s spot, e *effort, fn func(owner uint32) error) error {
	uid := uint32(a.UID) //nolint:gosec // checked by As, before fn and all else
	roots := false
	do := func() error {
		if s.outside != "" {
			p, err := d.outside(s, uid, e)
			if err != nil {
				return err
			}
			defer p.close()
			roots = p.dir.fd >= 0 && len(p.above) == 0
		}
		if roots {
			return nil
		}
		return fn(uid)
	}
	err := d.As(a, func() error { return e.here(do) })
	switch {
	case err != nil || !roots:
		return err
	case d.own != anyUser:
		return fmt.Errorf("%w: %s is root's, and this process is not", ErrRefused, s.outside)
	}
	return as(0, 0, nil, func() error { return e.here(func() error { return fn(0) }) })
}
