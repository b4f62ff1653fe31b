package homes

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// guardMode is the mode of a file of root's: sshd reads it with its user's rights.
const guardMode = 0o644

// guard is what a Door knows of keeping files root's (Options.Guard).
//
// A file that its user never owned he never had open for writing, and never
// mapped shared: stores through a mapping from before raise no event. So root
// makes the new file. He to whom .ssh belongs can rename or remove it, which is an
// event; write it he cannot.
//
// This is the one exception to the rule that all is done with the user's rights,
// and it ends at one name that did not exist: a thread with CAP_DAC_OVERRIDE and
// nothing else makes a file without a name (O_TMPFILE of open(2)) in a directory
// that is held by a descriptor, fills it, and links it to a random name there. The
// user has just shown that he may make files in it himself. What follows, the rename
// within the directory, is done with the user's rights, whose business both names
// are. Root renames nothing, least of all from another directory: who holds the lock of
// his file would then hold that directory's too, and s_vfs_rename_mutex, which
// everybody on the file system waits for (lock_rename in fs/namei.c).
type guard struct {
	tell func(why string)

	mu  sync.Mutex
	fit map[site]bool // as far as it was tried
}

// site is a file system, by its device number, and a uid, since one user's doings
// count for himself; -1 for everybody.
type site struct {
	dev uint64
	uid int64
}

// ErrRights says that the process lacks a right that an option needs.
var ErrRights = errors.New("a right is missing")

// newGuard makes sure that override works.
func newGuard(own int, tell func(string)) (*guard, error) {
	if own != anyUser {
		return nil, fmt.Errorf("files cannot be root's: %w: the process is not root", ErrRights)
	}
	if err := override(func() error { return nil }); err != nil {
		return nil, fmt.Errorf("files cannot be root's: %w: CAP_DAC_OVERRIDE: %w", ErrRights, err)
	}
	return &guard{tell: tell, fit: map[site]bool{}}, nil
}

// judge keeps what came of a try, and tells once for each site that files stay
// their users'.
func (g *guard) judge(at site, home string, err error) {
	g.mu.Lock()
	_, known := g.fit[at]
	g.fit[at] = err == nil
	g.mu.Unlock()
	switch {
	case err == nil || known || g.tell == nil:
	case at.uid < 0:
		g.tell(fmt.Sprintf("files on the file system of %s stay their users': no unnamed files: %v", home, err))
	default:
		g.tell(fmt.Sprintf("the files of %s stay its user's: root makes none there: %v", home, err))
	}
}

// override runs fn as root with CAP_DAC_OVERRIDE, which writing to a directory of
// mode 0700 that is not root's takes, and without any other capability: linkat(2)
// of one's own file takes none (may_linkat in fs/namei.c), nor does one that goes by
// /proc/self/fd, unlike AT_EMPTY_PATH.
func override(fn func() error) error {
	return OnThread(func() error {
		if err := shed(1 << unix.CAP_DAC_OVERRIDE); err != nil {
			return err
		}
		return fn()
	})
}

// unnamed opens a new file without a name, which goes when it is closed.
// That of a directory which its user removed is ENOENT also from ext4, which says
// EPERM (ext4_new_inode in fs/ext4/ialloc.c): he is not to talk root out of it.
func unnamed(dir handle) (int, error) {
	fd, err := openat(dir.fd, ".", unix.O_TMPFILE|unix.O_RDWR, guardMode)
	var st unix.Stat_t
	if errors.Is(err, unix.EPERM) && unix.Fstat(dir.fd, &st) == nil && st.Nlink == 0 {
		err = unix.ENOENT
	}
	return fd, err
}

// mayWrite makes a file in .ssh with the user's rights, for a moment and without a
// name: root then does no more there than he could.
func mayWrite(dir handle) error {
	fd, err := unnamed(dir)
	closeFD(fd)
	return err
}

// guards reports whether files in a .ssh are to be root's; where they cannot be,
// that is told. A file system is tried once.
func (d *Door) guards(ssh handle, a Account) bool {
	if d.guard == nil || ssh.fd < 0 {
		return false
	}
	if int64(ssh.uid) != int64(a.UID) && ssh.perm()&unix.S_ISVTX != 0 {
		return false // its user could not rename a file of root's
	}
	all, his := site{ssh.dev, -1}, site{ssh.dev, int64(a.UID)}
	d.guard.mu.Lock()
	fit, known := d.guard.fit[all]
	fitForHim, tried := d.guard.fit[his]
	d.guard.mu.Unlock()
	if !known {
		err := mayWrite(ssh)
		// Others say something about the moment or the user; they show themselves
		// when the file is written.
		fit = !oneOf(err, unix.EOPNOTSUPP, unix.EISDIR)
		if err == nil || !fit {
			d.guard.judge(all, a.Home, err)
		}
	}
	return fit && (fitForHim || !tried)
}

// guarded is guards for the file of the job. What is changed with the rights of
// root is root's anyway.
func (j *job) guarded() bool {
	return j.uid == uint32(j.account.UID) && j.door.guards(j.p.dir, j.account) //nolint:gosec // checked by Account.Check
}

// unguardedFile is unguarded for a file of an account, wherever it is.
func (d *Door) unguardedFile(p *place, file node, a Account) string {
	reason := unguarded(file)
	rootWrites := p.outside != "" && p.dir.uid == 0 // see hand
	if d.guard == nil || reason == "" || !rootWrites && !d.guards(p.dir, a) {
		return ""
	}
	return reason
}

// unguarded is untidy for a file that is to be root's.
func unguarded(file node) string {
	switch {
	case file.uid != 0:
		return fmt.Sprintf("owned by uid %d, where root is to own it", file.uid)
	case file.perm() != guardMode:
		return fmt.Sprintf("mode %04o", file.perm())
	}
	return ""
}

// stageAsRoot is stage with root's rights, see guard. refused reports that it is root
// who gets no file in: a file system that maps no uid 0 (EOVERFLOW), a policy of SELinux. What its user can bring about for a
// moment (a subvolume that is read-only, EROFS; another project, EXDEV) is an error like others.
func (j *job) stageAsRoot() (t *temp, refused bool, err error) {
	if err := mayWrite(j.p.dir); err != nil {
		return nil, false, err
	}
	t = &temp{dir: j.p.dir, name: j.door.maker.tempName(), fd: -1}
	err = override(func() error {
		return j.effort.here(func() (err error) {
			if t.fd, err = unnamed(t.dir); err != nil {
				return err
			}
			if t.node, err = stat(t.fd); err != nil {
				return err
			}
			if err = t.fill(j.after, 0, guardMode); err != nil {
				return err
			}
			if j.at.fd >= 0 {
				copyLabel(j.at.fd, t.fd) // as install does, whose thread may not
			}
			return retry(func() error {
				return unix.Linkat(unix.AT_FDCWD, procPath(t.fd), t.dir.fd, t.name, unix.AT_SYMLINK_FOLLOW)
			})
		})
	})
	if err != nil {
		closeFD(t.fd)
		return nil, oneOf(err, unix.EPERM, unix.EACCES, unix.EOVERFLOW) && mayWrite(j.p.dir) == nil, err
	}
	return t, false, nil
}
