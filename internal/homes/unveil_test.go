package homes

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnveil(t *testing.T) {
	h := newSSH(t, good)
	door := h.inside()
	h.mkdir(h.base+"/other", 0o300, otherUID)
	h.mkdir(h.base+"/root", 0o300, 0)
	h.mkdir(h.path("open"), 0o500, testUID)
	h.mkdir(h.path("shut"), 0o000, testUID)
	h.mkdir(h.path("shut", "in"), 0o300, testUID)
	h.link(h.base+"/root", h.path("link"), testUID)
	h.write(h.path("file"), "", 0o300, testUID)
	mode := func() os.FileMode {
		info, err := os.Stat(h.Home)
		h.must(err)
		return info.Mode().Perm()
	}
	failed := errors.New("fn failed")
	for _, m := range []os.FileMode{0o300, 0o311, 0o000} {
		h.must(os.Chmod(h.Home, m))
		err := door.Unveil(h.Account, h.Home, func() error {
			fd, err := unix.Open(h.Home, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			closeFD(fd)
			return errors.Join(err, failed)
		})
		if !errors.Is(err, failed) || errors.Is(err, unix.EACCES) || mode() != m {
			t.Errorf("mode %v: %v, afterwards %v", m, err, mode())
		}
	}
	h.must(os.Chmod(h.Home, 0o300))
	if err := door.Unveil(h.Account, h.Home, func() error { return os.Chmod(h.Home, 0o711) }); err != nil || mode() != 0o711 {
		t.Errorf("changed meanwhile: %v, %v", err, mode())
	}
	for path, want := range map[string]error{
		h.base + "/other": ErrRefused, h.base + "/root": ErrRefused, h.path("open"): ErrRefused, h.path("file"): ErrRefused,
		h.path("link"): errLink, h.path("shut", "in"): unix.EACCES, h.path("gone"): unix.ENOENT,
	} {
		err := door.Unveil(h.Account, path, func() error { t.Errorf("%s was unveiled", path); return nil })
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}
