package homes

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
)

// MaxSize is the largest authorized_keys file, in bytes, that is read whole.
// sshd has no bound of its own: it reads a sparse file of a terabyte line by
// line until LoginGraceTime ends, so a bound is a matter of self defence.
const MaxSize = 256 << 10

// Bounds of the two texts that come from the registry and end in system calls.
const (
	maxName = 255 // NAME_MAX: sshd puts names into paths
	maxHome = 1024
)

var (
	// ErrChanged says that a file is no longer the version that was read, or did
	// not stay the one that was written: read it again and decide again.
	ErrChanged = errors.New("changed since it was read")
	// ErrNoHome says that the home directory does not exist (yet).
	ErrNoHome = errors.New("home does not exist")
	// ErrRefused says that an account or its home is not fit to be touched:
	// owned by another uid, not a directory, behind a link that root did not
	// make, on a mount of a user's own, or not servable by this process.
	ErrRefused = errors.New("refused")
	// ErrStranger is an ErrRefused for a home that belongs to another uid,
	// neither root's nor the account's: sshd takes no key from there either.
	ErrStranger = fmt.Errorf("%w: the home is another user's", ErrRefused)
)

// Account is one user as far as the file system is concerned: login name,
// numeric ids and the absolute path of the home directory.
type Account struct {
	Name string
	UID  int
	GID  int
	Home string
}

// Check reports why the account cannot be served, nil when it can. Rules:
//
//   - the name matches ^[A-Za-z0-9_][A-Za-z0-9_.@+$~-]{0,254}$: what directories
//     and NSS have, capitals, student numbers and user@domain among it, and no
//     character that is one of a path, a pattern (sshd from 10.0 on), a shell's
//     quotes or blanks, or sshd's lists of names;
//   - uid and gid are 0..2^32-2 (2^32-1 means "no change" to the kernel,
//     setfsuid(2), chown(2));
//   - the home is absolute, clean, not "/", at most 1024 bytes, free of control
//     bytes, of the glob characters * ? [ ] \ (sshd from 10.0 on expands them in
//     AuthorizedKeysFile) and of % (an sshd token, TOKENS in sshd_config(5)).
func (a Account) Check() error {
	if !validName(a.Name) {
		return fmt.Errorf("account name %+q: %w: not a plain login name", cut(a.Name, 2*maxName), ErrRefused)
	}
	if !validID(a.UID) || !validID(a.GID) {
		return fmt.Errorf("account %s: %w: uid %d or gid %d out of range", a.Name, ErrRefused, a.UID, a.GID)
	}
	if reason := homeFault(a.Home); reason != "" {
		return fmt.Errorf("account %s: home %+q: %w: %s", a.Name, cut(a.Home, maxHome), ErrRefused, reason)
	}
	return nil
}

// Tidy is a home as Check wants it, where its path is that of the same directory in another form: with "." in it, with "//", or with a slash at
// its end. The kernel, and so sshd, sees no difference (path_resolution(7)), so that whoever writes his home like that in his entry stays an account that is
// kept. ".." stays, and is refused: where it leads, links decide.
func Tidy(home string) string {
	if !path.IsAbs(home) || slices.Contains(strings.Split(home, "/"), "..") {
		return home
	}
	return path.Clean(home)
}

func validName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		case i > 0 && strings.IndexByte(".@+$~-", c) >= 0:
		default:
			return false
		}
	}
	return true
}

func validID(id int) bool {
	return id >= 0 && int64(id) < math.MaxUint32
}

func homeFault(home string) string {
	switch {
	case len(home) > maxHome:
		return "too long"
	case !path.IsAbs(home):
		return "not an absolute path"
	case path.Clean(home) != home:
		return "not a clean path"
	case home == "/":
		return "the root directory is nobody's home"
	case strings.ContainsAny(home, `*?[]\%`):
		return "holds a character that sshd expands"
	}
	for i := range len(home) {
		if home[i] < ' ' || home[i] == 0x7f {
			return "holds a control byte"
		}
	}
	return ""
}

func cut(s string, n int) string {
	return s[:min(len(s), n)]
}

// State says what is found under the name of an authorized_keys file.
type State int

// The states of a file, from harmless to hostile.
const (
	// Missing: no .ssh or no file, or .ssh is a link to nothing.
	Missing State = iota
	// Regular: a regular file of at most MaxSize bytes, read whole.
	Regular
	// Oversize: a regular file of more than MaxSize bytes.
	Oversize
	// Unreadable: something the user himself cannot read: mode bits, a lease, a
	// mount in the way, or a file that never keeps still; and a file that is not
	// there, in a .ssh that he may not read. Also a file that went aside while its granted keys could not be written.
	Unreadable
	// Symlink: a symbolic link; it counts for nothing, whatever it leads to.
	Symlink
	// Irregular: a directory, FIFO, socket or device.
	Irregular
	// BadDir: .ssh is a link that may not be followed, or no directory, or
	// the directory of a stranger; or it went aside and the granted keys could
	// not be written since.
	BadDir
)

// String names the state in lower case.
func (s State) String() string {
	switch s {
	case Missing:
		return "missing"
	case Regular:
		return "regular"
	case Oversize:
		return "oversize"
	case Unreadable:
		return "unreadable"
	case Symlink:
		return "symlink"
	case Irregular:
		return "irregular"
	case BadDir:
		return "bad-dir"
	}
	return fmt.Sprintf("state-%d", int(s))
}

// Version is what was seen of a file and of the .ssh around it: device, inode,
// mode, owner, links, size, mtime and ctime of the file, identity, mode and
// owner of .ssh, and of the link .ssh when it is one. Versions are comparable;
// equal ones mean that nothing changed that stat(2) can show (a store through a
// shared mapping may take until writeback to show). The zero Version: nothing
// was there.
type Version struct {
	link, ssh, file node
	loose           bool // what is there could not be looked at: anything agrees
}

// File is what Read found.
type File struct {
	State   State
	Version Version
	// Data is all of it when Regular, the first MaxSize bytes when Oversize, what
	// could be read when Unreadable. Symlink: what the link showed a moment ago, at
	// most MaxSize bytes, for the record; Version says nothing about it.
	Data   []byte
	Detail string // why, for a report; plain ASCII, never a byte of the file
	// Remark is what else a person should know of a Regular file, and what a Replace does
	// not change: others may write to a directory above it.
	Remark string
	// Tidy: the file is Regular, has no other hard link and is owned and moded as
	// sshd wants it (auth_secure_path in misc.c: owner root or the user, not
	// writable by group and others), and so is .ssh, of which its user has not
	// taken rights from himself: sshd could still find a file there, a watch could
	// not be set (inotify_add_watch(2)). Detail says what is not so. A file that is
	// not tidy becomes so by Replace with the same content.
	Tidy bool
	// Busy: somebody has the file open for writing. False may also mean that it
	// could not be found out; a file server may say true without cause.
	Busy bool
	// Room is how many bytes of content a Regular file has blocks for; on a full disk there are no more. Zero may also mean that the
	// file system does not tell.
	Room uint64
	// Barred is why a Replace would fail, whoever asks for it; Free as a rule.
	Barred Bar

	// marked: nothing is there but a mark. State says so by what the mark stands
	// for, and Version is that of nothing.
	marked bool
}

// nothing reports that no file is there, marked or not.
func (f File) nothing() bool { return f.State == Missing || f.marked }

// node is what stat(2) tells of an inode, as far as it matters here.
type node struct {
	dev, ino     uint64
	mode, uid    uint32
	single       bool // one link only
	size         uint64
	mtime, ctime int64 // nanoseconds
}
