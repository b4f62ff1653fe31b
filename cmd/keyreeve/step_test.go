package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// step is a system call that "keyreeve apply" is about to make.
type step struct {
	number uint64
	file   string // the file that its first arguments name; random parts are blotted out
}

func (s step) String() string {
	name, known := callNames[s.number]
	if !known {
		name = fmt.Sprintf("call %d", s.number)
	}
	return strings.TrimSpace(name + " " + s.file)
}

// callNames are those of the calls that a test may ask for, and of the others that name a file.
var callNames = map[uint64]string{
	unix.SYS_OPENAT: "openat", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_MKDIRAT: "mkdirat", unix.SYS_LINKAT: "linkat",
	unix.SYS_RENAMEAT2: "renameat2", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_READLINKAT: "readlinkat", unix.SYS_FACCESSAT: "faccessat",
	unix.SYS_STATX: "statx", unix.SYS_READ: "read", unix.SYS_WRITE: "write", unix.SYS_PREAD64: "pread64", unix.SYS_PWRITE64: "pwrite64",
	unix.SYS_FSYNC: "fsync", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHOWN: "fchown", unix.SYS_FSTAT: "fstat",
	unix.SYS_CLOSE: "close", unix.SYS_GETDENTS64: "getdents64", unix.SYS_FLOCK: "flock", unix.SYS_FCNTL: "fcntl",
	unix.SYS_FSETXATTR: "fsetxattr", unix.SYS_SETGROUPS: "setgroups", unix.SYS_SETFSGID: "setfsgid", unix.SYS_SETFSUID: "setfsuid",
	unix.SYS_CAPSET: "capset",
}

// ownAffairs are the calls with which Go's runtime sees to memory, threads and signals: they leave no trace behind a process.
var ownAffairs = map[uint64]bool{
	unix.SYS_FUTEX: true, unix.SYS_NANOSLEEP: true, unix.SYS_CLOCK_NANOSLEEP: true, unix.SYS_SCHED_YIELD: true,
	unix.SYS_RT_SIGPROCMASK: true, unix.SYS_RT_SIGACTION: true, unix.SYS_RT_SIGRETURN: true, unix.SYS_SIGALTSTACK: true,
	unix.SYS_MADVISE: true, unix.SYS_MMAP: true, unix.SYS_MUNMAP: true, unix.SYS_MPROTECT: true, unix.SYS_GETTID: true,
	unix.SYS_GETPID: true, unix.SYS_TGKILL: true, unix.SYS_CLONE: true, unix.SYS_CLONE3: true, unix.SYS_EXIT: true,
	unix.SYS_EPOLL_PWAIT: true, unix.SYS_EPOLL_CTL: true, unix.SYS_SET_ROBUST_LIST: true, unix.SYS_RSEQ: true, unix.SYS_PRCTL: true,
	unix.SYS_GETRANDOM: true, unix.SYS_PPOLL: true, unix.SYS_RESTART_SYSCALL: true,
}

// random is what differs from run to run in the names of files.
var random = regexp.MustCompile(`\d{8}T\d{6}\.\d{6}Z|([A-Z2-7]{8}-[0-9a-f]{8}-[0-9a-f]{16}-)?[A-Z2-7]{26}|\.new-\d+`)

// stepper runs "keyreeve apply" call by call (ptrace(2)).
type stepper struct {
	site    site
	program string
	home    string // the base of a home's name: with the first look at it the counting begins
	every   bool   // calls that change no file count too
	only    string // the calls of this name alone count
	kill    int    // the call to die at the door of, counted from 1; 0 for none
	pid     int
	begun   bool
	count   int
	steps   []step
	seen    map[int]bool // threads
}

// stepped runs "keyreeve apply", or another program that does the same otherwise, until the kill-th system call since its first look at a home, of all its threads, is about to be
// made; then it is killed, and the call is not made. killed says whether it came to that. Without every, the calls that
// change a file or bring it to the disk alone are counted.
func (s site) stepped(program, home string, every bool, kill int) (steps []step, killed bool) {
	s.t.Helper()
	return s.follow(&stepper{program: program, home: path.Base(home), every: every, kill: kill})
}

// killedAt is stepped up to the n-th call of a name, wherever it comes.
func (s site) killedAt(name string, n int) (killed bool) {
	s.t.Helper()
	_, killed = s.follow(&stepper{program: "keyreeve", begun: true, only: name, kill: n})
	return killed
}

