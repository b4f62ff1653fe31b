package main

import (
	"syscall"
	"unsafe"
)

// The numbers of Landlock's system calls are the same on all architectures (landlock(7)).
const (
	sysLandlockCreateRuleset = 444
	sysLandlockRestrictSelf  = 446
	prSetNoNewPrivs          = 38
	// allAccess is every right on files of the first version of Landlock's ABI (Linux 5.13): to execute, write and read files, to list directories,
	// and to remove and make things of eight kinds.
	allAccess = 1<<13 - 1
)

// confine gives up what the program does not need: no program that it could run would gain rights, and no file can be opened any more. What a
// kernel does not have is left out, since nothing depends on it: whoever got hold of this process would have the rights of the command's user,
// who owns nothing.
func confine() {
	_, _, _ = syscall.AllThreadsSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0)
	handled := uint64(allAccess)
	ruleset, _, failed := syscall.RawSyscall(sysLandlockCreateRuleset, uintptr(unsafe.Pointer(&handled)), unsafe.Sizeof(handled), 0) //nolint:gosec // the system call takes a pointer
	if failed != 0 {
		return
	}
	_, _, _ = syscall.AllThreadsSyscall(sysLandlockRestrictSelf, ruleset, 0, 0)
	_ = syscall.Close(int(ruleset))
}
