package homes

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// readTries bounds how often a file that changes under the reader is read again.
const readTries = 3

// Read looks at a key file with the user's rights and reads it when it is a
// regular file. It changes nothing, follows a directory that Dirs would follow too, and
// a link in the place of the file for the record only, and waits for no FIFO, device or lease. Errors: ErrStuck when a
// lock is not given back; ErrSilent; ErrNoHome for a home that does not exist; ErrRefused for an account, home or name that is not fit to be
// touched; else what the file system said.
func (d *Door) Read(a Account, file string) (File, error) {
	var found File
	s, err := a.spot(file)
	if err == nil {
		found, err = glance(d, a, s.String(), reading, func(e *effort) (File, error) { return d.read(a, s, e) })
	}
	if err == nil && found.State == Symlink {
		found.Data, _ = glance(d, a, s.String(), peeking, func(e *effort) ([]byte, error) { return d.behind(a, s, found.Version, e) })
	}
	if err != nil {
		return File{}, fmt.Errorf("account %s: %w", a.Name, err)
	}
	return found, nil
}

func (d *Door) read(a Account, s spot, e *effort) (File, error) {
	uid := uint32(a.UID) //nolint:gosec // checked by Account.Check
	p, err := d.locate(a, s, uid, e)
	if err != nil {
		return File{}, err
	}
	defer p.close()
	file, at, err := d.look(p)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", s, err)
	}
	defer at.close()
	if file.State == Regular || file.State == Oversize {
		if err := file.load(at, p); err != nil {
			return File{}, fmt.Errorf("%s: %w", s, err)
		}
	}
	if file.State == Regular {
		file.Remark = p.exposed()
		file.Detail = untidy(file.Version.file, uid)
		if file.Detail == "" && p.dir.uid == uid && !p.fixed() {
			file.Detail = p.untidy()
			if _, stiff := d.stiff.Load(site{p.dir.dev, int64(uid)}); stiff && p.dir.perm()&0o700 == 0o700 || file.Detail != "" && attributes(p.dir) != Free {
				file.Detail, file.Remark = "", cmp.Or(p.open(), file.Remark)
			}
		}
		if file.Detail == "" {
			file.Detail = d.unguardedFile(p, file.Version.file, a)
		}
		file.Tidy = file.Detail == ""
	}
	file.Barred = p.bar(at, uid)
	return file, nil
}

// look says what stands under the name of the file, without opening it. The handle has
// fd -1 when nothing is there.
func (d *Door) look(p *place) (File, handle, error) {
	seen := Version{link: p.link.identity(), ssh: p.odd.identity()}
	switch {
	case p.shut:
		return unreadable(seen, "a directory of his own above it, the home as a rule, may not be searched"), none(), nil
	case p.bad != "":
		seen.loose = seen == Version{} // a mount, of which nothing was asked
		return File{State: BadDir, Version: seen, Detail: p.where() + ": " + p.bad}, none(), nil
	case p.dangling:
		return File{State: Missing, Version: seen, Detail: p.where() + " is a link to nothing"}, none(), nil
	case p.dir.fd < 0:
		file, err := d.absent(p, Version{})
		return file, none(), err
	}
	seen.ssh = p.dir.identity()
	at, err := d.step(p.dir, p.name)
	switch {
	case err == nil:
	case errors.Is(err, unix.ENOENT) && !p.fixed() && p.dir.perm()&0o400 == 0 && p.dir.uid != 0:
		// A file that is made there would be seen by sshd, and by no watch.
		return unreadable(seen, p.untidy()), none(), nil
	case errors.Is(err, unix.ENOENT):
		file, err := d.absent(p, seen)
		return file, none(), err
	case oneOf(err, unix.EACCES, unix.ENOKEY), errors.Is(err, errForeign):
		return unreadable(seen, err.Error()), none(), nil
	default:
		return File{}, none(), err
	}
	if err := p.effort.reached(at.node); err != nil {
		at.close()
		return File{}, none(), err
	}
	seen.file = at.node
	file := File{State: Irregular, Version: seen}
	switch {
	case at.is(unix.S_IFLNK):
		file.State = Symlink
	case !at.is(unix.S_IFREG):
		file.Detail = at.kind()
	case at.size > MaxSize:
		file.State = Oversize
		file.Detail = fmt.Sprintf("%d bytes", at.size)
	default:
		file.State = Regular
	}
	return file, at, nil
}

// unreadable is a file of which nothing reliable was seen: every later version
// agrees with it, because Replace only ever moves it aside.
func unreadable(seen Version, detail string) File {
	seen.loose = true
	return File{State: Unreadable, Version: seen, Detail: detail}
}

// load reads the data of a regular file until two looks at it agree.
func (f *File) load(at handle, p *place) error {
	fd, err := reopen(at.fd, unix.O_RDONLY)
	if oneOf(err, unix.EAGAIN, unix.ETXTBSY) {
		// A lease, which its owner may take again each time it is broken; he
		// keeps everybody from reading the file as long as he likes.
		*f = unreadable(f.Version, err.Error())
		return nil
	}
	if err != nil {
		return f.failed(err)
	}
	defer closeFD(fd)
	for range readTries {
		before, err := stat(fd)
		if err != nil {
			return f.failed(err)
		}
		data, err := pread(fd, int(min(before.size, MaxSize)))
		if len(data) > 0 {
			f.Data = data
		}
		if err != nil {
			return f.failed(err)
		}
		after, err := stat(fd)
		if err != nil {
			return f.failed(err)
		}
		if before == after && uint64(len(data)) == min(after.size, MaxSize) {
			f.State, f.Detail = Regular, ""
			if after.size > MaxSize {
				f.State, f.Detail = Oversize, fmt.Sprintf("%d bytes", after.size)
			}
			f.Version = Version{link: p.link.identity(), ssh: p.dir.identity(), file: after}
			f.Busy, f.Room = busy(fd), room(fd)
			return nil
		}
	}
	data := f.Data
	*f = unreadable(f.Version, "it does not keep still")
	f.Data = data
	return nil
}

