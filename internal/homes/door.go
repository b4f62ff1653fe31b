// Package homes is the only door to the files of users.
//
// A home belongs to its user, and so does every name in it: links, FIFOs,
// leases, mounts and renames between two system calls are his tools. The
// package answers with one rule: everything in them is done with the user's rights.
// Each call runs on a thread of its own that holds the user's fsuid, fsgid and
// supplementary groups and no capability at all, and that dies with the call.
// Whatever a link points to, the worst that can happen is what the user could have
// done himself; root's rights cannot be borrowed. It also works where root has
// none (root_squash), and the process itself needs CAP_SETUID and CAP_SETGID only.
//
//	door, err := homes.Open(homes.Options{Groups: groups})
//	file, err := door.Read(account, ".ssh/authorized_keys")
//	err = door.Replace(account, ".ssh/authorized_keys", file.Version, canonical)
//
// A key file is named by its path as sshd would have expanded it (AuthorizedKeysFile
// in sshd_config(5)): clean, absolute or relative to the home. What is said of
// .ssh here goes for every directory below the home, and outside of it below the
// first directory of the user's. The home itself, and that directory, is never
// renewed. In a directory of root's outside the homes
// changes are made as uid 0 without any capability; every directory on the way is
// root's alone then. A path outside must not be that of two accounts: the file
// would be cut down to the keys of the last one.
//
// Read changes nothing, and what a link in the place of the file shows is for the
// record only. Replace installs a
// new inode by rename, when the last look still shows the Version that was read.
// That version goes, as does a FIFO, socket or device; a link, what cannot be read,
// and what comes between the last look and the rename, is moved aside under a
// name the user can find:
//
//	~/.ssh/.authorized_keys.keyreeve-aside-<random>
//	~/.ssh.keyreeve-aside-<random>
//
// and under the fixed names .ssh/.authorized_keys.keyreeve-full and
// .ssh.keyreeve-full as long as nothing could be written in its place.
//
// # Limits
//
// A file system that cannot exchange two names (NFS) loses what comes between the
// last look and the rename. Everywhere, what is written to the old inode by a
// descriptor from before is lost once that is gone, and so is a write in the same
// instant that puts size and mtime back, since a rename changes the ctime.
//
// A crash may leave a temporary file in .ssh, .keyreeve-new-<maker>-<random>, that
// holds the new content or the old one; sshd reads neither. The name says which
// process made it, and once that is no more, Clean and a later Replace on the same
// host remove the file. Elsewhere a Replace in that .ssh removes it when it is ten
// minutes old. A crash while a .ssh is about to be
// renewed may leave a directory of such a name in the home, with granted keys only.
//
// The new file is owned by the user. He can open it for writing, keep the
// descriptor or a shared mapping, and change it later; the next Read shows it. With
// Options.Guard it is root's: then one step is done with root's rights, see guard.
// Calls may hang as long as a dead file server lets them: the caller bounds
// how many users may hang at once. The security context of a new file is what
// the policy gives to files made in .ssh; an old file's label is copied where
// the policy allows it.
//
// A process that is not root serves its own uid only, with the rights it has.
package homes

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// nobody is the overflow uid of the kernel (/proc/sys/kernel/overflowuid), the
// identity of the start-up canary: it owns nothing.
const nobody = 65534

// anyUser in Door.own: the process is root.
const anyUser = -1

// Door opens the homes of users. Its methods may be called from many goroutines
// at once. Make one with Open.
type Door struct {
	own    int // the only uid that can be served, or anyUser
	mounts *mounts
	groups func(Account) ([]int, error)
	grace  time.Duration // the least age of a leftover whose maker may be at work
	maker  maker
	guard  *guard // nil: files are their users'
	hangs  hangs
	stiff  sync.Map // keys are the sites where the mode of a directory could not be changed
}

// Options are what a Door is told of the host it works on. The zero Options will do.
type Options struct {
	// Groups returns the ids of an account's supplementary groups, as
	// initgroups(3) would find them: sshd reads the user's files with these. It is
	// asked before each operation, from many goroutines at once; after an error
	// nothing is done. Nil: nobody has any.
	Groups func(Account) ([]int, error)
	// Guard makes root the owner of the files that Replace writes, mode 0644, so
	// that no descriptor or mapping of their user's can write them; others are not
	// Tidy. It takes root and CAP_DAC_OVERRIDE.
	Guard bool
	// Unguarded is told where files stay their users' all the same, once for each
	// file system, from any goroutine. Nil: nobody is.
	Unguarded func(why string)
}

// Open makes a Door. When the process is root (effective uid 0), it first
// proves that an identity change takes root's rights away: as nobody, a file
// that is root's alone must be out of reach. A process without CAP_SETUID or
// CAP_SETGID, or in a user namespace without uid 65534, gets an error; so does one
// without the rights that an option needs (ErrRights).
func Open(options Options) (*Door, error) {
	table, err := openMounts()
	if err != nil {
		return nil, fmt.Errorf("homes: %w", err)
	}
	door := &Door{own: os.Geteuid(), mounts: table, groups: options.Groups, grace: leftoverAge}
	if door.maker, err = newMaker(); err != nil {
		return nil, errors.Join(fmt.Errorf("homes: this process cannot be told from others: %w", err), table.close())
	}
	if door.own == 0 {
		door.own = anyUser
		if err := canary(); err != nil {
			return nil, errors.Join(fmt.Errorf("homes: start-up check of the identity change: %w", err), table.close())
		}
	}
	if options.Guard {
		if door.guard, err = newGuard(door.own, options.Unguarded); err != nil {
			return nil, errors.Join(fmt.Errorf("homes: %w", err), table.close())
		}
	}
	return door, nil
}

// Server says what serves a path, such as "nfs filer1": homes of which one hangs
// hang together if they have the same one. No file system is asked.
func (d *Door) Server(path string) string { return d.mounts.server(path) }

// Close releases what the Door holds. No method may be running.
func (d *Door) Close() error {
	return d.mounts.close()
}

// canary opens a pipe of root's (mode 0600, in no file system) as root and as
// nobody: the first must work, the second must not.
func canary() error {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	defer closeFD(ends[0])
	defer closeFD(ends[1])
	peek := func() error {
		fd, err := reopen(ends[0], unix.O_RDONLY)
		if err == nil {
			closeFD(fd)
		}
		return err
	}
	if err := peek(); err != nil {
		return fmt.Errorf("root cannot open its own file: %w", err)
	}
	err := as(nobody, nobody, nil, peek)
	if err == nil {
		return errors.New("nobody could open a file that is root's alone")
	}
	if !errors.Is(err, unix.EACCES) {
		return err
	}
	return nil
}
