package homes

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// procfs stands for a FUSE mount of the user's: both are foreign, and both come
// after the table of mounts was read.
func TestForeignMount(t *testing.T) {
	testenv.Need(t, "root", "mount")
	mount := func(h *home, path string) {
		h.must(unix.Mount("proc", path, "proc", 0, ""))
		h.Cleanup(func() { h.must(unix.Unmount(path, unix.MNT_DETACH)) })
	}
	t.Run("on .ssh", func(t *testing.T) {
		h := newSSH(t, bad)
		mount(h, h.path(".ssh"))
		file := h.expect(BadDir)
		if err := h.door.Replace(h.Account, name, file.Version, []byte(good)); !errors.Is(err, unix.EBUSY) {
			t.Errorf("Replace: %v", err)
		}
	})
	t.Run("on the home", func(t *testing.T) {
		h := newSSH(t, bad)
		mount(h, h.Home)
		if _, err := h.door.Read(h.Account, name); !errors.Is(err, ErrRefused) {
			t.Errorf("Read: %v", err)
		}
	})
	t.Run("behind a link", func(t *testing.T) {
		h := newHome(t)
		h.mkdir(h.path("d"), 0o755, testUID)
		mount(h, h.path("d"))
		h.link("d", h.path(".ssh"), testUID)
		h.enforce(h.expect(BadDir))
	})
}

func TestBindMountInTheWay(t *testing.T) {
	testenv.Need(t, "root", "mount")
	h := newSSH(t, good)
	h.write(h.base+"/else", bad, 0o600, testUID)
	h.must(unix.Mount(h.base+"/else", h.keys(), "", unix.MS_BIND, ""))
	t.Cleanup(func() { h.must(unix.Unmount(h.keys(), unix.MNT_DETACH)) })
	if err := h.door.Replace(h.Account, name, h.read().Version, []byte(good)); !errors.Is(err, unix.EBUSY) {
		t.Errorf("Replace: %v", err)
	}
}
