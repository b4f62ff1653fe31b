package homes

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Bar is what keeps everybody from changing a file, its user and this package
// included. root alone can lift it, but for Frozen at some places.
type Bar int

// The bars.
const (
	// Free: none was seen.
	Free Bar = iota
	// Immutable: the file or its directory has the attribute i (chattr(1)).
	Immutable
	// AppendOnly: the file or its directory has the attribute a.
	AppendOnly
	// ReadOnly: its file system is mounted so.
	ReadOnly
	// Frozen: its subvolume is read-only, and cannot be made writable with the user's rights.
	Frozen
)

// String says what is so, as the end of a sentence.
func (b Bar) String() string {
	switch b {
	case Free:
		return "nothing bars it"
	case Immutable:
		return "it or its directory is immutable (chattr +i)"
	case AppendOnly:
		return "it or its directory is append-only (chattr +a)"
	case ReadOnly:
		return "its file system is mounted read-only"
	case Frozen:
		return "its subvolume is read-only (btrfs-property(8))"
	}
	return fmt.Sprintf("bar-%d", int(b))
}

// bar finds out what bars a directory.
func bar(dir handle) Bar {
	var st unix.Statfs_t
	err := retry(func() error { return unix.Fstatfs(dir.fd, &st) })
	switch {
	case err != nil:
	case st.Flags&unix.ST_RDONLY != 0:
		return ReadOnly
	case frozen(dir, st):
		return Frozen
	}
	return attributes(dir)
}

// statx gives the attributes that statx(2) tells of. A file system that knows of none bars nothing by them.
func statx(h handle) uint64 {
	var st unix.Statx_t
	if err := retry(func() error { return unix.Statx(h.fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, 0, &st) }); err != nil {
		return 0
	}
	return st.Attributes
}

// attributes are those that bar a change.
func attributes(h handle) Bar {
	switch has := statx(h); {
	case has&unix.STATX_ATTR_IMMUTABLE != 0:
		return Immutable
	case has&unix.STATX_ATTR_APPEND != 0:
		return AppendOnly
	}
	return Free
}

// encrypted reports that a directory was given a policy of fscrypt.
func encrypted(h handle) bool { return statx(h)&unix.STATX_ATTR_ENCRYPTED != 0 }

// bars is bar of a directory on the way, but for what a Replace lifts.
func (p *place) bars(dir handle, owner uint32) Bar {
	found := bar(dir)
	if found == Frozen && slices.ContainsFunc(p.thaws(owner), func(top handle) bool { return top.dev == dir.dev }) {
		return Free
	}
	return found
}

// bar finds out whether a Replace of the file could succeed at all. at is the file
// itself, fd -1 when none was seen.
func (p *place) bar(at handle, owner uint32) Bar {
	found := p.barName(at, owner)
	if (found == Immutable || found == AppendOnly) && inPlace(at, owner) {
		return Free // its directory is, so that it can be overwritten alone
	}
	return found
}

// barName is bar for another file under the name.
func (p *place) barName(at handle, owner uint32) Bar {
	if p.dir.fd < 0 {
		if p.outside != "" {
			return Free
		}
		return p.bars(p.above[p.level(owner)], owner)
	}
	found := p.bars(p.dir, owner)
	switch {
	case p.fixed():
	case found == Free && p.dir.uid != owner, found != Free && p.via, found == Frozen:
		return p.bars(p.above[p.level(owner)], owner) // another directory comes in its place
	}
	if found == Free && at.fd >= 0 {
		found = attributes(at)
	}
	return found
}

// level is the deepest of the directories above in which a name can be exchanged.
func (p *place) level(owner uint32) int {
	for i := len(p.above) - 1; i > 0; i-- {
		if dir := p.above[i]; dir.uid == owner && p.bars(dir, owner) == Free {
			return i
		}
	}
	return 0
}
