package homes

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// newGuarded is newSSH with a door that makes files root's.
func newGuarded(t *testing.T, content string) *home {
	t.Helper()
	h := newHomeFor(t, "guard")
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), content, 0o600, testUID)
	return h
}

// told wants the door to have told n times where files stay their users', and
// returns what it told.
func (h *home) told(n int) string {
	h.Helper()
	told := h.door.(*remoteDoor).told
	if len(told) != n {
		h.Errorf("told %q, want %d times", told, n)
	}
	return strings.Join(told, "\n")
}

// What its user holds from before, a descriptor and a mapping, writes to nothing
// that sshd reads.
func TestGuardKeepsOldWritersOut(t *testing.T) {
	for title, old := range map[string]string{"an unregistered key": bad, "the registered key": good} {
		t.Run(title, func(t *testing.T) {
			h := newGuarded(t, old)
			var fd int
			h.must(h.user(func() (err error) {
				fd, err = unix.Open(h.keys(), unix.O_RDWR, 0)
				return err
			}))
			defer closeFD(fd)
			page, err := unix.Mmap(fd, 0, len(old), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			h.must(err)
			defer unix.Munmap(page)
			file := h.expect(Regular)
			if file.Tidy || !strings.Contains(file.Detail, "root is to own it") {
				t.Errorf("tidy %v: %s", file.Tidy, file.Detail)
			}
			h.enforce(file)
			copy(page, "SSH-ED25519")
			h.must(unix.Msync(page, unix.MS_SYNC))
			_, err = unix.Pwrite(fd, []byte(strings.ToUpper(bad)), 0)
			h.must(err)
			h.settled()

			version := h.read().Version
			h.must(h.door.Replace(h.Account, keyPath, version, []byte(good)))
			if h.read().Version != version {
				t.Error("a file that is right was replaced")
			}
			err = h.user(func() error {
				_, err := unix.Open(h.keys(), unix.O_WRONLY, 0)
				return errors.Join(err, os.Chmod(h.keys(), 0o666), os.Truncate(h.keys(), 0))
			})
			if !errors.Is(err, unix.EACCES) || !errors.Is(err, unix.EPERM) {
				t.Errorf("the user writes a file of root's: %v", err)
			}
			h.settled()
			h.must(h.user(func() error {
				return errors.Join(os.Rename(h.keys(), h.path("away")), os.Remove(h.path("away")))
			}))
			h.enforce(h.expect(Missing))
			h.told(0)
		})
	}
}

// Root's rights end where the user's do: what he cannot write, root does not write
// for him; and a .ssh with the sticky bit takes no CAP_FOWNER.
func TestGuardDoesNoMoreThanTheUserCould(t *testing.T) {
	t.Run("sticky .ssh", func(t *testing.T) {
		h := newGuarded(t, bad)
		h.must(os.Chmod(h.path(".ssh"), 0o700|os.ModeSticky))
		h.enforce(h.expect(Regular))
		h.enforce(h.expect(Regular))
		h.told(0)
	})
	t.Run("sticky .ssh of root, for his group", func(t *testing.T) {
		h := newGuarded(t, bad)
		h.must(os.Chown(h.path(".ssh"), 0, testUID))
		h.must(os.Chmod(h.path(".ssh"), 0o770|os.ModeSticky))
		h.must(h.door.Replace(h.Account, keyPath, h.expect(Regular).Version, []byte(good)))
		if got := h.content(h.keys()); got != good {
			t.Errorf("the file holds %q", got)
		}
	})
	t.Run(".ssh of root", func(t *testing.T) {
		h := newGuarded(t, bad)
		h.must(os.Chown(h.keys(), 0, 0))
		h.must(os.Chmod(h.keys(), 0o644))
		h.must(os.Chown(h.path(".ssh"), 0, 0))
		h.must(os.Chmod(h.path(".ssh"), 0o755))
		h.enforce(h.expect(Regular))
		if got := h.content(h.aside("", ".ssh") + "/" + name); got != bad {
			t.Errorf("root's file holds %q", got)
		}
	})
}

// Where root has no place, files stay their users', and that is told once.
func TestGuardWithoutAPlace(t *testing.T) {
	for title, refusal := range map[string]struct {
		call  string
		errno unix.Errno
		tells string
		bob   bool // another user's file is to be root's
	}{
		"no unnamed files":             {"refuse unnamed", unix.EOPNOTSUPP, "on the file system of ", false}, // as NFS has it
		"one user's files only":        {"refuse links", unix.EPERM, "the files of ", true},
		"a file system without uid 0":  {"refuse links", unix.EOVERFLOW, "the files of ", true},
		"a policy that keeps root out": {"refuse links", unix.EACCES, "the files of ", true},
	} {
		t.Run(title, func(t *testing.T) {
			h := newGuarded(t, bad)
			bob := h.neighbour("bob", bad)
			h.setUp(refusal.call, int(refusal.errno))
			h.guarded = false // what settled wants
			h.enforce(h.expect(Regular))
			h.write(h.keys(), bad, 0o600, testUID)
			h.enforce(h.expect(Regular))
			if told := h.told(1); !strings.Contains(told, refusal.tells+h.Home) {
				t.Errorf("told: %s", told)
			}
			if file := bob.expect(Regular); file.Tidy == refusal.bob {
				t.Errorf("another user's file: tidy %v, %s", file.Tidy, file.Detail)
			}
			h.told(1)
			if entries, _ := os.ReadDir(h.Home); len(entries) != 1 {
				t.Errorf("in the home: %v", entries)
			}
		})
	}
}

// What its user can bring about for a moment is no reason to leave a file his.
func TestGuardIsNotTalkedOutOfIt(t *testing.T) {
	frozen := newGuarded(t, bad)
	frozen.setUp("refuse links", int(unix.EROFS)) // as of a subvolume that was read-only for a moment
	if err := frozen.door.Replace(frozen.Account, keyPath, frozen.expect(Regular).Version, []byte(good)); !errors.Is(err, unix.EROFS) {
		t.Errorf("Replace: %v", err)
	}
	frozen.told(0)

	h := newGuarded(t, bad)
	h.setUp("refuse links", int(unix.EXDEV)) // as between two projects of a quota
	h.must(h.door.Replace(h.Account, keyPath, h.expect(Regular).Version, []byte(good)))
	if file := h.expect(Regular); file.Tidy || string(file.Data) != good {
		t.Errorf("tidy %v, so the file is no longer to be root's, and holds %q", file.Tidy, file.Data)
	}
	h.told(0)

	ssh, err := unix.Open(h.path(".ssh"), unix.O_PATH, 0)
	h.must(err)
	defer closeFD(ssh)
	h.must(os.Remove(h.keys()))
	h.must(os.Remove(h.path(".ssh")))
	fd, err := unnamed(handle{fd: ssh})
	closeFD(fd)
	if err != nil && !errors.Is(err, unix.ENOENT) { // tmpfs makes one all the same
		t.Errorf("a file in a directory that was removed: %v", err)
	}
}

func TestGuardNeedsItsRight(t *testing.T) {
	testenv.Need(t, "root")
	if _, err := newGuard(testUID, nil); !errors.Is(err, ErrRights) {
		t.Errorf("for a user: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), serveDoor+"=guard")
	var said strings.Builder
	child.Stderr = &said
	err = testenv.Confined(child.Run, confinement(t, "unit")...)
	if err == nil || !strings.Contains(said.String(), "CAP_DAC_OVERRIDE") {
		t.Errorf("with the capabilities of the unit: %v, %s", err, &said)
	}
}
