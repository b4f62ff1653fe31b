package homes

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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
		h.told(0)
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
	t.Run("the folder is root's alone", func(t *testing.T) {
		h := newGuarded(t, bad)
		h.enforce(h.read())
		info, err := os.Stat(filepath.Join(h.base, stageName))
		h.must(err)
		if info.Mode() != os.ModeDir|0o700 {
			t.Errorf("the staging folder has mode %v", info.Mode())
		}
	})
}

// Where root has no place, files stay their users', and that is told. A look
// changes nothing.
func TestGuardWithoutAPlace(t *testing.T) {
	spoils := map[string]func(h *home){
		"everybody may write above": func(h *home) { h.must(os.Chmod(h.base, 0o777)) },
		"the user owns the mount": func(h *home) {
			h.must(unix.Mount(h.Home, h.Home, "", unix.MS_BIND, ""))
			h.Cleanup(func() { h.must(unix.Unmount(h.Home, unix.MNT_DETACH)) })
		},
		"root may not write":    func(h *home) { h.must(os.Chmod(h.base, 0o555)) }, // as root_squash has it
		"a link":                func(h *home) { h.link("nowhere", filepath.Join(h.base, stageName), 0) },
		"a stranger's folder":   func(h *home) { h.mkdir(filepath.Join(h.base, stageName), 0o700, otherUID) },
		"a folder that is open": func(h *home) { h.mkdir(filepath.Join(h.base, stageName), 0o755, 0) },
	}
	for title, spoil := range spoils {
		t.Run(title, func(t *testing.T) {
			h := newGuarded(t, bad)
			spoil(h)
			h.guarded = false // what settled wants
			if file := h.expect(Regular); !file.Tidy {
				t.Errorf("not tidy: %s", file.Detail)
			}
			h.told(1)
			h.enforce(h.expect(Regular))
			h.write(h.keys(), bad, 0o600, testUID)
			h.enforce(h.expect(Regular))
			if told := h.told(1); !strings.Contains(told, "on the file system of "+h.Home) {
				t.Errorf("told: %s", told)
			}
			if entries, _ := os.ReadDir(h.Home); len(entries) != 1 {
				t.Errorf("in the home: %v", entries)
			}
		})
	}
	t.Run("a look makes none", func(t *testing.T) {
		h := newGuarded(t, good)
		if file := h.expect(Regular); file.Tidy {
			t.Error("tidy")
		}
		if exists(filepath.Join(h.base, stageName)) {
			t.Error("a look made the staging folder")
		}
	})
}

// A project quota, for one, lets no file of another project in (EXDEV). That is
// one user's affair.
func TestGuardWhereRootGetsNoFileIn(t *testing.T) {
	h := newGuarded(t, bad)
	h.setUp("refuse moves", int(unix.EXDEV))
	h.guarded = false
	h.enforce(h.expect(Regular))
	if told := h.told(1); !strings.Contains(told, "the files of "+h.Home) {
		t.Errorf("told: %s", told)
	}
	h.write(h.keys(), bad, 0o600, testUID)
	h.enforce(h.expect(Regular))
	h.told(1)
	h.Home, h.UID, h.GID = h.base+"/bob", otherUID, otherUID
	h.mkdir(h.Home, 0o755, otherUID)
	h.mkdir(h.path(".ssh"), 0o700, otherUID)
	h.write(h.keys(), bad, 0o600, otherUID)
	if h.expect(Regular).Tidy {
		t.Error("another user's file is no longer to be root's")
	}
}

// A crash leaves new files, and old ones, in the staging folder.
func TestGuardLeftovers(t *testing.T) {
	h := newGuarded(t, bad)
	h.enforce(h.read())
	folder := filepath.Join(h.base, stageName)
	kept := filepath.Join(folder, "alice.keyreeve-aside-"+strings.Repeat("A", 26))
	for _, uid := range []int{0, testUID, otherUID} {
		h.write(filepath.Join(folder, tempName()), bad, 0o600, uid)
	}
	h.write(kept, bad, 0o600, testUID)
	h.setUp("grace", 0)
	h.write(h.path("new"), bad, 0o600, testUID)
	h.must(os.Rename(h.path("new"), h.keys()))
	h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
	entries, err := os.ReadDir(folder)
	h.must(err)
	if len(entries) != 1 || !exists(kept) {
		t.Errorf("in the staging folder: %v", entries)
	}
}

// What its user gives no place back to is kept, and the error says where.
func TestGuardKeepsWhatItCannotGiveBack(t *testing.T) {
	h := newGuarded(t, bad)
	h.enforce(h.read())
	door, err := Open(Options{Guard: true})
	h.must(err)
	defer door.Close()
	h.must(os.Remove(h.keys()))
	ssh, err := unix.Open(h.path(".ssh"), unix.O_PATH, 0)
	h.must(err)
	defer closeFD(ssh)
	h.must(os.Remove(h.path(".ssh")))
	folder, err := unix.Open(filepath.Join(h.base, stageName), unix.O_PATH, 0)
	h.must(err)
	defer closeFD(folder)
	h.write(filepath.Join(h.base, stageName, "x"), bad, 0o600, testUID)
	j := job{effort: new(effort), door: door, account: h.Account, spot: spot{name: name}}
	err = j.giveBack(&temp{dir: handle{fd: folder}, to: ssh, name: "x", root: true, effort: new(effort)})
	entries, _ := os.ReadDir(filepath.Join(h.base, stageName))
	if len(entries) != 1 || err == nil || !strings.Contains(err.Error(), filepath.Join(h.base, stageName, entries[0].Name())) ||
		!strings.HasPrefix(entries[0].Name(), "alice.keyreeve-aside-") {
		t.Errorf("%v: %v", entries, err)
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
