package homes

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Replace makes after the whole content of a key file: a new inode with mode
// 0600, made beside it, fsynced and exchanged with the old one (RENAME_EXCHANGE
// of renameat2(2)), which goes when it is what the last look saw. What its user
// put there after the last look is moved aside: the new content stays, and
// the error is a *Displaced. Where the file system cannot exchange, as NFS, the rename
// goes over whatever is there by then. before is the Version that Read gave; the
// zero Version stands for "no file". after is at most MaxSize bytes; an empty one
// leaves an empty file. A plain file of the user's that holds after already keeps
// its inode, and what has it open: only modes are put right.
//
// What stands in the way is dealt with so that no unregistered key survives:
//
//   - a FIFO, socket or device under the name: removed;
//   - a link: moved aside (removed without room for another name), its target is
//     not touched;
//   - a directory, and a file that is Unreadable or Oversize: moved aside;
//   - a missing .ssh: made, mode 0700; but ErrRefused when it is a link to nothing,
//     whose target may not be mounted yet;
//   - a .ssh of State BadDir, one the user may not write (root's), and a link to
//     where nothing can be written (a snapshot, mounted read-only): moved aside, a
//     new one made;
//   - a read-only subvolume of btrfs, the home or below: made writable by the user's rights
//     for the time of the work; else moved aside like those;
//   - a directory that takes nothing of another project (XFS, ext4): does so for the
//     moment of the rename;
//   - mode bits of the home that keep its owner out: lifted for the time of the
//     work; those of .ssh: lifted for good, since a directory that its user cannot
//     read cannot be watched; all bits of group and others on .ssh: dropped for
//     good, since sshd would refuse the file (auth_secure_path in misc.c), and who may list a directory
//     or read a file in it can hold its lock (see ErrStuck);
//   - a directory whose owner can make no new file in it in spite of its mode (by an ACL of NFSv4, a policy, or
//     chattr +i and +a on it), or in which nothing may be renamed: a plain file of the user's is overwritten in place. Else the
//     directory goes aside, and if it cannot, the file: renamed, closed (mode 0) or removed; then the
//     error is the file system's. A crash in that leaves a mixture;
//   - a lock of the directory that is not given back, see ErrStuck: a plain file of the user's is overwritten in place;
//   - somebody who has a file of a directory of root's open, outside the home: see rework. It holds the lines of after then, beside comments of number signs;
//   - a full disk or quota: the old file is overwritten in place when that is
//     safe (a crash then leaves a mixture), else moved aside under a fixed name,
//     and then the error is the file system's. As long as that mark is there and
//     the file is not, Read gives Unreadable, or BadDir when it was .ssh that
//     went: so the granted keys are asked for until there is room. A directory
//     without room for one more name has its file closed (mode 0) or its link
//     removed instead; the latter leaves no mark.
//
// A .ssh that is renewed for one file takes the other key files along: those
// that were there are Unreadable until they are replaced in turn.
//
// At the end the file is looked up by name again, from the top: nil means that the
// new inode was found there with the new content. It is no promise about the
// moment after, for the file is its user's.
//
// Errors: ErrStuck when a lock is not given back; ErrSilent when nothing is known yet, and it may still be done; ErrChanged when the file is not the
// Version before, or when its user
// changed it, its name or .ssh during the work, until that last look-up (what was
// read may be aside or gone then: look again); ErrNoHome; ErrRefused; or what the
// file system said. After an error there is under the name the old content, the
// new one, what the user put there meanwhile, or nothing (it was moved aside); a
// part of the new one only when overwriting it on a full disk failed, and moving
// it aside as well.
//
// others are the account's other key files: those that a renewed directory takes
// along are Unreadable until they are replaced in turn.
func (d *Door) Replace(a Account, file string, before Version, after []byte, others ...string) error {
	return d.replace(a, file, job{before: before, after: after, others: others}, changing)
}

func (d *Door) replace(a Account, file string, j job, what errand) error {
	s, err := a.spot(file)
	if err == nil && len(j.after) > MaxSize {
		err = fmt.Errorf("%w: %d bytes are more than would be read again", ErrRefused, len(j.after))
	}
	if err == nil {
		err = d.change(a, s, what, func(owner uint32, e *effort) error {
			j := j // a copy that may be left behind
			j.door, j.account, j.spot, j.uid, j.effort = d, a, s, owner, e
			return j.outcome(j.run(what == renewing))
		})
	}
	if errors.Is(err, ErrStuck) && what == changing && j.overHeld(d, a, s) == nil {
		return nil
	}
	if errors.Is(err, unix.ENOENT) && !errors.Is(err, ErrNoHome) && !errors.Is(err, ErrChanged) {
		err = fmt.Errorf("%w: %w", ErrChanged, err) // something vanished under the job's hands
	}
	if err != nil {
		return fmt.Errorf("account %s: %s: %w", a.Name, file, err)
	}
	return nil
}

// Seize is Replace for a file that never stays the version that was read: what
// stands under the name, whatever it is by now, is moved aside.
func (d *Door) Seize(a Account, file string, after []byte, others ...string) error {
	return d.Replace(a, file, Version{loose: true}, after, others...)
}

