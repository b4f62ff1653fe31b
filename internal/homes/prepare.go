package homes

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// openUp looks again after the modes that kept the owner out are lifted. What
// comes to light is taken as Unreadable: it goes aside.
func (j *job) openUp() error {
	for j.p.shut {
		n := len(j.p.above)
		err := j.lift(j.p.top(), j.p.top().perm())
		if errors.Is(err, unix.EROFS) && len(j.p.above) > 1 {
			j.p.bad = err.Error()
			return nil
		}
		if err != nil {
			return fmt.Errorf("directory above it: %w", err)
		}
		if err := j.door.descend(j.p, j.uid); err != nil {
			return err
		}
		j.thaw()
		if j.p.shut && len(j.p.above) == n {
			return fmt.Errorf("directory above it: %w", unix.EACCES)
		}
	}
	if j.p.dir.fd >= 0 && j.p.dir.uid == j.uid {
		err := j.mend()
		if j.outOfReach(err) {
			j.p.bad = err.Error()
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", j.p.where(), err)
		}
	}
	j.at.close()
	var err error
	j.seen, j.at, err = j.door.look(j.p)
	j.before.loose = true
	return err
}

// mend gives the directory of the file a mode as sshd and a watch want it, for
// good; one that cannot be renewed, such as the home, only until the job ends. A file
// system that gives all directories one mode (mount.cifs(8), dir_mode) is no reason to
// leave a file as it is.
func (j *job) mend() error {
	if j.p.fixed() {
		return j.lift(j.p.dir, j.p.dir.perm())
	}
	want := tidy(j.p.dir.perm())
	err := j.lift(j.p.dir, want)
	if err == nil {
		j.p.dir.node, err = stat(j.p.dir.fd)
	}
	here := site{j.p.dir.dev, int64(j.uid)}
	switch has := j.p.dir.perm(); {
	case err == nil && has == want:
		j.door.stiff.Delete(here)
	case (err == nil || errors.Is(err, unix.EPERM)) && has&0o700 == 0o700:
		if attributes(j.p.dir) == Free && j.stiff(want) { // else it says nothing of the others there
			j.door.stiff.Store(here, true)
		}
		return nil
	case err == nil:
		return fmt.Errorf("chmod: mode %04o stays %04o: %w", want, has, unix.EPERM)
	}
	return err
}

// shutTries bounds how often a directory is opened up whose user takes his right to write there away again.
const shutTries = 8

// reopened mends the directory once more.
func (j *job) reopened() bool {
	if j.p.fixed() || j.p.dir.uid != j.uid {
		return false
	}
	var err error
	if j.p.dir.node, err = stat(j.p.dir.fd); err != nil {
		return false
	}
	return j.mend() == nil
}

// Its user may have changed the mode back just then, which shows as a change that is not one's own, or does not happen each time.
const (
	stiffTries = 3
	stiffPause = 10 * time.Millisecond
)

// stiff reports that the mode of the directory cannot be changed.
func (j *job) stiff(want uint32) bool {
	for range stiffTries {
		_ = chmodFD(j.p.dir.fd, want)
		set, err := stat(j.p.dir.fd)
		if err != nil || set.perm() == want {
			return false
		}
		time.Sleep(stiffPause)
		if now, err := stat(j.p.dir.fd); err != nil || now != set {
			return false
		}
	}
	return true
}

// lift gives the owner rwx on a directory until the job ends, then mode back.
func (j *job) lift(dir handle, back uint32) error {
	if dir.perm() == back|0o700 {
		return nil
	}
	if err := chmodFD(dir.fd, back|0o700); err != nil {
		return fmt.Errorf("chmod: %w", err)
	}
	keep, err := dir.again()
	if err != nil {
		return err
	}
	j.undo = append(j.undo, func() {
		// Best effort: the directory is the user's, and a mode that lets its
		// owner in harms nobody.
		if back|0o700 != back {
			_ = chmodFD(keep.fd, back)
		}
		keep.close()
	})
	return nil
}

// prepare sees to a directory that can be written.
func (j *job) prepare() error {
	switch {
	case j.p.dangling:
		return fmt.Errorf("%w: %s is a link to nothing; its target is not mounted, or the link is to be removed", ErrRefused, j.p.where())
	case j.p.fixed() && j.p.dir.fd < 0:
		return fmt.Errorf("%w: there is no directory %s", ErrRefused, j.p.where())
	case j.p.bad != "" || j.p.dir.fd < 0:
		return j.renew()
	case j.p.dir.uid != j.uid:
		return nil
	}
	err := j.mend()
	if j.outOfReach(err) {
		return j.renew()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", j.p.where(), err)
	}
	return nil
}

// outOfReach reports that the directory cannot be put right where it is, while
// there can be another one: it is root's, or a link of the user's leads to a place
// like a snapshot, where a key would be safe from everybody, or it is such a place, or something
// that its mode does not show keeps its owner out. What did not help before is not tried again.
func (j *job) outOfReach(err error) bool {
	return !j.p.fixed() && (errors.Is(err, unix.EROFS) || denied(err) && (j.p.dir.uid != j.uid || j.p.via || !j.marked))
}

