package homes

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// openUp looks again after the modes that kept the owner out are lifted. What
// comes to light is taken as Unreadable: it goes aside.
func (j *job) openUp() error {
	if j.p.shut {
		if err := j.lift(j.p.home, j.p.home.perm()); err != nil {
			return fmt.Errorf("home: %w", err)
		}
		home, err := j.p.home.again()
		if err != nil {
			return err
		}
		fresh := &place{home: home, ssh: none()}
		j.p.close()
		j.p = fresh
		if err := j.door.findSSH(fresh, j.uid); err != nil {
			return err
		}
		if fresh.shut {
			return fmt.Errorf("home: %w", unix.EACCES)
		}
	}
	if j.p.ssh.fd >= 0 && j.p.ssh.uid == j.uid {
		err := j.mendSSH()
		if j.outOfReach(err) {
			j.p.bad = err.Error()
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", sshDir, err)
		}
	}
	j.at.close()
	var err error
	j.seen, j.at, err = j.door.look(j.p, j.name)
	j.before.loose = true
	return err
}

// mendSSH gives .ssh a mode as sshd and a watch want it, for good.
func (j *job) mendSSH() error {
	err := j.lift(j.p.ssh, j.p.ssh.perm()&^0o022|0o700)
	if err == nil {
		j.p.ssh.node, err = stat(j.p.ssh.fd)
	}
	return err
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

// prepare sees to a .ssh that can be written.
func (j *job) prepare() error {
	if j.p.dangling {
		return fmt.Errorf("%w: %s is a link to nothing; its target is not mounted, or the link is to be removed", ErrRefused, sshDir)
	}
	if j.p.bad != "" || j.p.ssh.fd < 0 {
		return j.renew()
	}
	if j.p.ssh.uid != j.uid {
		return nil
	}
	err := j.mendSSH()
	if j.outOfReach(err) {
		return j.renew()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", sshDir, err)
	}
	return nil
}

// outOfReach reports that .ssh cannot be put right where it is, while the home can
// have another one: it is root's, or a link of the user's leads to a place like a
// snapshot, where a key would be safe from everybody.
func (j *job) outOfReach(err error) bool {
	return oneOf(err, unix.EACCES, unix.EPERM) && j.p.ssh.uid != j.uid ||
		oneOf(err, unix.EACCES, unix.EPERM, unix.EROFS) && j.p.link != node{}
}

// renew makes a new .ssh. One that is there goes aside, and leaves a mark until
// the new file is written.
func (j *job) renew() error {
	if j.p.home.uid == j.uid {
		if err := j.lift(j.p.home, j.p.home.perm()); err != nil {
			return fmt.Errorf("home: %w", err)
		}
	}
	others, err := j.others()
	if err != nil {
		return err
	}
	if j.p.bad != "" || j.p.ssh.fd >= 0 {
		if err := j.makeWay(); err != nil {
			return err
		}
	}
	made, err := j.mkdir(sshDir)
	if errors.Is(err, unix.EEXIST) {
		return ErrChanged
	}
	if err != nil {
		return err
	}
	j.p.ssh.close()
	j.p.ssh, j.p.bad, j.p.link, j.p.odd = made, "", node{}, node{}
	j.at.close()
	j.seen, j.at = File{State: Missing}, none()
	syncDir(j.p.home.fd)
	return j.markOthers(others)
}

// makeWay moves .ssh aside, after a rehearsal: an error that has another cause
// than a lack of room leaves .ssh where it is. The new .ssh itself is made under
// its own name, since SELinux policies give a directory of that name its type.
func (j *job) makeWay() error {
	rehearsal := j.rehearse()
	if rehearsal != nil && !noRoom(rehearsal) {
		return fmt.Errorf("new %s: %w", sshDir, rehearsal)
	}
	j.marked = true
	err := j.suspend(j.p.home, sshDir, sshDir)
	if rehearsal != nil {
		return errors.Join(fmt.Errorf("no room for a new %s, the old one goes aside: %w", sshDir, rehearsal), err)
	}
	return err
}

// rehearse writes the new file into a new directory beside .ssh, and takes both
// away again.
func (j *job) rehearse() error {
	name := tempName()
	dir, err := j.mkdir(name)
	if err != nil {
		return err
	}
	defer func() {
		dir.close()
		_ = unix.Unlinkat(j.p.home.fd, name, unix.AT_REMOVEDIR)
	}()
	file, err := j.stage(dir.fd)
	if err != nil {
		return err
	}
	file.discard()
	return nil
}

// mkdir makes a directory of the user's in his home, mode 0700.
func (j *job) mkdir(name string) (handle, error) {
	if err := unix.Mkdirat(j.p.home.fd, name, 0o700); err != nil {
		return none(), fmt.Errorf("mkdir %s: %w", name, err)
	}
	made, err := j.door.step(j.p.home, name)
	if err != nil {
		return none(), fmt.Errorf("%s: %w", name, err)
	}
	if !made.is(unix.S_IFDIR) || made.uid != j.uid {
		made.close()
		return none(), ErrChanged
	}
	// The umask of the process had its say in mkdir.
	err = chmodFD(made.fd, 0o700)
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
	if j.seen.State != Regular || j.before.loose || j.at.uid != j.uid || !j.at.single || j.at.size != uint64(len(j.after)) {
		return -1
	}
	fd, err := reopen(j.at.fd, unix.O_RDONLY)
	if err != nil {
		return -1
	}
	if same, err := holds(fd, j.after); err == nil && same && unix.Fchmod(fd, 0o600) == nil {
		_ = retry(func() error { return unix.Fsync(fd) }) // a mode that a crash brings back is untidy again
		return fd
	}
	closeFD(fd)
	return -1
}
