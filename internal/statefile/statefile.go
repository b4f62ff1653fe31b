// Package statefile reads and writes the daemon's own files: those that root alone may change.
//
// Two kinds of file go through here: what the administrator hands to the daemon (the configuration, the LDIF registry, a CA
// bundle, the password of the LDAP account) and what the daemon keeps for itself (the quarantine, the exceptions, the lock). Neither lies
// in a user's home; homes have a door of their own, internal/homes.
//
// [Read] believes a file only when nobody but root and the daemon's own user could have written it, and when its writer has
// finished; [ReadSecret] wants more of a password or a key. [Create] and [Replace] return when the bytes and the name are on the disk. [Publish] writes what others may read; [Spare] what is to be written also while
// a user keeps the disk full.
// [ListenUnix] makes a socket. [Entries] and [Remove] are for who holds a folder to a budget. [Lock] keeps a second daemon away.
//
// Every error names the path and what is wrong with it. Where the kernel gave the error it is wrapped, so that
// errors.Is with fs.ErrNotExist, fs.ErrExist and fs.ErrPermission answers as usual.
package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Read returns the whole file at path, at most limit bytes.
//
// The last component must be the file itself and no link; it must be a regular file, owned by root or by the user this
// process runs as, writable by neither group nor others, open for writing by nobody, and the same before and after the
// read. Anything else is an error: half a registry must never be taken for a registry. A FIFO or a device is refused
// without waiting for it.
func Read(path string, limit int64) ([]byte, error) { return read(path, limit, 0) }

// ReadSecret is Read for what others must not know: it is refused as well if they may read it. The group may. That is how a key is
// lent to services (0640, root:ssl-cert), and how the access list shows by which systemd gives a credential to the user of
// a unit (acl(5): the group's bits of the mode are its mask).
func ReadSecret(path string, limit int64) ([]byte, error) { return read(path, limit, 0o004) }

// read is Read; bits of the mode that are not to be set make it fail.
func read(path string, limit int64, shut fs.FileMode) (data []byte, err error) {
	// open(O_NOFOLLOW|O_NONBLOCK) fstat fcntl(F_SETLEASE) read fstat close
	file, err := os.OpenFile(path, readFlags, 0) //nolint:gosec // the path is the administrator's, and inspect looks at what was opened
	if err != nil {
		return nil, openError(path, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if perm := info.Mode().Perm(); perm&shut != 0 {
		return nil, fmt.Errorf("%s: mode %04o lets everybody read a secret", path, perm)
	}
	before, err := inspect(file, path)
	if err != nil {
		return nil, err
	}
	if before.size > limit {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d allowed", path, before.size, limit)
	}
	if err := finished(file, path); err != nil {
		return nil, err
	}
	// One byte more than allowed shows a file that has grown since it was measured.
	data, err = io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	after, err := inspect(file, path)
	if err != nil {
		return nil, err
	}
	if before != after || int64(len(data)) != after.size {
		return nil, fmt.Errorf("%s: changed while it was read", path)
	}
	return data, nil
}

// EnsureDir makes sure that path is a directory of the daemon: a missing one is made with perm (missing parents with
// 0755), one that is there must be a directory and no link, owned by root or by the user this process runs as, and
// writable by neither group nor others. The mode of a directory that is there already is left as it is: an
// administrator or the service manager chose it.
func EnsureDir(path string, perm fs.FileMode) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(path, perm); err != nil {
			return err
		}
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s: is a symbolic link, not a directory", path)
	case !info.IsDir():
		return fmt.Errorf("%s: is not a directory", path)
	}
	return trusted(info, path)
}

// inspect measures an open file and refuses one that somebody else may have written.
func inspect(file *os.File, path string) (identity, error) {
	info, err := file.Stat()
	if err != nil {
		return identity{}, err
	}
	if !info.Mode().IsRegular() {
		return identity{}, fmt.Errorf("%s: is not a regular file", path)
	}
	if err := trusted(info, path); err != nil {
		return identity{}, err
	}
	return identify(info), nil
}

// trusted says whether only root and the user of this process can have shaped what info describes.
func trusted(info fs.FileInfo, path string) error {
	if uid, _ := Owner(info); uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("%s: is owned by uid %d, neither root nor the user of this process", path, uid)
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("%s: mode %04o lets group or others write", path, perm)
	}
	return nil
}