// renew makes a new directory for the file. One that is there goes aside, and
// leaves a mark until the new file is written.
func (j *job) renew() error {
	if j.effort.left.Load() {
		return ErrStuck
	}
	beside, err := j.beside()
	if err != nil {
		return err
	}
	n := j.p.level(j.uid)
	stands := j.p.bad != "" || j.p.dir.fd >= 0 || n < len(j.p.above)-1
	j.p.retreat(n)
	top := j.p.top()
	if found := attributes(top); found != Free {
		return fmt.Errorf("directory above %s: %s: %w", j.p.where(), found, unix.EPERM) // see stage
	}
	if top.uid == j.uid {
		if err := j.lift(top, top.perm()); err != nil {
			return fmt.Errorf("directory above %s: %w", j.p.where(), err)
		}
	}
	if stands {
		if err := j.makeWay(); err != nil {
			return err
		}
	}
	if j.effort.left.Load() {
		return ErrStuck // there may be another one by now
	}
	for {
		made, err := j.mkdir(j.p.folder())
		if errors.Is(err, unix.EEXIST) {
			return ErrChanged
		}
		if err != nil {
			return err
		}
		syncDir(j.p.top().fd)
		if len(j.p.above) == len(j.p.dirs) {
			j.p.dir = made
			break
		}
		j.p.above = append(j.p.above, made)
	}
	j.p.via = false
	j.at.close()
	j.seen, j.at = File{State: Missing}, none()
	return j.markOthers(beside)
}

// makeWay moves a directory aside, after a rehearsal: an error that has another
// cause than a lack of room leaves it where it is. The new one itself, such as
// .ssh, is made under its own name, since SELinux policies give a directory of that name its type.
func (j *job) makeWay() error {
	rehearsal := j.rehearse()
	if rehearsal != nil && !noRoom(rehearsal) {
		return fmt.Errorf("new %s: %w", j.p.where(), rehearsal)
	}
	if j.patient && j.door.hangs.letGo(j.account.Home, j.p.where()) {
		return fmt.Errorf("nothing is stuck any more: %w", ErrChanged)
	}
	if j.patient && j.effort.left.Load() {
		return ErrStuck // since the rehearsal
	}
	j.marked = true
	err := j.suspend(j.p.top(), j.p.folder(), j.p.folder())
	if err == nil {
		j.door.hangs.gaveWay(j.account.Home, j.p.where())
	}
	if rehearsal != nil {
		return errors.Join(fmt.Errorf("no room for a new %s, the old one goes aside: %w", j.p.where(), rehearsal), err)
	}
	return err
}

// rehearse writes the new file into a new directory beside the old one, and takes
// both away again.
func (j *job) rehearse() error {
	name := j.door.maker.tempName()
	dir, err := j.mkdir(name)
	if err != nil {
		return err
	}
	defer func() {
		dir.close()
		_ = unlinkat(j.p.top().fd, name, unix.AT_REMOVEDIR)
	}()
	file, err := j.stageIn(dir)
	if err != nil {
		return err
	}
	file.discard()
	return nil
}

// mkdir makes a directory of the user's in the last one above, mode 0700.
func (j *job) mkdir(name string) (handle, error) {
	if err := retry(func() error { return unix.Mkdirat(j.p.top().fd, name, 0o700) }); err != nil {
		return none(), fmt.Errorf("mkdir %s: %w", name, err)
	}
	made, err := j.door.step(j.p.top(), name)
	if err != nil {
		return none(), fmt.Errorf("%s: %w", name, err)
	}
	if !made.is(unix.S_IFDIR) || made.uid != j.uid {
		made.close()
		return none(), ErrChanged
	}
	// The umask of the process had its say in mkdir.
	err = chmodFD(made.fd, 0o700)
	if errors.Is(err, unix.EPERM) && made.perm()&0o700 == 0o700 {
		err = nil // see mend
	}
	if err == nil {
		made.node, err = stat(made.fd)
	}
	if err != nil {
		made.close()
		return none(), fmt.Errorf("chmod %s: %w", name, err)
	}
	return made, nil
}

// amend puts the mode of a file right that holds what it is to hold, and returns
// its descriptor; -1 when the file is to be another one. A program that has it
// open, to append a key to what it just made, then still writes to the file.
func (j *job) amend() int {
	if j.seen.State != Regular || j.before.loose || !j.at.single || j.at.size != uint64(len(j.after)) {
		return -1
	}
	guarded := j.guarded()
	if guarded && unguarded(j.at.node) != "" || !guarded && j.at.uid != j.uid {
		return -1
	}
	fd, err := reopen(j.at.fd, unix.O_RDONLY)
	if err != nil {
		return -1
	}
	if same, err := holds(fd, j.after); err == nil && same && (guarded || fchmod(fd, j.mode()) == nil) {
		_ = retry(func() error { return unix.Fsync(fd) }) // a mode that a crash brings back is untidy again
		return fd
	}
	closeFD(fd)
	return -1
}
