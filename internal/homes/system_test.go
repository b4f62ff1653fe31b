package homes

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// uids of this run's own; nobody else has them, not even another run of this test.
func freeUID(n int) int { return 1<<30 + os.Getpid()<<6 + n }

func TestActiveUIDs(t *testing.T) {
	testenv.Need(t, "root")
	dir, err := os.MkdirTemp("", "keyreeve-uids-") //nolint:usetesting // others must get in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	alice, mallory := freeUID(1), freeUID(2)
	of := func(uid int) *syscall.SysProcAttr {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: testUID, NoSetGroups: true}}
	}
	setuid := filepath.Join(dir, "sleep")
	copyProgram(t, "sleep", setuid)
	for _, err := range []error{os.Chmod(dir, 0o755), os.Chown(setuid, alice, testUID), os.Chmod(setuid, 0o755|os.ModeSetuid)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	container := func(outside ...int) *syscall.SysProcAttr {
		attr := of(0)
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: testUID, ContainerID: testUID, Size: 1}}
		for i, id := range outside {
			attr.UidMappings = append(attr.UidMappings, syscall.SysProcIDMap{ContainerID: 10 * i, HostID: id, Size: 10})
		}
		return attr
	}
	for name, test := range map[string]struct {
		program string
		attr    *syscall.SysProcAttr
		active  []int
		idle    []int
	}{
		"a process":                      {"sleep", of(alice), []int{alice}, []int{mallory}},
		"a setuid program":               {setuid, of(mallory), []int{alice, mallory}, nil},
		"what a namespace lets it be":    {"sleep", container(freeUID(0), freeUID(20)), []int{freeUID(0), freeUID(9), freeUID(20), freeUID(29)}, []int{freeUID(0) - 1, freeUID(10), freeUID(19), freeUID(30)}},
		"a namespace that root has made": {"sleep", container(0, freeUID(20)), []int{0}, []int{freeUID(20)}},
	} {
		t.Run(name, func(t *testing.T) {
			wants := func(when string, uids []int, want bool) {
				t.Helper()
				active, err := ActiveUIDs()
				for _, uid := range uids {
					if err != nil || active(uid) != want {
						t.Errorf("%s: uid %d is not %v, %v", when, uid, want, err)
					}
				}
			}
			wants("before", test.idle, false)
			sleeper := exec.CommandContext(t.Context(), test.program, "600")
			sleeper.SysProcAttr = test.attr
			if err := sleeper.Start(); err != nil {
				t.Fatal(err)
			}
			wants("with it", test.active, true)
			wants("with it", test.idle, false)
			_ = sleeper.Process.Kill()
			_ = sleeper.Wait()
			if test.active[0] != 0 {
				wants("after it", test.active, false)
			}
		})
	}
}

func copyProgram(t *testing.T, name, to string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(file, from)
	for _, err := range []error{err, file.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Many maps of one user's cost a sorting, not a search through all of them for each account.
func TestAmong(t *testing.T) {
	in := among([]idRange{{7, 9}, {1, 2}, {3, 4}, {8, 8}, {10, 12}, {20, 20}})
	for uid := range 23 {
		if want := uid >= 1 && uid <= 4 || uid >= 7 && uid <= 12 || uid == 20; in(uid) != want {
			t.Errorf("%d: %v", uid, !want)
		}
	}
	if among(nil)(0) {
		t.Error("somebody is active where nobody is")
	}
}

// BenchmarkActiveUIDs is what a fast check costs beside 2,000 processes.
func BenchmarkActiveUIDs(b *testing.B) {
	for range 2000 {
		sleeper := exec.CommandContext(b.Context(), "sleep", "600")
		if err := sleeper.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = sleeper.Process.Kill()
			_ = sleeper.Wait()
		})
	}
	for b.Loop() {
		if _, err := ActiveUIDs(); err != nil {
			b.Fatal(err)
		}
	}
}
