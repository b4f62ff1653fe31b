package homes

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// A mark is what was moved aside and has no successor yet, under one fixed name:
// .ssh/.NAME.keyreeve-full for a file, .ssh.keyreeve-full in the home for .ssh, and
// so for every other directory below the home. It
// keeps a full disk, a crash or a failed rename from turning into a file that is
// merely Missing, which would lock a registered user out for good.
//
// Only its presence counts, and only while the file itself is missing: it is
// never followed and never opened. Its user may make one, and gets the keys that
// he is granted; he may remove it, as he may remove the file.
const markSuffix = ".keyreeve-full"

const markDetail = "its granted keys could not be written when it was moved aside; a full disk or quota is the usual cause"

// hidden is the name that what was under a name of .ssh goes by. No pattern of
// sshd's that is kept finds one with a dot (ParsePattern). A long name leaves no room for what
// comes behind it, so a sum stands for it.
func hidden(name string) string {
	if len(name) > maxElement {
		sum := sha256.Sum256([]byte(name))
		name = name[:maxElement/2] + "-" + hex.EncodeToString(sum[:8])
	}
	return "." + name
}

// absent is a file that is not there: Missing, unless a mark says what became of
// it.
func (d *Door) absent(p *place, seen Version) (File, error) {
	if p.dir.fd >= 0 {
		found, err := d.stands(p.dir, hidden(p.name)+markSuffix)
		if err != nil {
			return File{}, err
		}
		if found {
			return File{State: Unreadable, Version: seen, Detail: markDetail, marked: true}, nil
		}
	}
	for i, name := range p.dirs[:min(len(p.above), len(p.dirs))] {
		found, err := d.stands(p.above[i], name+markSuffix)
		if err != nil {
			return File{}, err
		}
		if found {
			return File{State: BadDir, Version: seen, Detail: name + ": " + markDetail, marked: true}, nil
		}
	}
	return File{State: Missing, Version: seen}, nil
}

// stands reports whether a name means anything in a directory.
func (d *Door) stands(dir handle, name string) (bool, error) {
	at, err := d.step(dir, name)
	at.close()
	switch {
	case err == nil, errors.Is(err, unix.EACCES), errors.Is(err, errForeign):
		return true, nil
	case oneOf(err, unix.ENOENT, unix.ENAMETOOLONG):
		return false, nil
	}
	return false, err
}

// suspend makes what stands under a name the mark. When there is a mark already,
// that one stays, and the thing goes aside.
func (j *job) suspend(dir handle, name, prefix string) error {
	err := error(unix.EEXIST)
	if found, unsure := j.door.stands(dir, prefix+markSuffix); !found && unsure == nil {
		err = move(dir.fd, name, prefix+markSuffix)
	}
	if err != nil && !unsaid(err) {
		err = aside(dir.fd, name, prefix) // its user may have spoilt that one name: on btrfs, by others of the same hash
	}
	switch {
	case err == nil, unsaid(err):
	case errors.Is(err, unix.EXDEV) && unlinkat(dir.fd, name, 0) == nil:
		err = nil // who goes on changing projects meanwhile (see renameIn) loses it
	default:
		// A full directory needs a block for the longer name, and another one may take none.
		err = errors.Join(err, j.disarm(dir, name))
	}
	syncDir(dir.fd)
	return err
}

// unsaid reports that nothing was learned of what a name stands for: it is gone, or the disk or the server does not do its work.
func unsaid(err error) bool {
	return errors.Is(err, ErrChanged) || oneOf(err, unix.EIO, unix.ESTALE, unix.ETIMEDOUT, unix.ENOMEM, unix.EINTR)
}

// disarm keeps sshd from what stands under a name when there is not even room for
// another name: a file is closed to everybody, and is Unreadable from then on, or
// removed; a link is removed.
func (j *job) disarm(dir handle, name string) error {
	at, err := j.door.step(dir, name)
	if err != nil {
		return err
	}
	defer at.close()
	switch {
	case at.is(unix.S_IFREG) && chmodFD(at.fd, 0) == nil:
		return nil
	case at.is(unix.S_IFREG), at.is(unix.S_IFLNK):
		return unlinkat(dir.fd, name, 0)
	}
	return nil
}

// settle turns a mark into a thing that was moved aside, once what it stood for
// is in place. A mark that cannot be moved does no harm. An empty one holds
// nothing of the user's and goes.
func (j *job) settle(dir handle, prefix string) {
	at, err := j.door.step(dir, prefix+markSuffix)
	if errors.Is(err, unix.ENOENT) {
		return
	}
	defer at.close()
	if err == nil {
		free, held := j.exclude(at)
		if held != nil {
			return
		}
		defer free()
	}
	if err == nil && at.is(unix.S_IFREG) && at.size == 0 && at.uid == j.uid {
		_ = unlinkat(dir.fd, prefix+markSuffix, 0)
		return
	}
	_ = aside(dir.fd, prefix+markSuffix, prefix)
}

// beside are the names of the account's other key files in a directory that could
// be used, and that a renewal takes away as well: all of them, where it cannot be asked.
func (j *job) beside() ([]string, error) {
	var list []string
	if j.p.dir.fd < 0 && !j.blind {
		return nil, nil
	}
	for _, file := range j.others {
		s, err := j.account.spot(file)
		if err != nil {
			return nil, err
		}
		if s.outside != j.spot.outside || s.name == j.p.name || !slices.Equal(s.dirs, j.spot.dirs) {
			continue
		}
		found := j.blind
		if !found {
			found, err = j.door.stands(j.p.dir, s.name)
		}
		if err != nil {
			return nil, err
		}
		if found {
			list = append(list, s.name)
		}
	}
	return list, nil
}

// markOthers leaves empty marks for the files that went aside with an old directory.
func (j *job) markOthers(names []string) error {
	for _, name := range names {
		fd, err := openat(j.p.dir.fd, hidden(name)+markSuffix, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		closeFD(fd)
	}
	return nil
}
