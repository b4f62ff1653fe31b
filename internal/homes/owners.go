package homes

import (
	"errors"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Two attributes that an owner may set on his directories by ioctl(2), and that then keep
// everybody from changing them, root included. They are lifted with his rights.

// The directions of requests, which differ between architectures (asm/ioctl.h).
const (
	requestRead  = unix.FS_IOC_GETFLAGS & 0xe0000000
	requestWrite = unix.FS_IOC_SETFLAGS & 0xe0000000
)

func ioctl[T any](fd int, request uint, argument *T) error {
	return retry(func() error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(argument))) //nolint:gosec // a system call takes addresses
		if errno != 0 {
			return errno
		}
		return nil
	})
}

// fsxattr is that of linux/fs.h.
type fsxattr struct {
	flags   uint32
	_       [2]uint32
	project uint32
	_       [3]uint32
}

const (
	fsGetXattr = requestRead | uint(unsafe.Sizeof(fsxattr{}))<<16 | 'X'<<8 | 31  // FS_IOC_FSGETXATTR
	fsSetXattr = requestWrite | uint(unsafe.Sizeof(fsxattr{}))<<16 | 'X'<<8 | 32 // FS_IOC_FSSETXATTR
	bequeaths  = 0x200                                                           // FS_XFLAG_PROJINHERIT
)

// renameIn is renameat2(2) within a directory. One that bequeaths its project of a quota
// (chattr(1) +P) takes no name for what is of another project: EXDEV (xfs_rename in
// fs/xfs/xfs_inode.c, ext4_rename in fs/ext4/namei.c). So it stops doing that for the
// moment; a crash in it is the only harm. Its user may let it bequeath again at once, in a loop.
func renameIn(dir int, name, target string, flags uint) error {
	rename := func() error {
		switch {
		case flags == 0:
			return retry(func() error { return unix.Renameat(dir, name, dir, target) })
		case flags&unix.RENAME_EXCHANGE != 0: // twice would be not at all, if the first was made
			return unix.Renameat2(dir, name, dir, target, flags)
		}
		return retry(func() error { return unix.Renameat2(dir, name, dir, target, flags) })
	}
	err := rename()
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	fd, failed := reopen(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if failed != nil {
		return err
	}
	defer closeFD(fd)
	if bequeath(fd, false) != nil {
		return err
	}
	defer func() { _ = bequeath(fd, true) }()
	for tries := 1; tries < projectTries && errors.Is(err, unix.EXDEV); tries++ {
		err = rename()
		_ = bequeath(fd, false)
	}
	return err
}

// projectTries bounds how often something is tried that a change of projects was in the way of.
const projectTries = 8

// bequeath sets or clears that attribute of a directory that has the opposite.
func bequeath(fd int, on bool) error {
	var x fsxattr
	if err := ioctl(fd, fsGetXattr, &x); err != nil {
		return err
	}
	if (x.flags&bequeaths != 0) == on {
		return unix.EALREADY
	}
	x.flags ^= bequeaths
	return ioctl(fd, fsSetXattr, &x)
}

const (
	subvolumeGet  = requestRead | 8<<16 | 0x94<<8 | 25  // BTRFS_IOC_SUBVOL_GETFLAGS
	subvolumeSet  = requestWrite | 8<<16 | 0x94<<8 | 26 // BTRFS_IOC_SUBVOL_SETFLAGS
	subvolumeIno  = 256                                 // BTRFS_FIRST_FREE_OBJECTID: the top of one
	subvolumeOnly = uint64(1) << 1                      // BTRFS_SUBVOL_RDONLY
)

// frozen reports that a directory is in a subvolume of btrfs which is read-only; st is of
// the directory, and does not tell. The check is one of permission (btrfs_permission in
// fs/btrfs/inode.c), and comes before that of modes.
func frozen(dir handle, st unix.Statfs_t) bool {
	return uint32(st.Type) == unix.BTRFS_SUPER_MAGIC && //nolint:gosec // its type differs between architectures
		errors.Is(unix.Faccessat(unix.AT_FDCWD, procPath(dir.fd), unix.W_OK, 0), unix.EROFS)
}

// thaws are the tops of the subvolumes on the way which their user can make writable. What
// is behind a link may be a snapshot, which is left as it is.
func (p *place) thaws(owner uint32) (list []handle) {
	way := append(slices.Clip(p.above), p.dir)
	if p.via {
		way = p.above[:min(1, len(p.above))]
	}
	for _, dir := range way {
		if dir.fd >= 0 && dir.ino == subvolumeIno && dir.uid == owner && dir.perm()&0o400 != 0 {
			list = append(list, dir)
		}
	}
	return list
}

// thaw makes them writable until the job ends. What cannot be done shows itself.
func (j *job) thaw() {
	for _, dir := range j.p.thaws(j.uid) {
		if bar(dir) != Frozen {
			continue
		}
		fd, err := reopen(dir.fd, unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			continue
		}
		var flags uint64
		if ioctl(fd, subvolumeGet, &flags) == nil {
			flags &^= subvolumeOnly
			_ = ioctl(fd, subvolumeSet, &flags)
		}
		j.undo = append(j.undo, func() {
			flags |= subvolumeOnly
			_ = ioctl(fd, subvolumeSet, &flags)
			closeFD(fd)
		})
	}
}
