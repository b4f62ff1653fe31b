package homes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// late does what Replace does, and the user's edit between the last look and the
// swap.
func (h *home) late(edit func() error) {
	h.Helper()
	file := h.expect(Regular)
	if remote, ok := h.door.(*remoteDoor); ok {
		h.must(remote.late(h.Account, file.Version, edit))
	} else {
		h.must(late(h.inside(), h.Account, file.Version, edit))
	}
	h.settled()
}

func late(door *Door, a Account, before Version, edit func() error) error {
	return midst(door, a, before, func(string) error { return edit() }, func(j *job, t *temp) error {
		if err := j.swap(t); err != nil {
			return err
		}
		if err := j.told(a); err != nil {
			return err
		}
		return j.verify(t.fd)
	})
}

// told is an error unless what went aside beside a file is what the job says of it.
func (j *job) told(a Account) error {
	found, err := filepath.Glob(a.Home + "/.ssh/.*aside*")
	if err != nil || len(found) == 0 && j.late == nil {
		return err
	}
	if len(found) != 1 || j.late == nil || filepath.Base(found[0]) != j.late.Name {
		return fmt.Errorf("aside is %q, told is %t: %w", found, j.late != nil, j.outcome(nil))
	}
	if data, err := os.ReadFile(found[0]); err == nil && string(data) != string(j.late.Data) {
		return fmt.Errorf("aside is %q, told is %q", data, j.late.Data)
	}
	return nil
}

func TestEditAfterTheLastLook(t *testing.T) {
	const edited = "ssh-ed25519 AAAAfromtheeditor\n"
	edits := map[string]func(h *home) error{
		"written in place": func(h *home) error { return os.WriteFile(h.keys(), []byte(edited), 0o600) },
		"renamed over": func(h *home) error {
			return errors.Join(os.WriteFile(h.path("new"), []byte(edited), 0o600), os.Rename(h.path("new"), h.keys()))
		},
		"moved into a directory": func(h *home) error {
			return errors.Join(os.Remove(h.keys()), os.Mkdir(h.keys(), 0o700), os.WriteFile(h.keys()+"/x", []byte(edited), 0o600))
		},
	}
	for title, edit := range edits {
		t.Run(title, func(t *testing.T) {
			h := newSSH(t, bad)
			h.late(func() error { return edit(h) })
			found := h.aside(".ssh", "."+name)
			if title == "moved into a directory" {
				found += "/x"
			}
			if got := h.content(found); got != edited {
				t.Errorf("aside: %q", got)
			}
		})
	}
}

func TestOldFileGoes(t *testing.T) {
	h := newSSH(t, bad)
	h.late(func() error { return nil })
	h.must(os.WriteFile(h.keys(), []byte(bad), 0o600))
	h.enforce(h.expect(Regular))
	if left := h.entries(".ssh"); !slices.Equal(left, []string{name}) {
		t.Errorf("left: %q", left)
	}
}

// refuseRenames makes renameat2(2) with flags fail in the whole process.
func refuseRenames(errno unix.Errno) error {
	const ret, load, equal = unix.BPF_RET | unix.BPF_K, unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	program := []unix.SockFilter{
		{Code: load},
		{Code: equal, K: unix.SYS_RENAMEAT2, Jf: 3},
		{Code: load, K: argument(4)},
		{Code: equal, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	return filter(program)
}

// refuseOpen makes open(2) with one of the flags fail in the whole process.
func refuseOpen(flags uint32, errno unix.Errno) error {
	return filter([]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_OPENAT, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: argument(2)},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: flags, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	})
}

// refuse makes a system call fail in the whole process.
func refuse(call uint32, errno unix.Errno) error {
	return filter([]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	})
}

// argument is where struct seccomp_data holds the lower half of an argument.
func argument(n uint32) uint32 {
	at := 16 + n*8
	if (*[2]byte)(unsafe.Pointer(&[]uint16{1}[0]))[1] == 1 {
		at += 4 // big endian
	}
	return at
}

// filter puts a seccomp filter on the whole process.
func filter(program []unix.SockFilter) error {
	code := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, failed := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&code)))
	if failed != 0 {
		return failed
	}
	return nil
}

// inChild runs a test once more in a process where renameat2(2) with flags fails,
// and reports whether this is that process.
func inChild(t *testing.T, errno unix.Errno) bool {
	t.Helper()
	if _, child := alone(t, int(errno)); !child {
		return false
	}
	if err := refuseRenames(errno); err != nil {
		t.Fatal(err)
	}
	err := unix.Renameat2(unix.AT_FDCWD, "/nothing", unix.AT_FDCWD, "/nowhere", unix.RENAME_NOREPLACE)
	if !errors.Is(err, errno) {
		t.Fatalf("renameat2: %v", err)
	}
	return true
}

// alone runs a test once more in a process of its own, for each value, and reports
// whether this is it.
func alone(t *testing.T, values ...int) (value int, child bool) {
	t.Helper()
	testenv.Need(t, "root")
	const marker = "KEYREEVE_TEST_ALONE"
	if value, err := strconv.Atoi(os.Getenv(marker)); err == nil {
		return value, true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range values {
		child := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), marker+"="+strconv.Itoa(value))
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%d: %v\n%s", value, err, out)
		}
	}
	return 0, false
}

// NFS knows no flags of renameat2(2).
func TestFileSystemWithoutFlags(t *testing.T) {
	if !inChild(t, unix.EINVAL) {
		return
	}
	t.Run("regular", TestReplaceRegular)
	t.Run("missing", TestReplaceMakesWhatIsMissing)
	t.Run("link", TestKeysFileIsSymlink)
	t.Run("aside", TestHugeAndSparse)
	t.Run("old goes", TestOldFileGoesWithoutTrace)
	t.Run("irregular", TestKeysFileIsIrregular)
	t.Run("bad .ssh", TestSSHIsNoDirectoryOfHis)
	t.Run("seized", TestSeizeLosesNothing)
}

func TestOldFileGoesWithoutTrace(t *testing.T) {
	h := newSSH(t, bad)
	h.enforce(h.expect(Regular))
	if left := h.entries(".ssh"); !slices.Equal(left, []string{name}) {
		t.Errorf("left: %q", left)
	}
}

// A directory that has no room for another name, on a full disk.
func TestDirectoryWithoutRoom(t *testing.T) {
	if !inChild(t, unix.ENOSPC) {
		return
	}
	h := newSSH(t, bad)
	h.must(os.Truncate(h.keys(), MaxSize+1))
	for _, state := range []State{Oversize, Unreadable} {
		if err := h.door.Replace(h.Account, keyPath, h.expect(state).Version, []byte(good)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("Replace: %v", err)
		}
		h.expect(Unreadable)
	}
}
