package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// childVariable makes a test binary a process of the attacker's: see Child.
const childVariable = "KEYREEVE_TEST_CHILD"

// Child is to be called first thing in TestMain. In a process that Hold or Hang started it does what that wants, and
// returns true; the process then ends with the status.
func Child() (status int, child bool) {
	var err error
	arguments := os.Args[1:]
	switch os.Getenv(childVariable) {
	case "":
		return 0, false
	case "serve":
		err = serveChild(arguments[0], arguments[1], arguments[2:])
	case "write":
		err = holdByWrite(arguments[0], arguments[1])
	case "list":
		err = holdByList(arguments[0], arguments[1])
	case "read":
		err = holdByRead(arguments[0], arguments[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// Stall is a file server of a test's that does not answer.
type Stall struct {
	tb    testing.TB
	cmd   *exec.Cmd
	stdin io.Closer
	mount string // of root's; it keeps the server alive
	once  sync.Once
}

// HoldFile makes a process of a user's hold the kernel's lock of a file (inode.i_rwsem): a write into it that waits for the
// page of a mapping, which is served by a FUSE file system of his own, in his own user and mount namespace. It needs no
// privilege but to open /dev/fuse, which is mode 0666 where users may mount FUSE. When it is let go, text is written to the
// start of the file, and newlines up to a page. Needs the part "fuse".
func HoldFile(tb testing.TB, a Account, file, text string) *Stall {
	tb.Helper()
	return hold(tb, a, "write", file, text)
}

// HoldDir is HoldFile for a directory: a process lists it into such a mapping.
func HoldDir(tb testing.TB, a Account, dir string) *Stall {
	tb.Helper()
	return hold(tb, a, "list", dir, "")
}

// HoldByRead is HoldFile for who may read the file alone: he does so with O_DIRECT, into such a mapping.
func HoldByRead(tb testing.TB, a Account, file string) *Stall {
	tb.Helper()
	return hold(tb, a, "read", file, "")
}

func hold(tb testing.TB, a Account, how, target, text string) *Stall {
	tb.Helper()
	Need(tb, "root", "fuse")
	dir, device := fuseDir(tb)
	s := &Stall{tb: tb, cmd: exec.Command("/proc/self/exe", device, dir, how, target, text)} //nolint:gosec,noctx // this very program
	s.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: a.UID, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: a.GID, Size: 1}},
		Credential:  &syscall.Credential{NoSetGroups: true},
	}
	s.start()
	return s
}

// Hang mounts, by root and for everybody, a FUSE file system on a directory that answers nothing, as a dead file server
// does. When it is let go it shows an empty .ssh/authorized_keys of the user's, read-only. Needs the part "fuse".
func Hang(tb testing.TB, a Account, dir string) *Stall {
	tb.Helper()
	Need(tb, "root", "mount", "fuse")
	_, device := fuseDir(tb)
	s := &Stall{tb: tb, mount: dir, cmd: exec.Command("/proc/self/exe", device, dir, "all", strconv.Itoa(a.UID))} //nolint:gosec,noctx // this very program
	s.start()
	return s
}

// fuseDir makes a directory that everybody may search, and the device in it that everybody may open.
func fuseDir(tb testing.TB) (dir, device string) {
	tb.Helper()
	dir, err := os.MkdirTemp("", "keyreeve-fuse-") //nolint:usetesting // the user must get in
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil { //nolint:forbidigo // the test's own
			tb.Error(err)
		}
	})
	device = filepath.Join(dir, "device")
	var st syscall.Stat_t
	if err := syscall.Stat("/dev/fuse", &st); err != nil {
		tb.Fatal(err)
	}
	for _, err := range []error{
		os.Chmod(dir, 0o755), //nolint:gosec,forbidigo // see above
		syscall.Mknod(device, syscall.S_IFCHR|0o666, int(st.Rdev)), //nolint:gosec // a device number fits
		os.Chmod(device, 0o666),                    //nolint:gosec,forbidigo // as where users may mount FUSE
		os.Mkdir(filepath.Join(dir, "mnt"), 0o755), //nolint:gosec // a mount point
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return dir, device
}

// stallPatience bounds the waiting for a server of a test's.
const stallPatience = 20 * time.Second

// start returns when the server stalls.
func (s *Stall) start() {
	s.tb.Helper()
	s.cmd.Env = append(os.Environ(), childVariable+"=serve")
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		s.tb.Fatal(err)
	}
	s.stdin = stdin
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		s.tb.Fatal(err)
	}
	var said strings.Builder
	s.cmd.Stderr = &said
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(s.end)
	first := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		first <- line
	}()
	select {
	case line := <-first:
		if line != "ready\n" {
			s.wait()
			s.tb.Fatalf("the file server of the test said %q, %s", line, &said)
		}
	case <-time.After(stallPatience):
		s.tb.Fatal("the file server of the test never stalled")
	}
}