func (s site) follow(p *stepper) (steps []step, killed bool) {
	s.t.Helper()
	p.site, p.seen = s, make(map[int]bool)
	// All is done by one thread: it alone is the tracer.
	err := testenv.OnThread(func() (err error) {
		killed, err = p.run()
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return p.steps, killed
}

func (p *stepper) run() (killed bool, err error) {
	program, err := exec.LookPath(p.program)
	if err != nil {
		return false, err
	}
	said, err := os.CreateTemp(p.site.dir, "said-*")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, said.Close(), os.Remove(said.Name())) }()
	p.pid, err = syscall.ForkExec(program, []string{p.program, "apply", "--config", p.site.path("keyreeve.yaml")}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, said.Fd(), said.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return false, err
	}
	status, err := p.follow()
	switch {
	case err != nil:
		return false, err
	case status.Signaled() && status.Signal() == syscall.SIGKILL && p.kill > 0:
		return true, nil
	case status.ExitStatus() != 0:
		text, _ := os.ReadFile(said.Name())
		return false, fmt.Errorf("keyreeve apply ended with %v: %s", status, text)
	}
	return false, nil
}

// follow lets the program go from call to call until it has ended.
func (p *stepper) follow() (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		// Of its process group only: this thread may have started programs of other tests, and they wait for those.
		tid, err := syscall.Wait4(-p.pid, &status, unix.WALL, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return status, fmt.Errorf("wait: %w", err)
		case status.Stopped():
			if err := p.stop(tid, status); err != nil && !errors.Is(err, syscall.ESRCH) {
				return status, errors.Join(err, syscall.Kill(p.pid, syscall.SIGKILL))
			}
		case tid == p.pid:
			return status, nil
		}
	}
}

// stop handles one stop of a thread and lets it go on. ESRCH: it is dying.
func (p *stepper) stop(tid int, status syscall.WaitStatus) error {
	const syscallStop = syscall.SIGTRAP | 0x80 // PTRACE_O_TRACESYSGOOD
	deliver := 0
	switch signal := status.StopSignal(); {
	case !p.seen[tid]: // a new thread, or the program at its beginning
		p.seen[tid] = true
		if tid == p.pid {
			if err := syscall.PtraceSetOptions(tid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
				return err
			}
		}
	case signal == syscallStop:
		if err := p.atCall(tid); err != nil {
			return err
		}
	case signal != syscall.SIGTRAP:
		deliver = int(signal)
	}
	return syscall.PtraceSyscall(tid, deliver)
}

// callInfo is struct ptrace_syscall_info (PTRACE_GET_SYSCALL_INFO in ptrace(2)), as far as a call that begins needs it.
type callInfo struct {
	op     uint8
	_      [3]uint8
	_      uint32
	_, _   uint64
	number uint64
	args   [6]uint64
	_      [3]uint64
}

func (p *stepper) atCall(tid int) error {
	const getSyscallInfo, entry = 0x420e, 1
	var info callInfo
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, getSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0); errno != 0 {
		return errno
	}
	if info.op != entry || ownAffairs[info.number] {
		return nil
	}
	if !p.begun {
		p.begun = info.number == unix.SYS_OPENAT && p.text(info.args[1]) == p.home
	}
	switch {
	case !p.begun, p.only != "" && callNames[info.number] != p.only, p.only == "" && !p.every && !info.changes():
		return nil
	}
	if p.count++; p.kill != 0 && p.count != p.kill {
		return nil
	}
	p.steps = append(p.steps, step{info.number, random.ReplaceAllString(strings.TrimPrefix(p.file(info), p.site.dir), "*")})
	if p.kill != 0 {
		return syscall.Kill(p.pid, syscall.SIGKILL)
	}
	return nil
}

// changes reports that a call changes a file or brings it to the disk.
func (c callInfo) changes() bool {
	switch c.number {
	case unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_RENAMEAT2, unix.SYS_FCHMODAT, unix.SYS_FCHMOD,
		unix.SYS_FCHOWN, unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FSETXATTR:
		return true
	}
	return c.number == unix.SYS_OPENAT && c.args[2]&unix.O_CREAT != 0
}

// file is what a call is about: the path in its second argument, below the directory in its first, or what its first
// argument is open on.
func (p *stepper) file(info callInfo) string {
	name := callNames[info.number]
	switch {
	case name == "" || strings.HasPrefix(name, "set") || name == "capset":
		return ""
	case strings.HasSuffix(strings.TrimSuffix(name, "2"), "at") && name != "fstat" || name == "statx":
		text := p.text(info.args[1])
		if path.IsAbs(text) {
			return text
		}
		return path.Join(p.open(info.args[0]), text)
	}
	return p.open(info.args[0])
}

func (p *stepper) open(fd uint64) string {
	target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.pid, int32(fd))) // "" for AT_FDCWD
	return target
}

// text reads a string of the program.
func (p *stepper) text(at uint64) string {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", p.pid))
	if err != nil {
		return ""
	}
	defer memory.Close()
	buffer := make([]byte, 256)
	n, _ := memory.ReadAt(buffer, int64(at))
	text, _, _ := bytes.Cut(buffer[:n], []byte{0})
	return string(text)
}
