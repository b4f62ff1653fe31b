package homes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// other is a home on the same file system.
func (h *home) other(t *testing.T, name string) *home {
	t.Helper()
	n := *h
	n.TB = t
	n.Home = strings.TrimSuffix(h.Home, "/alice") + "/" + name
	n.mkdir(n.Home, 0o755, testUID)
	return &n
}

// project puts what its user owns into a project of a quota, as chattr(1) -p does, and
// lets a directory bequeath it (+P).
func (h *home) project(path string, id uint32, on bool) {
	h.Helper()
	h.must(h.user(func() error {
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer closeFD(fd)
		var x fsxattr
		if err := ioctl(fd, fsGetXattr, &x); err != nil {
			return err
		}
		x.project = id
		if on {
			x.flags |= bequeaths
		}
		return ioctl(fd, fsSetXattr, &x)
	}))
}

// Nothing keeps its place by way of projects, neither what its user put into one nor
// what was there before his home got one.
func TestProjects(t *testing.T) {
	disk := onDisk(t, "xfs", 300<<20)
	for title, test := range map[string]struct {
		make  func(h *home)
		state State
		heir  string // what bequeaths its project
		aside bool
	}{
		"file": {func(h *home) { h.write(h.keys(), bad, 0o600, testUID) }, Regular, ".ssh", false},
		"long file": {func(h *home) {
			h.write(h.keys(), bad+strings.Repeat("# comment\n", 30000), 0o600, testUID)
		}, Oversize, ".ssh", true},
		"shut file": {func(h *home) { h.write(h.keys(), bad, 0, testUID) }, Unreadable, ".ssh", true},
		"link": {func(h *home) {
			h.write(h.path("real"), bad, 0o600, testUID)
			h.link("../real", h.keys(), testUID)
		}, Symlink, ".ssh", true},
		"directory of root's": {func(h *home) {
			h.write(h.keys(), bad, 0o644, 0)
			h.must(os.Chown(h.path(".ssh"), 0, 0))
			h.must(os.Chmod(h.path(".ssh"), 0o755))
		}, Regular, ".", false},
	} {
		t.Run(title, func(t *testing.T) {
			h := disk.other(t, strings.ReplaceAll(title, " ", "-"))
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			test.make(h)
			h.project(h.path(test.heir), 8, true)
			h.enforce(h.expect(test.state))
			if test.aside {
				h.aside(".ssh", "."+name)
			}
			h.bequeaths(h.path(test.heir))
		})
	}
	t.Run("edit after the last look", func(t *testing.T) {
		h := disk.other(t, "late")
		h.mkdir(h.path(".ssh"), 0o700, testUID)
		h.write(h.keys(), bad, 0o600, testUID)
		h.project(h.path(".ssh"), 8, true)
		h.late(func() error {
			h.project(h.keys(), 9, false)
			return os.WriteFile(h.keys(), []byte("edited"), 0o600)
		})
		if got := h.content(h.aside(".ssh", "."+name)); got != "edited" {
			t.Errorf("aside: %q", got)
		}
		h.bequeaths(h.path(".ssh"))
	})
}

// bequeaths wants a directory to have kept that attribute.
func (h *home) bequeaths(path string) {
	h.Helper()
	dir, err := os.Open(path)
	h.must(err)
	defer dir.Close()
	if err := bequeath(int(dir.Fd()), true); !errors.Is(err, unix.EALREADY) {
		h.Errorf("%s bequeaths its project no more: %v", path, err)
	}
}

// Who goes on changing projects while something is to be moved loses it.
func TestProjectsInALoop(t *testing.T) {
	if !inChild(t, unix.EXDEV) {
		return
	}
	h := newSSH(t, bad)
	h.enforce(h.expect(Regular))
	h.must(os.Truncate(h.keys(), MaxSize+1))
	h.enforce(h.expect(Oversize))
	h.must(os.Remove(h.keys()))
	h.link("elsewhere", h.keys(), testUID)
	h.enforce(h.expect(Symlink))
	h.must(os.RemoveAll(h.path(".ssh")))
	h.link("/proc", h.path(".ssh"), testUID)
	h.enforce(h.expect(BadDir))
}

