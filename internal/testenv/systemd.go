package testenv

import (
	"bytes"
	"cmp"
	"crypto/rand"
	_ "embed" // boot.sh
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemd is where Debian and Fedora have it; it is in no PATH.
const systemd = "/lib/systemd/systemd"

// systemdPatience bounds each wait for something in a booted system. Beside twenty busy processes on one core a boot of a second takes twenty.
const systemdPatience = 2 * time.Minute

//go:embed boot.sh
var bootScript string

// Systemd is a system of a test that systemd has booted: this machine's own programs and files, and what the test changes in them, which
// nobody else sees. Its processes, mounts, users, ports, cgroups and name are apart; kernel, clock and kernel settings are the machine's, and out of its reach.
type Systemd struct {
	tb     testing.TB
	pid    int    // of its first process, as seen from here
	cgroup string // path
}

// StartSystemd boots a system, as far as basic.target, and ends it with the test: by killing its first process, with which the kernel
// kills all others. It needs the parts "root" and "systemd".
func StartSystemd(tb testing.TB) *Systemd {
	tb.Helper()
	Need(tb, "root", "systemd")
	top, err := cgroup2()
	if err != nil {
		tb.Fatal(err)
	}
	s := &Systemd{tb: tb, cgroup: filepath.Join(top, "keyreeve-test-"+strings.ToLower(rand.Text()[:10]))}
	if err := os.Mkdir(s.cgroup, 0o755); err != nil { //nolint:gosec // as all cgroups are
		tb.Fatal(err)
	}
	tb.Cleanup(s.removeCgroup)
	said := s.boot()
	tb.Cleanup(func() {
		if tb.Failed() {
			out, _ := s.Command("journalctl", "--no-pager", "--lines", "300").CombinedOutput() // of what else was there to be said
			tb.Logf("journal of the system:\n%s", out)
		}
	})
	s.Await(func() error {
		out, err := s.Command("systemctl", "is-active", "basic.target").CombinedOutput()
		if err != nil {
			return fmt.Errorf("basic.target: %w: %s%s", err, out, said())
		}
		return nil
	})
	return s
}

// boot starts the first process. What that says is there to be read when it has ended.
func (s *Systemd) boot() (said func() string) {
	s.tb.Helper()
	cmd := exec.Command("/bin/sh", "-euc", `echo 0 >"$1/cgroup.procs"; exec unshare --cgroup /bin/sh -euc "$2"`, "sh", s.cgroup, bootScript) //nolint:gosec,noctx // it ends with the test
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL, // a test binary that is killed cleans nothing up
	}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// It would be killed when the thread ends that started it (prctl(2), PR_SET_PDEATHSIG).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it was killed
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		s.tb.Fatalf("boot a system in namespaces of its own: %v", err)
	}
	s.pid = cmd.Process.Pid
	s.tb.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already
		<-ended
	})
	return func() string {
		select {
		case <-ended:
			return "it ended: " + output.String()
		default:
			return ""
		}
	}
}

// Path is where a path of the system is seen from here. A symbolic link on the way that is absolute leads out of it.
func (s *Systemd) Path(path string) string { return fmt.Sprintf("/proc/%d/root%s", s.pid, path) }

// Put writes a file of root's, and the directories above it.
func (s *Systemd) Put(path string, mode fs.FileMode, text string) {
	s.tb.Helper()
	path = s.Path(path)
	err := os.MkdirAll(filepath.Dir(path), 0o755)                  //nolint:gosec // as the directories of a system are
	err = cmp.Or(err, os.WriteFile(path, []byte(text), mode))      //nolint:forbidigo // a file of the test's system
	if err := errors.Join(err, os.Chmod(path, mode)); err != nil { //nolint:forbidigo // the umask may have taken something
		s.tb.Fatal(err)
	}
}

// Command is a program of the system, run by its root, for some minutes at most; it has none of this process's environment.
func (s *Systemd) Command(program string, arguments ...string) *exec.Cmd {
	inside := []string{
		"--target", strconv.Itoa(s.pid), "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--root", "--wd",
		"/usr/bin/env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "SYSTEMD_COLORS=0",
		"timeout", strconv.Itoa(int(systemdPatience.Seconds())), program,
	}
	return exec.Command("nsenter", append(inside, arguments...)...) //nolint:gosec,noctx // a test runs the programs it names, to their end
}

// Run runs a program that has to succeed, and returns what it printed.
func (s *Systemd) Run(program string, arguments ...string) string {
	s.tb.Helper()
	out, err := s.Command(program, arguments...).CombinedOutput()
	if err != nil {
		s.tb.Fatalf("%s %q: %v\n%s", program, arguments, err, out)
	}
	return string(out)
}

// Property is one of a unit's, as "systemctl show" prints it.
func (s *Systemd) Property(unit, name string) string {
	s.tb.Helper()
	return strings.TrimSpace(s.Run("systemctl", "show", "--property", name, "--value", unit))
}

// Journal is what a unit has logged, as "journalctl -o json" prints it.
func (s *Systemd) Journal(unit string) []map[string]any {
	s.tb.Helper()
	var list []map[string]any
	for line := range strings.Lines(s.Run("journalctl", "--output", "json", "--unit", unit)) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil { // else "-- No entries --"
			list = append(list, entry)
		}
	}
	return list
}

// Await returns when what it asks for again and again is there.
func (s *Systemd) Await(what func() error) {
	s.tb.Helper()
	for end := time.Now().Add(systemdPatience); ; time.Sleep(50 * time.Millisecond) {
		err := what()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.tb.Fatal(err)
		}
	}
}

// removeCgroup removes what systemd has made of its cgroup, whose processes have ended.
func (s *Systemd) removeCgroup() {
	for end := time.Now().Add(systemdPatience); ; time.Sleep(10 * time.Millisecond) {
		var dirs []string
		err := filepath.WalkDir(s.cgroup, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		for _, dir := range slices.Backward(dirs) {
			err = cmp.Or(err, os.Remove(dir)) //nolint:forbidigo // a cgroup is no file
		}
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.tb.Error(err)
			return
		}
	}
}

// cgroup2 is where the second version of cgroups is mounted (proc_pid_mountinfo(5)).
func cgroup2() (string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if before, after, _ := strings.Cut(line, " - "); strings.HasPrefix(after, "cgroup2 ") {
			return strings.Fields(before)[4], nil
		}
	}
	return "", errors.New("cgroup2 is mounted nowhere")
}

// lackSystemd looks for what booting one takes.
func lackSystemd() string {
	if missing := cmp.Or(lackPrograms("systemctl", "journalctl", "unshare", "nsenter", "setpriv", "pivot_root", systemd), lackMount(), lackFileSystem("overlay")); missing != "" {
		return missing
	}
	if _, err := cgroup2(); err != nil {
		return err.Error()
	}
	return ""
}