// Let lets go whatever waits. It returns when a process that held a lock has ended.
func (s *Stall) Let() {
	_ = s.stdin.Close() // once is enough
	if s.mount == "" {
		s.wait()
	}
}

func (s *Stall) end() {
	_ = s.stdin.Close()
	if s.mount == "" {
		s.wait()
		return
	}
	if err := syscall.Unmount(s.mount, syscall.MNT_DETACH); err != nil {
		s.tb.Error(err)
	}
	// Killed, for it need not end by itself: a namespace that another test has just made has the mount as well.
	s.once.Do(func() { _, _ = s.cmd.Process.Kill(), s.cmd.Wait() })
}

func (s *Stall) wait() {
	s.once.Do(func() {
		ended := time.AfterFunc(stallPatience, func() { _ = s.cmd.Process.Kill() })
		if err := s.cmd.Wait(); err != nil {
			s.tb.Errorf("the file server of the test: %v", err)
		}
		ended.Stop()
	})
}

// serveChild is the server. how says what it serves: a write or a list of its own, or everything.
func serveChild(device, dir string, how []string) error {
	released := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(released)
	}()
	ready := func() { fmt.Println("ready") }
	if how[0] == "all" {
		uid, err := strconv.ParseUint(how[1], 10, 32)
		if err != nil {
			return err
		}
		fd, err := mountFuse(device, dir, "allow_other,default_permissions")
		if err != nil {
			return err
		}
		ready()
		s := fuseServer{device: fd, uid: uint32(uid), stalls: func(uint32) bool { return true }, stalling: released, stalled: func() {}}
		return s.serve()
	}
	dir = filepath.Join(dir, "mnt")
	fd, err := mountFuse(device, dir, "")
	if err != nil {
		return err
	}
	s := fuseServer{
		device: fd, content: []byte(how[2]), stalls: func(opcode uint32) bool { return opcode == fuseRead },
		stalling: released, stalled: ready,
	}
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	// A process of its own: one that is killed keeps its descriptors, the server's among them, until its last thread is gone.
	holder := exec.Command("/proc/self/exe", filepath.Join(dir, ".ssh", "authorized_keys"), how[1]) //nolint:gosec,noctx // this very program, which ends with the server
	holder.Env = append(os.Environ(), childVariable+"="+how[0])
	holder.Stderr = os.Stderr
	if err := holder.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- holder.Wait() }()
	select {
	case err := <-ended:
		return err
	case err := <-served:
		return errors.Join(errors.New("the server ended first"), err)
	}
}

// mapped is the server's page, of which nothing was read yet.
func mapped(page string, protection int) ([]byte, error) {
	file, err := os.Open(page) //nolint:gosec // the server's file
	if err != nil {
		return nil, err
	}
	return syscall.Mmap(int(file.Fd()), 0, fusePage, protection, syscall.MAP_PRIVATE)
}

func holdByWrite(page, target string) error {
	memory, err := mapped(page, syscall.PROT_READ)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(target, os.O_WRONLY, 0) //nolint:gosec // the user's file
	if err != nil {
		return err
	}
	_, err = syscall.Pwrite(int(file.Fd()), memory, 0)
	return err
}

func holdByRead(page, target string) error {
	memory, err := mapped(page, syscall.PROT_READ|syscall.PROT_WRITE)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(target, os.O_RDONLY|syscall.O_DIRECT, 0) //nolint:gosec // the user's file
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_PREAD64, file.Fd(), uintptr(unsafe.Pointer(&memory[0])), fusePage, 0, 0, 0) //nolint:gosec // see holdByList
	if errno != 0 {
		return errno
	}
	return nil
}

func holdByList(page, target string) error {
	memory, err := mapped(page, syscall.PROT_READ|syscall.PROT_WRITE)
	if err != nil {
		return err
	}
	dir, err := os.Open(target) //nolint:gosec // the user's directory
	if err != nil {
		return err
	}
	// Not syscall.ReadDirent, which checks the buffer by touching it.
	_, _, errno := syscall.Syscall(syscall.SYS_GETDENTS64, dir.Fd(), uintptr(unsafe.Pointer(&memory[0])), fusePage) //nolint:gosec // see above
	if errno != 0 {
		return errno
	}
	return nil
}