// subvolume makes one of the user's, with a file.
func (h *home) subvolume(path, file string) {
	h.Helper()
	h.must(h.user(func() error {
		above, name := filepath.Split(path)
		dir, err := unix.Open(above, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer closeFD(dir)
		var arguments struct { // btrfs_ioctl_vol_args in linux/btrfs.h
			_    int64
			name [4088]byte
		}
		copy(arguments.name[:], name)
		return ioctl(dir, requestWrite|uint(unsafe.Sizeof(arguments))<<16|0x94<<8|14, &arguments)
	}))
	h.must(os.Chmod(path, 0o700))
	h.must(os.MkdirAll(filepath.Dir(path+"/"+file), 0o700))
	for dir := filepath.Dir(path + "/" + file); dir != path; dir = filepath.Dir(dir) {
		h.must(os.Chown(dir, testUID, testUID))
	}
	h.write(path+"/"+file, bad, 0o600, testUID)
}

// freeze makes a subvolume read-only, as btrfs-property(8) does; frozen reports that it is.
func (h *home) freeze(path string, mode os.FileMode) {
	h.Helper()
	h.must(h.user(func() error {
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer closeFD(fd)
		flags := subvolumeOnly
		return errors.Join(os.Chmod(path, mode), ioctl(fd, subvolumeSet, &flags))
	}))
}

// frozenHome makes the home one.
func frozenHome(mode os.FileMode) func(h *home) {
	return func(h *home) {
		above := filepath.Dir(h.Home)
		h.must(errors.Join(os.Remove(h.Home), os.Chown(above, testUID, testUID)))
		h.subvolume(h.Home, ".ssh/"+name)
		h.must(os.Chown(above, 0, 0))
		h.freeze(h.Home, mode)
	}
}

func (h *home) frozen(path string) bool {
	return errors.Is(unix.Access(path, unix.W_OK), unix.EROFS)
}

// A subvolume that its user makes read-only, so that nothing in it can be changed.
func TestReadOnlySubvolume(t *testing.T) {
	disk := onDisk(t, "btrfs", 128<<20)
	for title, test := range map[string]struct {
		make   func(h *home)
		state  State
		bar    Bar
		aside  string // what went aside in the home
		frozen string // what is read-only afterwards
	}{
		".ssh": {func(h *home) {
			h.subvolume(h.path(".ssh"), name)
			h.freeze(h.path(".ssh"), 0o755)
		}, Regular, Free, "", ".ssh"},
		".ssh that nobody can make writable": {func(h *home) {
			h.subvolume(h.path(".ssh"), name)
			h.freeze(h.path(".ssh"), 0o311)
		}, Regular, Free, ".ssh", ""},
		"shut .ssh": {func(h *home) {
			h.subvolume(h.path(".ssh"), name)
			h.freeze(h.path(".ssh"), 0)
		}, Unreadable, Free, ".ssh", ""},
		"link to one": {func(h *home) {
			h.subvolume(h.path("snap"), name)
			h.freeze(h.path("snap"), 0o700)
			h.link("snap", h.path(".ssh"), testUID)
		}, Regular, Free, ".ssh", "snap"},
		"link into one": {func(h *home) {
			h.subvolume(h.path("snap"), "ssh/"+name)
			h.freeze(h.path("snap"), 0o700)
			h.link("snap/ssh", h.path(".ssh"), testUID)
		}, Regular, Free, ".ssh", "snap"},
		"home":                               {frozenHome(0o755), Regular, Free, "", "."},
		"home that nobody can make writable": {frozenHome(0o311), Regular, Frozen, "", "."},
	} {
		t.Run(title, func(t *testing.T) {
			h := disk.other(t, strings.ReplaceAll(title, " ", "-"))
			test.make(h)
			file := h.expect(test.state)
			if file.Barred != test.bar {
				t.Errorf("barred by %v, want %v", file.Barred, test.bar)
			}
			if test.bar == Free {
				h.enforce(file)
			} else if err := h.door.Replace(h.Account, keyPath, file.Version, []byte(good)); !errors.Is(err, unix.EROFS) {
				t.Errorf("Replace: %v", err)
			}
			if test.aside != "" {
				h.aside("", test.aside)
			}
			if test.frozen != "" && !h.frozen(h.path(test.frozen)) {
				t.Errorf("%s is not read-only any more", test.frozen)
			}
		})
	}
}

// The deepest directory that can be exchanged is above the one that is read-only, and shut.
func TestReadOnlySubvolumeOnTheWay(t *testing.T) {
	k := kept{onDisk(t, "btrfs", 128<<20), chainPath}
	k.subvolume(k.path(".config"), "ssh/ak")
	k.freeze(k.path(".config"), 0)
	k.enforce(k.expect(Unreadable))
	k.aside("", ".config")
}

// A home that holds as many directories as it can takes no new .ssh: what lets in an
// unregistered key goes all the same.
func TestNoRoomForADirectory(t *testing.T) {
	errno, child := alone(t, int(unix.EMLINK))
	if !child {
		return
	}
	h := newHome(t)
	h.mkdir(h.base+"/d", 0o755, otherUID)
	h.link(h.base+"/d", h.path(".ssh"), testUID)
	h.setUp("refuse directories", errno)
	for range 2 {
		if err := h.door.Replace(h.Account, keyPath, h.expect(BadDir).Version, []byte(good)); !errors.Is(err, unix.EMLINK) {
			t.Errorf("Replace: %v", err)
		}
		if exists(h.path(".ssh")) || !exists(h.path(".ssh"+markSuffix)) {
			t.Error("the link stays")
		}
	}
}
