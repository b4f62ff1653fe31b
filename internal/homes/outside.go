package homes

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// errStrict says that a path outside the home leads through a directory that
// somebody else can change. sshd refuses such a file as well (StrictModes,
// auth_secure_path in misc.c).
var errStrict = errors.New("through a directory that another user owns, or that group or others may write")

// outside finds a directory outside the home. Links on the way must be root's;
// every directory, and the last one, must be root's or owner's, and nobody else's
// to write. A directory of root's below one of the user's is nobody's to work in:
// the user could put another one of root's there.
func (d *Door) outside(s spot, owner uint32) (*place, error) {
	p := &place{spot: s, dir: none()}
	way := trail{strict: true, owner: owner}
	found, err := d.walk(none(), s.outside, 0, &way)
	p.passed = way.dirs
	switch {
	case errors.Is(err, unix.ENOENT):
		return p, nil
	case err != nil:
		err = refusal(err)
	case !found.is(unix.S_IFDIR):
		err = fmt.Errorf("%w: it is %s", ErrRefused, found.kind())
	case !found.strict(owner):
		err = fmt.Errorf("%w: owned by uid %d, mode %04o", ErrRefused, found.uid, found.perm())
	case found.uid == 0 && owner != 0 && len(way.dirs) > 0:
		err = fmt.Errorf("%w: root's, below a directory of uid %d", ErrRefused, owner)
	default:
		// Nor does sshd find a file where the user may not search.
		var self handle
		if self, err = d.step(found, "."); err == nil || found.uid == owner {
			self.close()
			p.dir = found
			return p, nil
		}
		err = refusal(err)
	}
	found.close()
	return nil, fmt.Errorf("%s: %w", s.outside, err)
}

// strict reports that nobody but root and the owner can change what is in a
// directory.
func (n node) strict(owner uint32) bool {
	return (n.uid == 0 || n.uid == owner) && n.perm()&0o022 == 0
}

// hand runs fn with the rights that changes of a key file are made with: the
// user's; but where its directory, outside the home, is root's, those of uid 0
// without any capability. Modes count for these as for everybody's, nothing that
// is another user's can be touched, and in a directory that root alone can change
// no name is a trap. owner is the uid.
func (d *Door) hand(a Account, s spot, fn func(owner uint32) error) error {
	uid := uint32(a.UID) //nolint:gosec // checked by As, before fn and all else
	roots := false
	err := d.As(a, func() error {
		if s.outside != "" {
			p, err := d.outside(s, uid)
			if err != nil {
				return err
			}
			defer p.close()
			roots = p.dir.fd >= 0 && p.dir.uid != uid
		}
		if roots {
			return nil
		}
		return fn(uid)
	})
	switch {
	case err != nil || !roots:
		return err
	case d.own != anyUser:
		return fmt.Errorf("%w: %s is root's, and this process is not", ErrRefused, s.outside)
	}
	return as(0, 0, nil, func() error { return fn(0) })
}
