package homes

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// As runs fn with the user's rights: on a locked thread with his fsuid, fsgid and
// supplementary groups, and without capabilities. fn must not start goroutines:
// they would run as root. The error is fn's own, or says why the identity could
// not be taken; then fn did not run.
//
// fsuid rather than euid: a thread with fsuid is still root to signals and
// ptrace, so the user cannot touch it, while every file system check counts him
// (setfsuid(2), credentials(7)).
func (d *Door) As(a Account, fn func() error) error {
	if err := a.Check(); err != nil {
		return err
	}
	if d.own != anyUser {
		if a.UID != d.own {
			return fmt.Errorf("account %s: %w: a process of uid %d serves no other uid than its own", a.Name, ErrRefused, d.own)
		}
		return fn()
	}
	groups, err := d.groupsOf(a)
	if err != nil {
		return fmt.Errorf("account %s: groups: %w", a.Name, err)
	}
	return as(a.UID, a.GID, groups, fn)
}

// maxGroups is NGROUPS_MAX (limits.h).
const maxGroups = 65536

// groupsOf asks for the supplementary groups of an account, on the caller's own
// thread, since the answer may come from programs and servers.
func (d *Door) groupsOf(a Account) ([]uint32, error) {
	if d.groups == nil {
		return nil, nil
	}
	list, err := d.groups(a)
	if err != nil {
		return nil, err
	}
	if len(list) > maxGroups {
		return nil, fmt.Errorf("%w: %d are more than a process can have", ErrRefused, len(list))
	}
	groups := make([]uint32, 0, len(list))
	for _, gid := range list {
		if !validID(gid) {
			return nil, fmt.Errorf("%w: %d is no group id", ErrRefused, gid)
		}
		groups = append(groups, uint32(gid)) //nolint:gosec // checked
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// as does the work of As for root.
func as(uid, gid int, groups []uint32, fn func() error) error {
	return OnThread(func() error { return perform(uid, gid, groups, fn) })
}

// OnThread runs fn on a thread of its own, which is never the first one: rights that
// fn gives up are lost to nobody else.
//
// The thread is never given back: its goroutine ends while locked, and the
// runtime then ends the thread. That costs some 50 microseconds, and there is no
// restoring that could fail, and no right left on the thread that fn or a bug
// could take up again. (The runtime makes new threads from a clean one of its
// own, never as children of a locked one.)
func OnThread(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The first thread cannot end before the process, and /proc/PID
			// shows its identity as that of the process. While this goroutine
			// holds it, the next one gets another.
			result <- OnThread(fn)
			runtime.UnlockOSThread()
			return
		}
		err := errors.New("the work ended without a result")
		defer func() {
			if fault := recover(); fault != nil {
				err = fmt.Errorf("internal fault: %v", fault)
			}
			result <- err
		}()
		err = fn()
	}()
	return <-result
}

func perform(uid, gid int, groups []uint32, fn func() error) error {
	if err := become(uid, gid, groups); err != nil {
		return err
	}
	return fn()
}

// become gives this thread the identity and reads it back. Order: groups and
// fsgid first, for they need rights that the last steps give up.
func become(uid, gid int, groups []uint32) error {
	// The raw call changes this thread only; syscall.Setgroups changes all.
	_, _, errno := unix.RawSyscall(sysSetgroups, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0) //nolint:gosec // a system call takes addresses
	if errno != 0 {
		return fmt.Errorf("setgroups: %w", errno)
	}
	// setfsgid and setfsuid report no error: the second call, with an id that
	// is never valid, returns what is in force (setfsuid(2), RETURN VALUE).
	if _, err := unix.SetfsgidRetGid(gid); err != nil {
		return fmt.Errorf("setfsgid: %w", err)
	}
	if _, err := unix.SetfsuidRetUid(uid); err != nil {
		return fmt.Errorf("setfsuid: %w", err)
	}
	// Needed most for uid 0, whose fsuid would keep every CAP_DAC_*; for the
	// others setfsuid dropped those, and the rest goes too.
	if err := shed(0); err != nil {
		return err
	}
	return confirm(uid, gid, groups)
}

// shed takes all capabilities from this thread but those of a set (a bit for each
// of the first 32), and reads back what is left.
func shed(set uint32) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	want := [2]unix.CapUserData{{Effective: set, Permitted: set}}
	if err := unix.Capset(&header, &want[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	var held [2]unix.CapUserData
	if err := unix.Capget(&header, &held[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	if held != want {
		return errors.New("other capabilities are left")
	}
	return nil
}

// confirm reads back what become asked for.
func confirm(uid, gid int, groups []uint32) error {
	nowUID, err := unix.SetfsuidRetUid(-1)
	if err != nil {
		return fmt.Errorf("setfsuid: %w", err)
	}
	nowGID, err := unix.SetfsgidRetGid(-1)
	if err != nil {
		return fmt.Errorf("setfsgid: %w", err)
	}
	if nowUID != uid || nowGID != gid {
		return fmt.Errorf("file system identity is %d:%d, not %d:%d: CAP_SETUID or CAP_SETGID is missing, or the id is not mapped here", nowUID, nowGID, uid, gid)
	}
	now, err := unix.Getgroups()
	if err != nil {
		return fmt.Errorf("getgroups: %w", err)
	}
	slices.Sort(now) // as the kernel gives them; groupsOf did it to the others
	if !slices.EqualFunc(now, groups, func(a int, b uint32) bool { return a == int(b) }) {
		return fmt.Errorf("there are %d supplementary groups, not the user's %d", len(now), len(groups))
	}
	return nil
}