// busy asks for a read lease, which the kernel refuses with EAGAIN while a writer
// has the file open (fcntl(2), F_SETLEASE), and gives it back at once. Only the
// owner of a file is given one; a file system may know none, and NFS version 4
// refuses it as long as the server has delegated nothing.
func busy(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK) // else it goes with the descriptor
	}
	return errors.Is(err, unix.EAGAIN)
}

// failed turns the errors a user can cause into a state. Those of a disk or a file
// server are errors: nothing was learned of the file, and its time will come. But of a file with a
// block that is broken, as the checksums of btrfs and XFS tell, sshd takes the keys that come before that one: it reads line by line.
func (f *File) failed(err error) error {
	broken := len(f.Data) > 0 && oneOf(err, unix.EIO, unix.EUCLEAN, unix.EBADMSG)
	if !broken && !denied(err) {
		return err
	}
	data, seen := f.Data, f.Version
	*f = unreadable(seen, err.Error())
	f.Data = data
	return nil
}

// pread reads n bytes from the start; fewer when the file ends earlier, or with an error. It asks for as much at once as
// stdio does for sshd, which finds all that comes before a broken block.
func pread(fd, n int) ([]byte, error) {
	data := make([]byte, n)
	done := 0
	for done < n {
		var got int
		err := retry(func() (err error) {
			got, err = unix.Pread(fd, data[done:min(n, done+4096)], int64(done))
			return err
		})
		if err != nil {
			return data[:done], err
		}
		if got == 0 {
			break
		}
		done += got
	}
	return data[:done], nil
}

// holds reports whether a file begins with all of want.
func holds(fd int, want []byte) (bool, error) {
	data, err := pread(fd, len(want))
	return bytes.Equal(data, want), err
}

// behind is what a link in the place of the file shows to its user, at most
// MaxSize bytes of it: sshd would have read it. It is for the record only, so
// whatever stands in the way makes it empty; and it is a call of its own, since the user says where the
// link leads, such as to a dead server. seen is the version that has the link.
func (d *Door) behind(a Account, s spot, seen Version, e *effort) ([]byte, error) {
	uid := uint32(a.UID) //nolint:gosec // checked by Account.Check
	p, err := d.locate(a, s, uid, e)
	if err != nil {
		return nil, err
	}
	defer p.close()
	_, link, err := d.look(p)
	if err != nil {
		return nil, err
	}
	defer link.close()
	if link.fd < 0 || link.node != seen.file {
		return nil, ErrChanged
	}
	target, err := link.target(uid)
	if err != nil {
		return nil, err
	}
	at, err := d.walk(p.dir, target, uid, nil)
	if err != nil {
		return nil, err
	}
	defer at.close()
	if !at.is(unix.S_IFREG) {
		return nil, unix.EINVAL
	}
	fd, err := reopen(at.fd, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	return pread(fd, int(min(at.size, MaxSize)))
}

// untidy says what is wrong with a regular file; "" when nothing is.
func untidy(file node, uid uint32) string {
	switch {
	case file.uid != uid && file.uid != 0:
		return fmt.Sprintf("owned by uid %d", file.uid)
	case file.perm()&^0o755 != 0:
		return fmt.Sprintf("mode %04o", file.perm())
	case !file.single:
		return "it has other names (hard links)"
	}
	return ""
}

// exposed names a directory above that of the file, the home as a rule, to which others
// may write, by its mode or an ACL (whose mask stands for the group in stat(2), acl(5)).
// It is nobody's to change but its user's. sshd with StrictModes lets nobody in
// then (safe_path in misc.c); Debian's does if the group is that user's own.
func (p *place) exposed() string {
	for i, dir := range p.above {
		if dir.perm()&0o022 != 0 {
			where := "the home"
			if p.outside != "" || i > 0 {
				where = path.Join(p.outside, path.Join(p.dirs[:i]...))
			}
			return fmt.Sprintf("others may write to %s (mode %04o): they can exchange what is in it, and sshd may let nobody in", where, dir.perm())
		}
	}
	return ""
}

// untidy says what is wrong with a directory of the user's that could be renewed.
// One that cannot is never given another mode for good. Who may list it can hold its
// lock (see ErrStuck), and who may read a file in it that one's: FS_IOC_FIEMAP, or a read with O_DIRECT, into a page
// that never comes. Its user's next change would put it aside. The mode's bits of the
// group are the mask of a POSIX ACL (acl(5)), so they speak for its named users too. sshd reads with the user's rights.
func (p *place) untidy() string {
	if p.dir.perm() == tidy(p.dir.perm()) {
		return ""
	}
	return fmt.Sprintf("%s has mode %04o", p.where(), p.dir.perm())
}

// open is untidy for one whose mode cannot be changed: that others may write to it is told.
func (p *place) open() string {
	if p.dir.perm()&0o022 == 0 {
		return ""
	}
	return p.untidy() + ", which cannot be changed there"
}

// tidy is the mode that a directory of the user's is given: all rights for him, and
// none for others.
func tidy(mode uint32) uint32 { return mode&^0o077 | 0o700 }
