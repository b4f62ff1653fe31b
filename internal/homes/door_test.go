package homes

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// It runs in a process of its own, with the groups a login of root's has.
func TestAsHasTheUsersRightsOnly(t *testing.T) {
	h := newHome(t)
	if groups, err := unix.Getgroups(); err != nil || len(groups) != 2 {
		self, err := os.Executable()
		h.must(err)
		child := exec.CommandContext(t.Context(), self, "-test.run=^TestAsHasTheUsersRightsOnly$")
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{0, 4}}}
		if out, err := child.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	h.write(h.base+"/root", "secret", 0o600, 0)
	h.write(h.base+"/other", "secret", 0o600, otherUID)
	h.write(h.base+"/group", "secret", 0o640, 0) // group 0 is root's own
	for _, uid := range []int{testUID, 0} {
		a := h.Account
		a.UID, a.GID = uid, testUID
		h.must(h.inside().As(a, func() error {
			if _, err := os.ReadFile(h.base + "/other"); !errors.Is(err, os.ErrPermission) {
				t.Errorf("uid %d read another's file: %v", uid, err)
			}
			if _, err := os.ReadFile(h.base + "/root"); uid != 0 && !errors.Is(err, os.ErrPermission) {
				t.Errorf("uid %d read root's file: %v", uid, err)
			}
			if _, err := os.ReadFile(h.base + "/group"); uid != 0 && !errors.Is(err, os.ErrPermission) {
				t.Errorf("uid %d read as root's group: %v", uid, err)
			}
			if err := os.Chown(h.base+"/other", 0, 0); !errors.Is(err, os.ErrPermission) {
				t.Errorf("uid %d chowned: %v", uid, err)
			}
			if groups, err := unix.Getgroups(); err != nil || len(groups) != 0 {
				t.Errorf("uid %d has groups %v %v", uid, groups, err)
			}
			return nil
		}))
	}
}

func TestOtherThreadsStayRoot(t *testing.T) {
	h := newHome(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			a := h.Account
			a.UID = testUID + i
			for range 20 {
				err := h.inside().As(a, func() error {
					uid, err := unix.SetfsuidRetUid(-1)
					if err == nil && uid != a.UID {
						t.Errorf("fsuid %d inside, want %d", uid, a.UID)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
				runtime.LockOSThread()
				if uid, err := unix.SetfsuidRetUid(-1); uid != 0 || err != nil {
					t.Errorf("fsuid %d outside: %v", uid, err)
				}
				runtime.UnlockOSThread()
			}
		})
	}
	wg.Wait()
}

// /proc/PID/status is that of the first thread: it must never take an identity.
func TestFirstThreadStaysRoot(t *testing.T) {
	h := newHome(t)
	for range 200 {
		h.must(h.inside().As(h.Account, func() error {
			if unix.Gettid() == os.Getpid() {
				t.Error("the first thread does the work")
			}
			return nil
		}))
	}
	if text := h.content("/proc/self/status"); !strings.Contains(text, "Uid:\t0\t0\t0\t0\n") {
		t.Error("the process shows another identity")
	}
}

func TestAsReportsHowItsWorkEnded(t *testing.T) {
	h := newHome(t)
	if err := h.inside().As(h.Account, func() error { return os.ErrDeadlineExceeded }); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error: %v", err)
	}
	if err := h.inside().As(h.Account, func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("Goexit is no success")
	}
	if err := h.inside().As(h.Account, func() error { panic("fault") }); err == nil {
		t.Error("a panic is no success")
	}
}

func TestProcessOfAUserServesItsOwnUID(t *testing.T) {
	h := newSSH(t, bad)
	table, err := openMounts()
	h.must(err)
	defer table.close()
	own := &Door{own: os.Geteuid(), mounts: table}
	if _, err := own.Read(h.Account, keyPath); !errors.Is(err, ErrRefused) {
		t.Errorf("Read of another uid: %v", err)
	}
	own.own = testUID
	h.must(h.inside().As(h.Account, func() error {
		file, err := own.Read(h.Account, keyPath)
		if err != nil {
			return err
		}
		return own.Replace(h.Account, keyPath, file.Version, []byte(good))
	}))
	h.settled()
}

