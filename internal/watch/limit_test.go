package watch

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// inNamespace runs a test once more as root of a user namespace, whose limits are its own (namespaces(7), /proc/sys/user), and
// reports whether this is that process.
func inNamespace(t *testing.T) bool {
	t.Helper()
	testenv.Need(t, "root", "fuse") // that is, a user namespace
	const marker = "KEYREEVE_TEST_NAMESPACE"
	if os.Getenv(marker) != "" {
		return true
	}
	child := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), marker+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{Size: 1}},
	}
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// The kernel has no watch left: the error says so and names the directory, and what is watched already stays so. When others are
// dropped there is one again.
func TestLimitOfTheKernel(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := newSite(t)
	s.must(os.WriteFile("/proc/sys/user/max_inotify_watches", []byte("4"), 0))
	s.user("bob")
	s.user("carol")
	wanted := dirs(s.mkdir("alice"), s.mkdir("alice", ".ssh"))
	if err := s.Set("alice", nil, nil, wanted); !errors.Is(err, ErrNoWatch) || !strings.Contains(err.Error(), s.path("alice", ".ssh")) {
		t.Errorf("Set: %v", err)
	}
	s.touch("bob", ".ssh", "k")
	s.touch("carol", ".ssh", "k")
	s.wait("bob", "carol")
	s.Drop("bob")
	s.must(s.Set("alice", nil, nil, wanted))
	s.touch("alice", ".ssh", "k")
	s.wait("alice")
}

// It has no instance of inotify left, or the process no descriptor.
func TestNewWithoutAnInstance(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	refused := func(title string) {
		t.Helper()
		if w, err := New(); !errors.Is(err, unix.EMFILE) {
			t.Errorf("%s: New: %v, %v", title, w, err)
		}
	}
	s := &site{TB: t}
	var old unix.Rlimit
	s.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	s.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}))
	refused("no descriptor")
	s.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	s.must(os.WriteFile("/proc/sys/user/max_inotify_instances", []byte("0"), 0))
	refused("no instance")
}
