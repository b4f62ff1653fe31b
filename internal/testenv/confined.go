package testenv

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// prCapBSetDrop is PR_CAPBSET_DROP of prctl(2).
const prCapBSetDrop = 24

// OnThread runs fn on a thread of its own, which ends with fn: rights that fn gives up are lost to nobody else. It is never the
// first one, which lives as long as the process, and whose rights /proc/self shows.
func OnThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good
		if syscall.Gettid() == os.Getpid() {
			done <- OnThread(fn) // on another one, since this goroutine holds the first
			runtime.UnlockOSThread()
			return
		}
		done <- fn()
	}()
	return <-done
}

// Confined calls start, which starts a program, on a thread whose capability bounding set holds nothing but the given
// capabilities (their numbers in capabilities(7)): root's program then has exactly these, as under CapabilityBoundingSet= of
// systemd.exec(5).
func Confined(start func() error, capabilities ...int) error {
	return OnThread(func() error {
		if err := confine(capabilities); err != nil {
			return err
		}
		return start()
	})
}

// confine drops all other capabilities from this thread's bounding set. EINVAL ends the list: the kernel knows no more.
func confine(capabilities []int) error {
	for c := range 64 {
		if slices.Contains(capabilities, c) {
			continue
		}
		_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prCapBSetDrop, uintptr(c), 0)
		if errors.Is(errno, syscall.EINVAL) && c > 0 {
			return nil
		}
		if errno != 0 {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, errno)
		}
	}
	return nil
}

// capabilityNumbers are those of linux/capability.h that a unit of keyreeve may name.
func capabilityNumbers() map[string]int {
	return map[string]int{
		"CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5,
		"CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_LINUX_IMMUTABLE": 9, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24,
	}
}

// UnitCapabilities is what a unit of systemd and its drop-ins leave in the bounding set: the union of their
// CapabilityBoundingSet= lines (systemd.exec(5)), in ascending order.
func UnitCapabilities(tb testing.TB, files ...string) []int {
	tb.Helper()
	var list []int
	numbers := capabilityNumbers()
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // a file of this repository
		if err != nil {
			tb.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			names, found := strings.CutPrefix(line, "CapabilityBoundingSet=")
			if !found {
				continue
			}
			for name := range strings.FieldsSeq(names) {
				number, known := numbers[name]
				if !known {
					tb.Fatalf("%s: no capability is called %q here", file, name)
				}
				list = append(list, number)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// OnlyCapabilities fails the test unless a process, which root started, has these capabilities and no other. Whoever started it knows that by
// the end of a pipe, which execve(2) closes a moment before it gives the new program its capabilities (begin_new_exec in the kernel's fs/exec.c):
// that moment is waited for.
func OnlyCapabilities(tb testing.TB, pid int, capabilities []int) {
	tb.Helper()
	var set uint64
	for _, c := range capabilities {
		set |= 1 << c
	}
	for end := time.Now().Add(sshdPatience); ; time.Sleep(time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			tb.Fatal(err)
		}
		wrong := slices.ContainsFunc([]string{"CapPrm", "CapEff", "CapBnd"}, func(field string) bool {
			return !strings.Contains(string(status), fmt.Sprintf("%s:\t%016x\n", field, set))
		})
		if !wrong {
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("process %d has other capabilities than %016x:\n%s", pid, set, status)
		}
	}
}