// openAs opens a Door in a process of its own, which start begins and prepare changes, and wants an error.
func openAs(t *testing.T, start func(func() error) error, prepare func() error, want string) {
	t.Helper()
	testenv.Need(t, "root")
	const marker = "KEYREEVE_TEST_OPEN"
	if os.Getenv(marker) != "" {
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("Open: %v, want an error with %q", err, want)
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self, "-test.v", "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), marker+"=1")
	var out strings.Builder
	child.Stdout, child.Stderr = &out, &out
	if err := start(child.Start); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err != nil || !strings.Contains(out.String(), "--- PASS") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestOpenWithoutCapabilitiesFails(t *testing.T) {
	for title, rights := range map[string][]int{"CAP_SETGID": {unix.CAP_SETUID}, "CAP_SETUID": {unix.CAP_SETGID}} {
		t.Run(title, func(t *testing.T) {
			confined := func(start func() error) error { return testenv.Confined(start, rights...) }
			openAs(t, confined, func() error { return nil }, "homes: start-up check of the identity change: ")
		})
	}
}

// A system on which a thread keeps root's rights, and says that it has none: the test of them by use finds it.
func TestOpenWhereNobodyCanReadFails(t *testing.T) {
	keep := func(start func() error) error {
		return testenv.OnThread(func() error { // setfsuid(2) takes no capability then (capabilities(7), SECBIT_NO_SETUID_FIXUP)
			return errors.Join(unix.Prctl(unix.PR_SET_SECUREBITS, 1<<2, 0, 0, 0), start())
		})
	}
	lie := func() error { return errors.Join(refuse(unix.SYS_CAPSET, 0), refuse(unix.SYS_CAPGET, 0)) }
	openAs(t, keep, lie, "nobody could open a file that is root's alone")
}

func TestMountTable(t *testing.T) {
	text := "22 27 0:21 / /proc rw,relatime - proc proc rw\n" +
		"23 27 0:22 / /home rw shared:1 master:2 - nfs4 server:/home rw,vers=4.2\n" +
		"24 27 0:23 / /home/a/m rw,nosuid - fuse.sshfs a@b: rw,user_id=1000,group_id=1000,allow_other\n" +
		"25 27 0:24 / /gluster rw - fuse.glusterfs vol rw,user_id=0,group_id=0,allow_other\n" +
		"26 27 0:25 / /home/b/m rw - fuse b rw,user_id=0\n" +
		"27 27 0:26 / /home/c/m rw - fuse c rw\n" +
		"28 27 8:1 / /usb rw - fuseblk /dev/sda1 rw,user_id=10\n" +
		"29 27 0:28 / /fusectl rw - fusectl fusectl rw\n" +
		"30 27 0:29 / /home/d/m rw - fuse x\ruser_id=0 rw,user_id=1000,allow_other\n" +
		"31 27 0:30 / /home/e/m rw - fuse  rw,user_id=1000\n" +
		"broken\n"
	foreign, _ := parseMounts([]byte(text))
	want := map[uint64]bool{unix.Mkdev(0, 21): true, unix.Mkdev(0, 23): true, unix.Mkdev(0, 26): true, unix.Mkdev(8, 1): true, unix.Mkdev(0, 29): true, unix.Mkdev(0, 30): true}
	for dev := range want {
		if !foreign[dev] {
			t.Errorf("device %#x is not foreign", dev)
		}
	}
	if len(foreign) != len(want) {
		t.Errorf("foreign: %v", foreign)
	}
}

func TestAccountCheck(t *testing.T) {
	fine := Account{Name: "a_b.c-d9$", UID: 1000, GID: 100, Home: "/home/a b/ü"}
	if err := fine.Check(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"A", "JSmith", "s4711", "4711", "Ada.L", "ada@EXAMPLE.ORG", "HOST$", "a$$", "_a", strings.Repeat("a", 255)} {
		a := fine
		a.Name = name
		if err := a.Check(); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"", "$", "-a", "+a", "~a", "@a", ".", "..", ".a", "a b", "a\tb", "a/b", "a:b", "a,b", "a\n", "root\x00", "a\x7f", "é", strings.Repeat("a", 256), "a*", "a?", "a[b]", `a\b`, "a%u",
		"a;b", "a'", `a"`, "a`", "a(b)", "a!", "a#", "a=b", "a|b", "a&b", "a<b",
	} {
		a := fine
		a.Name = name
		if err := a.Check(); !errors.Is(err, ErrRefused) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for _, id := range []int{-1, 1<<32 - 1, 1 << 32, 1 << 40} {
		a, b := fine, fine
		a.UID, b.GID = id, id
		if a.Check() == nil || b.Check() == nil {
			t.Errorf("id %d is fine", id)
		}
	}
	for _, path := range []string{"", "/", "home", "//home", "/home/", "/home/../etc", "/h/*", "/h/?", "/h/[a]", `/h\a`, "/h/%u", "/h\n", "/h\x00", "/h\x7f", "/" + strings.Repeat("a", 1024)} {
		a := fine
		a.Home = path
		if err := a.Check(); !errors.Is(err, ErrRefused) {
			t.Errorf("home %q: %v", path, err)
		}
	}
}

func TestStatesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for state := Missing; state <= BadDir; state++ {
		seen[state.String()] = true
	}
	if len(seen) != 7 || State(99).String() != "state-99" {
		t.Errorf("names: %v", seen)
	}
}
