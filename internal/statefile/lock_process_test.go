package statefile_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// starterVariable makes the test binary a process that takes a lock: its value is the lock's path.
const starterVariable = "KEYREEVE_TEST_LOCK"

func TestMain(m *testing.M) {
	if status, child := testenv.Child(); child {
		os.Exit(status)
	}
	if path := os.Getenv(starterVariable); path != "" {
		os.Exit(starter(path))
	}
	os.Exit(m.Run())
}

// starter takes the lock, says what came of it, and holds it until its input ends. An argument is a file that it renames then.
func starter(path string) int {
	_, err := statefile.Lock(path)
	fmt.Println(err)
	if len(os.Args) > 1 {
		go renameOffTheFirst(os.Args[1])
	}
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return 0
}

// renameOffTheFirst renames a file on another thread than the first, which stands for the process in /proc.
func renameOffTheFirst(path string) {
	runtime.LockOSThread()
	if syscall.Gettid() == os.Getpid() {
		go renameOffTheFirst(path)
		select {}
	}
	_ = os.Rename(path, path+".new")
}

// launch starts a starter and returns what it says.
func launch(t *testing.T, path string, arguments ...string) (*exec.Cmd, <-chan string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", arguments...)
	cmd.Env = append(os.Environ(), starterVariable+"="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		said <- strings.TrimSpace(line)
	}()
	return cmd, said
}

// Of many that start at once, one gets the lock.
func TestLockOfManyStarters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var all []<-chan string
	for range 12 {
		_, said := launch(t, path)
		all = append(all, said)
	}
	got := 0
	for _, said := range all {
		switch line := <-said; {
		case line == "<nil>":
			got++
		case !strings.Contains(line, "held by "):
			t.Errorf("a starter said %q", line)
		}
	}
	if got != 1 {
		t.Errorf("%d of 12 have the lock", got)
	}
}

// A holder that was killed, and one thread of which hangs in the kernel, keeps nobody away; one that lives does.
func TestLockOfAZombie(t *testing.T) {
	testenv.Need(t, "root", "fuse")
	path := filepath.Join(t.TempDir(), "lock")
	held := write(t, "text", 0o600)
	stall := testenv.HoldFile(t, testenv.Account{}, held, "")
	defer stall.Let() // before the launched process is waited for
	cmd, said := launch(t, path, held)
	if line := <-said; line != "<nil>" {
		t.Fatal(line)
	}
	await(t, "a thread hangs", func() bool { return states(t, cmd.Process.Pid)["D"] })
	_, err := statefile.Lock(path)
	wantError(t, err, fmt.Sprintf("held by process %d", cmd.Process.Pid))
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "the process is a zombie", func() bool { return states(t, cmd.Process.Pid)["Z"] })
	if !states(t, cmd.Process.Pid)["D"] {
		t.Fatal("no thread hangs any more")
	}
	var lock interface{ Close() error }
	await(t, "the lock is free", func() bool {
		lock, err = statefile.Lock(path)
		return err == nil
	})
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}

// The lock's descriptor is not in the table that all threads share.
func TestLockHasItsOwnTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := statefile.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	shared, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(shared) < 3 {
		t.Fatal(shared, err)
	}
	for _, fd := range shared {
		if target, _ := os.Readlink(fd); target == path {
			t.Errorf("%s is the lock", fd)
		}
	}
}

// states are those of the threads of a process (proc_pid_stat(5)).
func states(t *testing.T, pid int) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		if _, after, ok := strings.Cut(string(text), ") "); ok {
			found[after[:1]] = true
		}
	}
	return found
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}
