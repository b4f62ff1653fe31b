package homes

import (
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// temp is the new file under its random name, held by a descriptor.
type temp struct {
	dir  handle // that of the file, the job's own
	name string
	fd   int
	node node
	gone bool   // renamed away
	mode uint32 // that it is given once it has its place; 0: it has it
}

// stage writes the new content under a temporary name, so that it can be renamed
// to where it belongs.
func (j *job) stage() (*temp, error) {
	if found := attributes(j.p.dir); found != Free {
		return nil, fmt.Errorf("%s: %w", found, unix.EPERM) // one that is append-only would keep it for good
	}
	if j.guarded() {
		t, refused, err := j.stageAsRoot()
		for tries := 1; tries < projectTries && errors.Is(err, unix.EXDEV); tries++ {
			t, refused, err = j.stageAsRoot()
		}
		switch {
		case errors.Is(err, unix.EXDEV): // see renameIn: it is to be root's at the next look
		case !refused:
			return t, err
		default:
			j.door.guard.judge(site{j.p.dir.dev, int64(j.uid)}, j.account.Home, err)
		}
	}
	return j.stageIn(j.p.dir)
}

// stageIn is stage with the rights of the thread, in a directory.
func (j *job) stageIn(dir handle) (*temp, error) {
	t := &temp{dir: dir, name: j.door.maker.tempName()}
	fd, err := openat(dir.fd, t.name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	t.fd = fd
	if t.node, err = stat(fd); err == nil {
		gid := -1
		if j.uid == uint32(j.account.UID) { //nolint:gosec // checked by Account.Check
			gid = j.account.GID
		}
		mode := j.mode()
		if j.p.shared() {
			mode, t.mode = 0o600, mode // nobody else may open it until it is renamed
		}
		err = t.fill(j.after, gid, mode)
	}
	if err != nil {
		t.discard()
		return nil, err
	}
	return t, nil
}

func (t *temp) fill(data []byte, gid int, mode uint32) error {
	// A setgid directory gives its own group, which may read at most what everybody
	// may: so a server that refuses the change does no harm.
	_ = unix.Fchown(t.fd, -1, gid)
	// The mode of open(2) went through the umask and a default ACL; fchmod sets
	// the mask of the ACL to nothing as well (acl(5)).
	if err := fchmod(t.fd, mode); err != nil && !errors.Is(err, unix.EPERM) { // see mend
		return err
	}
	if err := pwrite(t.fd, data); err != nil {
		return err
	}
	return retry(func() error { return unix.Fsync(t.fd) })
}

// mode is that of the new file. sshd reads one of root's, outside the home, with
// the user's rights.
func (j *job) mode() uint32 {
	if j.p.outside != "" && j.p.dir.uid == 0 {
		return 0o644
	}
	return 0o600
}

// rename gives the file a name that nothing has; a file system that cannot promise
// that, or whose user goes on changing projects, renames over what has it.
func (t *temp) rename(name string) error {
	known, err := t.try(name, unix.RENAME_NOREPLACE)
	if !known || errors.Is(err, unix.EXDEV) {
		err = t.over(name)
	}
	return err
}

// over gives the file a name, whatever has it.
func (t *temp) over(name string) error {
	_, err := t.try(name, 0)
	return err
}

// try renames, if the file system knows the flags: else nothing happens, without
// an error.
func (t *temp) try(name string, flags uint) (known bool, err error) {
	err = renameIn(t.dir.fd, t.name, name, flags)
	switch {
	case err == nil:
		t.gone = true
		if t.mode != 0 {
			if err := fchmod(t.fd, t.mode); err != nil && !errors.Is(err, unix.EPERM) { // see mend
				return true, err
			}
		}
		return true, nil
	case flags != 0 && unknownFlag(err):
		return false, nil
	case oneOf(err, unix.ENOENT, unix.EISDIR, unix.ENOTDIR, unix.ENOTEMPTY, unix.EEXIST):
		return true, ErrChanged
	default:
		return true, fmt.Errorf("rename: %w", err)
	}
}

// discard closes the descriptor, and removes the file while its name is still
// its own.
func (t *temp) discard() {
	if !t.gone {
		var st unix.Stat_t
		err := unix.Fstatat(t.dir.fd, t.name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && st.Dev == t.node.dev && st.Ino == t.node.ino {
			_ = unlinkat(t.dir.fd, t.name, 0) // a leftover is a nuisance only
		}
	}
	closeFD(t.fd)
	t.fd, t.gone = -1, true
}

// aside renames what stands under a name of a directory to a name beside it that
// nothing has: PREFIX.keyreeve-aside-RANDOM.
func aside(dir int, name, prefix string) error {
	return move(dir, name, asideName(prefix))
}

func asideName(prefix string) string { return prefix + ".keyreeve-aside-" + rand.Text() }

// move renames to a name that nothing has.
func move(dir int, name, target string) error {
	err := renameIn(dir, name, target, unix.RENAME_NOREPLACE)
	if unknownFlag(err) {
		// The caller took a random name, or looked whether it is free.
		err = renameIn(dir, name, target, 0)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT):
		return ErrChanged
	default:
		return fmt.Errorf("move %s aside: %w", name, err)
	}
}

// unknownFlag reports that a file system knows no flags of renameat2(2), as NFS.
func unknownFlag(err error) bool {
	return oneOf(err, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP)
}

// copyLabel gives the new file the SELinux label of the old one, where the policy
// lets the user do that; else it keeps the label of files made in .ssh.
func copyLabel(old, fresh int) {
	const attribute = "security.selinux"
	label := make([]byte, 4096)
	if n, err := unix.Getxattr(procPath(old), attribute, label); err == nil && n > 0 {
		_ = unix.Fsetxattr(fresh, attribute, label[:n], 0)
	}
}

// syncDir makes renames in a directory durable. File systems that cannot sync a
// directory say so with an error that changes nothing; nor does a directory the
// user may not read.
func syncDir(dir int) {
	fd, err := reopen(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer closeFD(fd)
	_ = retry(func() error { return unix.Fsync(fd) })
}

// pwrite writes all of data from the start.
func pwrite(fd int, data []byte) error {
	for done := 0; done < len(data); {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Pwrite(fd, data[done:], int64(done))
			return err
		})
		if err != nil {
			return err
		}
		done += n
	}
	return nil
}
