package homes

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// stageName is the folder, root's alone, in which root makes new files.
const stageName = ".keyreeve-stage"

// guardMode is the mode of a file of root's: sshd reads it with its user's rights.
const guardMode = 0o644

// guard is what a Door knows of keeping files root's (Options.Guard).
//
// A file that its user never owned he never had open for writing, and never
// mapped shared: stores through a mapping from before raise no event. So root
// makes it, in a folder that nobody else can search, of the same mount as .ssh,
// and puts it under its name in one step. He to whom .ssh belongs can rename or
// remove it there, which is an event; write it he cannot.
//
// This is the one exception to the rule that all is done with the user's rights,
// and it ends at single names in two directories that are held by descriptors: a
// thread with CAP_DAC_OVERRIDE and nothing else renames the file that root made
// to the name in .ssh, and what had that name back to another name there. The
// user has just shown that he may make files in .ssh himself.
type guard struct {
	tell func(why string)

	mu    sync.Mutex
	unfit map[site]bool // where it was tried in vain; one user's doings count for himself
	told  map[site]bool
}

// site is a file system, by its device number, and a uid; -1 for everybody.
type site struct {
	dev uint64
	uid int64
}

// errUnfit says that a file system has no place for root to make files in.
var errUnfit = errors.New("no directory that is root's alone is above it on its mount")

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
	return &guard{tell: tell, unfit: map[site]bool{}, told: map[site]bool{}}, nil
}

// say tells once for each site that files stay their users'.
func (g *guard) say(at site, home string, why error) {
	g.mu.Lock()
	told := g.told[at]
	g.told[at] = true
	g.mu.Unlock()
	switch {
	case told || g.tell == nil:
	case at.uid < 0:
		g.tell(fmt.Sprintf("files on the file system of %s stay their users': %v", home, why))
	default:
		g.tell(fmt.Sprintf("the files of %s stay its user's: %v", home, why))
	}
}

// refusesRoot reports that the place is at fault, and not the moment.
func refusesRoot(err error) bool {
	return errors.Is(err, errUnfit) || oneOf(err, unix.EPERM, unix.EACCES, unix.EROFS, unix.EXDEV, unix.EOPNOTSUPP)
}

// override runs fn as root with CAP_DAC_OVERRIDE and without any other
// capability. CAP_FOWNER, for a .ssh with the sticky bit, is not needed: what
// stands there is moved by its user.
func override(fn func() error) error {
	return onThread(func() error {
		if err := shed(1 << unix.CAP_DAC_OVERRIDE); err != nil {
			return err
		}
		return fn()
	})
}

// asRoot runs fn as root without capabilities: with the rights that modes give to
// the owner.
func asRoot(fn func() error) error { return as(0, 0, nil, fn) }

// above opens the directories that a directory is in, up to "/" or to where its
// user may not look, which is nowhere that he came through. Close them.
func above(dir handle) ([]handle, error) {
	var list []handle
	for at := dir; len(list) < unix.PathMax/2; at = list[len(list)-1] {
		fd, err := openat(at.fd, "..", unix.O_PATH|unix.O_DIRECTORY, 0)
		if errors.Is(err, unix.EACCES) {
			break
		}
		if err != nil {
			return list, err
		}
		next := handle{fd: fd}
		next.node, err = stat(fd)
		if err != nil || next.same(at.node) {
			next.close()
			return list, err
		}
		list = append(list, next)
	}
	return list, nil
}

// mountID tells mounts apart: a rename ends at a mount, not at a file system, and a
// unit's ReadWritePaths= are mounts. Before Linux 5.8 statx(2) does not know, and
// /proc/pid/fdinfo (proc(5)) does.
func mountID(fd int) (string, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID != 0 {
		return strconv.FormatUint(st.Mnt_id, 10), nil
	}
	text, err := os.ReadFile(strings.Replace(procPath(fd), "/fd/", "/fdinfo/", 1))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if id, found := strings.CutPrefix(line, "mnt_id:"); found {
			return strings.TrimSpace(id), nil
		}
	}
	return "", errors.New("/proc tells no mount of a descriptor")
}

// stageDir opens the staging folder of the mount that a .ssh is on: it is in the
// topmost directory above that root alone can change. With create it is made, else
// fd -1 says that it could be.
func (d *Door) stageDir(ssh handle, create bool) (handle, error) {
	list, err := above(ssh)
	defer func() {
		for _, dir := range list {
			dir.close()
		}
	}()
	if err != nil {
		return none(), err
	}
	found := none()
	err = asRoot(func() error {
		mount, err := mountID(ssh.fd)
		if err != nil {
			return err
		}
		for _, dir := range slices.Backward(list) {
			if at, err := mountID(dir.fd); err != nil {
				return err
			} else if at == mount && dir.rootsAlone() {
				if found, err = d.enterStage(dir, create); err != nil {
					where, _ := os.Readlink(procPath(dir.fd)) // for the message alone
					err = fmt.Errorf("%s in %s: %w", stageName, where, err)
				}
				return err
			}
		}
		return errUnfit
	})
	return found, err
}

