package homes

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// loop makes its user do something to a directory again and again, on some threads, until it is ended.
func (h *home) loop(dir string, deed func(fd, n int)) (end func()) {
	h.Helper()
	var over atomic.Bool
	var threads sync.WaitGroup
	for range 3 {
		threads.Go(func() {
			_ = h.user(func() error {
				fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
				if err != nil {
					return err
				}
				defer closeFD(fd)
				for n := 0; !over.Load(); n++ {
					deed(fd, n)
				}
				return nil
			})
		})
	}
	end = sync.OnceFunc(func() { over.Store(true); threads.Wait() })
	h.Cleanup(end)
	return end
}

// rounds puts the unregistered key back, as its user would, and takes it away as a look does: by a Seize where it does not keep still.
func (h *home) rounds(n int, between func()) {
	h.Helper()
	for range n {
		err := ErrChanged
		for tries := 0; err != nil && tries < 5; tries++ {
			var file File
			if file, err = h.door.Read(h.Account, keyPath); err == nil {
				err = h.door.Replace(h.Account, keyPath, file.Version, []byte(good))
			}
		}
		if err != nil {
			err = h.door.Seize(h.Account, keyPath, []byte(good))
		}
		if text, _ := os.ReadFile(h.keys()); string(text) == bad {
			h.Fatalf("the unregistered key is in force: %v", err)
		}
		between()
	}
}

// A user who changes the project of .ssh in a loop keeps no key by that, and talks root out of no file.
func TestProjectsThatKeepChanging(t *testing.T) {
	disk := onDisk(t, "xfs", 300<<20)
	for title, mode := range map[string]string{"user": os.Getenv(doorMode), "root": "guard"} {
		t.Run(title, func(t *testing.T) {
			h := disk.other(t, title)
			h.door, h.guarded = openDoor(t, mode), mode == "guard"
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			h.write(h.keys(), bad, 0o600, testUID)
			h.project(h.path(".ssh"), 8, true)
			end := h.loop(h.path(".ssh"), func(fd, n int) {
				x := fsxattr{flags: bequeaths, project: uint32(100 + n%1000)}
				_ = ioctl(fd, fsSetXattr, &x)
			})
			h.rounds(20, func() {
				_ = h.user(func() error {
					_ = os.Remove(h.keys())
					return os.WriteFile(h.keys(), []byte(bad), 0o600)
				})
			})
			end()
			h.must(h.door.Seize(h.Account, keyPath, []byte(good)))
			h.holds(good)
			if h.guarded {
				h.told(0)
			}
		})
	}
}

// Nor does one who makes .ssh, a subvolume, read-only in a loop.
func TestSubvolumeThatIsFrozenAgain(t *testing.T) {
	disk := onDisk(t, "btrfs", 128<<20)
	h := disk.other(t, "carol")
	h.door, h.guarded = openDoor(t, "guard"), true
	h.subvolume(h.path(".ssh"), name)
	for range 30 {
		file := h.read()
		end := h.loop(h.path(".ssh"), func(fd, _ int) {
			flags := subvolumeOnly
			_ = ioctl(fd, subvolumeSet, &flags)
		})
		_ = h.door.Replace(h.Account, keyPath, file.Version, []byte(good))
		end()
		h.told(0)
	}
}

// The user cannot make the door believe that modes cannot be changed.
func TestModesThatAreChangedBack(t *testing.T) {
	h := newSSH(t, good)
	end := h.loop(h.path(".ssh"), func(fd, _ int) { _ = unix.Fchmod(fd, 0o755) })
	for range 200 {
		file := h.read()
		if file.Tidy && file.Version.ssh.perm() != 0o700 {
			t.Fatalf(".ssh of mode %04o is tidy", file.Version.ssh.perm())
		}
		_ = h.door.Replace(h.Account, keyPath, file.Version, []byte(good))
	}
	end()
	for _, mode := range []os.FileMode{0o755, 0o300} {
		h.must(os.Chmod(h.path(".ssh"), mode))
		if h.read().Tidy {
			t.Errorf(".ssh of mode %04o is tidy", mode)
		}
	}
	h.enforce(h.read())
}

// A .ssh whose user takes the right to write to it away just before the rename is opened up again.
func TestDirectoryThatIsShutAgain(t *testing.T) {
	h := newSSH(t, bad)
	version := h.read().Version
	h.must(h.user(func() error {
		s, err := h.spot(keyPath)
		j := job{effort: new(effort), door: h.inside(), account: h.Account, spot: s, before: version, after: []byte(good), uid: testUID, at: none()}
		defer j.end()
		if err := errors.Join(err, j.find(), j.prepare()); err != nil {
			return err
		}
		temp, err := j.stage()
		if err != nil {
			return err
		}
		defer temp.discard()
		if err := os.Chmod(h.path(".ssh"), 0o500); err != nil {
			return err
		}
		return j.settleIn(temp)
	}))
	h.settled()
}