// job is one Replace, on the thread of hand.
type job struct {
	door    *Door
	account Account
	spot    spot
	before  Version
	after   []byte
	others  []string
	patient bool   // a directory does not give way once a call that was stuck in it is back
	blind   bool   // nothing may be looked up in the directory that gives way
	uid     uint32 // whose rights the thread has
	effort  *effort

	p      *place
	seen   File   // what was found at the start
	at     handle // the file itself, fd -1 when there is none
	marked bool   // a directory went aside for this file, now or before
	late   *Displaced
	undo   []func() // puts modes back
}

func (j *job) run(renew bool) error {
	defer j.end()
	j.at = none()
	find := j.find
	if renew {
		find = j.findFolder
	}
	if err := find(); err != nil {
		return err
	}
	if err := j.prepare(); err != nil {
		return j.withoutName(err)
	}
	if fd := j.amend(); fd >= 0 {
		defer closeFD(fd)
		return j.verify(fd)
	}
	temp, err := j.stage()
	if j.outOfReach(err) && !j.milder(err) {
		if err := j.renew(); err != nil {
			return j.withoutName(err)
		}
		temp, err = j.stage()
	}
	j.effort.staged.Store(err == nil)
	switch {
	case noRoom(err):
		err = j.squeeze(fmt.Errorf("no room for the new file: %w", err))
	case denied(err):
		err = j.withoutName(fmt.Errorf("new file: %w", err))
	case err != nil:
		err = fmt.Errorf("new file: %w", err)
	default:
		defer temp.discard()
		switch err = j.withoutName(j.settleIn(temp)); {
		case err == nil:
			err = j.verify(temp.fd)
		case errors.Is(err, errHeld):
			temp.discard()
			err = j.rework()
		}
	}
	if err != nil {
		return err
	}
	if temp != nil {
		j.sweep(temp)
	}
	j.settle(j.p.dir, hidden(j.spot.name))
	for i, name := range j.p.dirs {
		if j.marked && !j.effort.left.Load() {
			j.settle(j.p.above[i], name)
		}
	}
	return nil
}

// end puts modes back, and lets go.
func (j *job) end() {
	for _, putBack := range slices.Backward(j.undo) {
		putBack()
	}
	if j.p != nil {
		j.p.close()
	}
	j.at.close()
}

// find takes the place and the file and compares them with the version before.
func (j *job) find() error {
	var err error
	if j.p, err = j.door.locate(j.account, j.spot, j.uid, j.effort); err != nil {
		return err
	}
	j.thaw()
	if j.seen, j.at, err = j.door.look(j.p); err != nil {
		return err
	}
	if !agrees(j.before, j.seen) {
		return ErrChanged
	}
	if j.seen.State == Unreadable && !j.seen.marked {
		err = j.openUp()
	}
	// The mark of .ssh stands for every key file: it stays until one is written
	// that was missing for its sake.
	j.marked = j.seen.State == BadDir && j.seen.marked
	return err
}

func agrees(before Version, now File) bool {
	switch {
	case before.loose:
		return true
	case before == Version{}:
		return now.nothing()
	}
	return before == now.Version
}

// settleIn is install, also where its user takes his right to write to the directory away again.
func (j *job) settleIn(temp *temp) error {
	err := j.install(temp)
	for tries := 0; tries < shutTries && errors.Is(err, unix.EACCES) && !temp.gone && j.reopened(); tries++ {
		err = j.install(temp)
	}
	return err
}

// install takes the last look and renames.
func (j *job) install(temp *temp) error {
	if j.effort.left.Load() {
		return ErrStuck
	}
	now, at, err := j.door.look(j.p)
	if err != nil {
		return err
	}
	defer at.close()
	if !j.before.loose && now.Version.file != j.seen.Version.file {
		return ErrChanged
	}
	if at.fd >= 0 {
		copyLabel(at.fd, temp.fd)
	}
	free, err := j.exclude(at)
	if err != nil {
		return err
	}
	defer free()
	switch {
	case now.nothing():
		err = temp.rename(j.spot.name)
	case j.before.loose || now.State == Oversize || now.State == Unreadable || now.is(unix.S_IFDIR):
		err = j.supplant(temp)
	default:
		err = j.swap(temp)
	}
	if err == nil {
		syncDir(j.p.dir.fd)
	}
	return err
}

// is reports the type of the file that was seen.
func (f File) is(format uint32) bool { return f.Version.file.is(format) }

// verify finds the file again by name, from the top, and compares it with what
// was written: a user who swapped the temporary file, or .ssh, before that is found
// out. What he does afterwards is for the next look.
func (j *job) verify(fd int) error {
	p, err := j.again()
	if err != nil {
		return err
	}
	defer p.close()
	if p.dir.fd < 0 || !p.dir.same(j.p.dir.node) {
		return ErrChanged
	}
	_, at, err := j.door.look(p)
	if err != nil {
		return err
	}
	defer at.close()
	mine, err := stat(fd)
	if err != nil {
		return err
	}
	if at.fd < 0 || !at.same(mine) || mine.size != uint64(len(j.after)) || !mine.single {
		return ErrChanged
	}
	same, err := holds(fd, j.after)
	if err == nil && !same {
		return ErrChanged
	}
	return err
}

// again finds the place once more, from the top. Modes were lifted on this home,
// so it is taken from the job.
func (j *job) again() (*place, error) {
	if len(j.p.above) == 0 {
		return j.door.outside(j.spot, j.uid, nil)
	}
	home, err := j.p.above[0].again()
	if err != nil {
		return nil, err
	}
	p := &place{spot: j.p.spot, above: []handle{home}, dir: none()}
	if err := j.door.descend(p, j.uid); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}