// enterStage does the work of stageDir in the directory that was found, as root.
func (d *Door) enterStage(dir handle, create bool) (handle, error) {
	if create {
		// The umask can only take from the mode, and root's own thread needs all.
		if err := unix.Mkdirat(dir.fd, stageName, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return none(), fmt.Errorf("mkdir: %w", err)
		}
	}
	found, err := d.step(dir, stageName)
	if !create && errors.Is(err, unix.ENOENT) {
		return none(), unix.Faccessat(dir.fd, ".", unix.W_OK, 0)
	}
	if err != nil {
		return none(), err
	}
	if !found.is(unix.S_IFDIR) || found.uid != 0 || found.perm()&0o077 != 0 {
		kind := found.kind()
		found.close()
		return none(), fmt.Errorf("%w: it is %s that is not root's alone", errUnfit, kind)
	}
	if create && found.perm() != 0o700 {
		err = chmodFD(found.fd, 0o700)
	}
	return found, err
}

// guards reports whether files in a .ssh are to be root's; where they cannot be,
// that is told.
func (d *Door) guards(ssh handle, a Account) bool {
	if d.guard == nil || ssh.fd < 0 {
		return false
	}
	d.guard.mu.Lock()
	unfit := d.guard.unfit[site{ssh.dev, int64(a.UID)}]
	d.guard.mu.Unlock()
	if unfit {
		return false
	}
	folder, err := d.stageDir(ssh, false)
	folder.close()
	if refusesRoot(err) {
		d.guard.say(site{ssh.dev, -1}, a.Home, err)
		return false
	}
	return true // an error of the moment shows itself when the file is written
}

// guarded is guards for the file of the job. What is changed with the rights of
// root is root's anyway.
func (j *job) guarded() bool {
	return j.uid == uint32(j.account.UID) && j.door.guards(j.p.dir, j.account) //nolint:gosec // checked by Account.Check
}

// unguard gives up on files of root's for a user after an error that is the
// place's, and says whether it did. uid is whom the error concerns, -1 for all.
func (j *job) unguard(uid int64, err error) bool {
	if !refusesRoot(err) {
		return false
	}
	g := j.door.guard
	g.mu.Lock()
	g.unfit[site{j.p.dir.dev, int64(j.uid)}] = true
	g.mu.Unlock()
	g.say(site{j.p.dir.dev, uid}, j.account.Home, err)
	return true
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

// stageAsRoot is stage with root's rights, in the staging folder.
func (j *job) stageAsRoot() (*temp, error) {
	folder, err := j.door.stageDir(j.p.dir, true)
	if err != nil {
		return nil, err
	}
	t := &temp{dir: folder, to: j.p.dir.fd, name: tempName(), fd: -1, root: true, effort: j.effort}
	err = asRoot(func() error {
		fd, err := openat(folder.fd, t.name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, guardMode)
		if err != nil {
			return err
		}
		t.fd = fd
		if t.node, err = stat(fd); err == nil {
			err = t.fill(j.after, 0, guardMode)
		}
		if err == nil {
			// That of files made in .ssh; install gives the old file's, if there is one.
			copyLabel(j.p.dir.fd, fd)
		}
		return err
	})
	if err != nil {
		t.discard()
		return nil, err
	}
	return t, nil
}

// mayWrite makes a file in .ssh with the user's rights and removes it: root then
// does no more there than he could.
func (j *job) mayWrite() error {
	t := &temp{dir: j.p.dir, to: j.p.dir.fd, name: tempName()}
	fd, err := openat(t.to, t.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	t.fd = fd
	t.node, err = stat(fd)
	t.discard()
	return err
}

// reach runs what renames between the new file's directory and .ssh.
func (t *temp) reach(fn func() error) error {
	if t.root {
		return override(func() error { return t.effort.here(fn) })
	}
	return fn()
}

// inside runs what concerns the new file's directory alone.
func (t *temp) inside(fn func() error) error {
	if t.root {
		return asRoot(fn)
	}
	return fn()
}

// sweepStage removes new files that a crash left in the staging folder, and old
// ones that had just been exchanged for a new one.
func (j *job) sweepStage(t *temp) {
	if t.root {
		_ = asRoot(func() error {
			j.door.sweep(t.dir, t, func(node) bool { return true })
			return nil
		})
	}
}

// giveBack moves what a new file was exchanged for from the staging folder to a
// name in .ssh. What cannot go there, since its user took .ssh away, is kept.
func (j *job) giveBack(t *temp) error {
	target := hidden(j.spot.name) + ".keyreeve-aside-" + rand.Text()
	err := t.reach(func() error { return move(t.dir.fd, t.name, t.to, target) })
	if err == nil {
		return nil
	}
	kept := j.account.Name + ".keyreeve-aside-" + rand.Text()
	path := stageName
	lost := asRoot(func() error {
		if dir, err := t.dir.realPath(); err == nil {
			path = dir
		}
		return move(t.dir.fd, t.name, t.dir.fd, kept)
	})
	return fmt.Errorf("the new file is in place, the old one is %s/%s: %w", path, kept, errors.Join(err, lost))
}
