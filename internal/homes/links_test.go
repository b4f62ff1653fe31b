package homes

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

func TestKeysFileIsSymlink(t *testing.T) {
	shown := map[string]string{"own file": bad, "file of root": bad, "large file": bad + strings.Repeat("#", MaxSize-len(bad))}
	targets := map[string]func(h *home) string{
		"own file": func(h *home) string { h.write(h.path("k"), bad, 0o600, testUID); return "../k" },
		"large file": func(h *home) string {
			h.write(h.path("large"), bad+strings.Repeat("#", 2*MaxSize), 0o600, testUID)
			return h.path("large")
		},
		"root's alone": func(h *home) string { h.write(h.base+"/root", bad, 0o600, 0); return h.base + "/root" },
		"device":       func(*home) string { return "/dev/zero" },
		"magic link": func(h *home) string {
			h.write(h.path("k"), bad, 0o600, testUID)
			return "/proc/self/root" + h.path("k")
		},
		"stranger's link": func(h *home) string {
			h.write(h.path("k"), bad, 0o600, testUID)
			h.link("k", h.path("l"), otherUID)
			return "../l"
		},
		"file of root":      func(h *home) string { h.write(h.base+"/root", bad, 0o644, 0); return h.base + "/root" },
		"/proc/PID/cmdline": func(*home) string { return fmt.Sprintf("/proc/%d/cmdline", os.Getpid()) },
		"nothing":           func(*home) string { return "nowhere" },
		"itself":            func(*home) string { return name },
		"FIFO":              func(h *home) string { h.must(unix.Mkfifo(h.path("fifo"), 0o666)); return "../fifo" },
	}
	for title, target := range targets {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			h.link(target(h), h.keys(), testUID)
			file := h.expect(Symlink)
			if string(file.Data) != shown[title] || file.Tidy {
				t.Errorf("behind the link: %.99q", file.Data)
			}
			to, err := os.Readlink(h.keys())
			h.must(err)
			h.enforce(file)
			if got, err := os.Readlink(h.aside(".ssh", "."+name)); err != nil || got != to {
				t.Errorf("aside: %q %v", got, err)
			}
			for _, other := range []string{h.path("k"), h.base + "/root"} {
				if data, err := os.ReadFile(other); err == nil && string(data) != bad {
					t.Errorf("%s was written through the link", other)
				}
			}
		})
	}
}

func TestSSHIsSymlink(t *testing.T) {
	t.Run("to a directory of his own", func(t *testing.T) {
		h := newHome(t)
		h.mkdir(h.base+"/scratch", 0o755, testUID)
		h.write(h.base+"/scratch/"+name, bad, 0o600, testUID)
		h.link("scratch", h.base+"/way", testUID)
		h.link("../way", h.path(".ssh"), testUID)
		h.enforce(h.expect(Regular))
		if got := h.content(h.base + "/scratch/" + name); got != good {
			t.Errorf("at the target: %q", got)
		}
		h.dirs(Dir{h.Home, []string{".ssh"}}, Dir{h.base + "/scratch", nil})
	})
	refused := map[string]func(h *home) string{
		"to root's directory": func(h *home) string { h.mkdir(h.base+"/d", 0o755, 0); return h.base + "/d" },
		"to another's .ssh":   func(h *home) string { h.mkdir(h.base+"/d", 0o777, otherUID); return h.base + "/d" },
		"over a stranger's link": func(h *home) string {
			h.mkdir(h.base+"/d", 0o755, testUID)
			h.link("d", h.base+"/l", otherUID)
			return "../l"
		},
		"to the home":            func(h *home) string { h.write(h.path(name), bad, 0o600, testUID); return "." },
		"to itself":              func(*home) string { return ".ssh" },
		"to a file":              func(h *home) string { h.write(h.path("f"), bad, 0o600, testUID); return "f" },
		"through procfs":         func(h *home) string { h.mkdir(h.base+"/d", 0o755, testUID); return "/proc/self/root" + h.base + "/d" },
		"to a shut directory":    func(h *home) string { h.mkdir(h.base+"/r", 0o700, 0); return h.base + "/r/d" },
		"to a name far too long": func(*home) string { return strings.Repeat("x", 300) },
	}
	for title, target := range refused {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			to := target(h)
			h.link(to, h.path(".ssh"), testUID)
			if dirs, err := h.door.Dirs(h.Account, keyPath); err != nil || dirs[len(dirs)-1].Names == nil {
				t.Errorf("Dirs: %q %v", dirs, err)
			}
			h.enforce(h.expect(BadDir))
			if got, err := os.Readlink(h.aside("", ".ssh")); err != nil || got != to {
				t.Errorf("aside: %q %v", got, err)
			}
			if left, _ := os.ReadDir(h.base + "/d"); len(left) != 0 {
				t.Errorf("written through the link: %v", left)
			}
			if info, err := os.Stat(h.Home); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("the home's mode: %v %v", info.Mode(), err)
			}
		})
	}
}

// A watch is set by path: in a directory that none leads to, a key could be written unseen.
func TestSSHIsLinkToTheDeep(t *testing.T) {
	testenv.Need(t, "root")
	for title, depth := range map[string]int{"no path leads there": 4000, "hardly one does": 3500} {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			h.inVar()
			dir, err := unix.Open(h.Home, unix.O_PATH|unix.O_DIRECTORY, 0)
			h.must(err)
			target := ""
			for name := strings.Repeat("d", 99); len(target) < depth; target += name + "/" {
				h.must(unix.Mkdirat(dir, name, 0o700))
				below, err := unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY, 0)
				h.must(err)
				h.must(unix.Fchownat(below, "", testUID, testUID, unix.AT_EMPTY_PATH))
				h.must(unix.Close(dir))
				dir = below
			}
			h.must(unix.Close(dir))
			h.must(os.Rename(h.path(".ssh"), h.path("old")))
			h.link(target, h.path(".ssh"), testUID)
			if depth < 4000 {
				h.write(h.keys(), bad, 0o600, testUID)
			}
			h.enforce(h.expect(BadDir))
			h.dirs(Dir{h.Home, []string{".ssh"}}, Dir{h.path(".ssh"), nil})
		})
	}
}

// It lets nobody in, and its target may be mounted later.
func TestSSHIsDanglingLink(t *testing.T) {
	for title, target := range map[string]string{"no such name": "d/ssh", "below a file": "f/ssh"} {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			h.mkdir(h.path("d"), 0o755, testUID)
			h.write(h.path("f"), "", 0o600, testUID)
			h.link(target, h.path(".ssh"), testUID)
			file := h.expect(Missing)
			if err := h.door.Replace(h.Account, keyPath, file.Version, []byte(good)); !errors.Is(err, ErrRefused) {
				t.Errorf("Replace: %v", err)
			}
			if err := h.door.Seize(h.Account, keyPath, []byte(good)); !errors.Is(err, ErrRefused) {
				t.Errorf("Seize: %v", err)
			}
			if got, err := os.Readlink(h.path(".ssh")); err != nil || got != target {
				t.Errorf("the link: %q %v", got, err)
			}
			if left := h.entries("d"); len(left) != 0 {
				t.Errorf("written through the link: %q", left)
			}
		})
	}
	t.Run("its end is watched", func(t *testing.T) {
		h := newHome(t)
		h.mkdir(h.base+"/scratch", 0o755, 0)
		h.link("../scratch/alice/ssh", h.path(".ssh"), testUID)
		h.dirs(Dir{h.Home, []string{".ssh"}}, Dir{h.base + "/scratch", []string{"alice"}})
	})
}

func TestSSHIsNoDirectoryOfHis(t *testing.T) {
	makers := map[string]func(h *home){
		"file":     func(h *home) { h.write(h.path(".ssh"), bad, 0o600, testUID) },
		"FIFO":     func(h *home) { h.must(unix.Mkfifo(h.path(".ssh"), 0o666)) },
		"stranger": func(h *home) { h.mkdir(h.path(".ssh"), 0o777, otherUID) },
	}
	for title, maker := range makers {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			maker(h)
			h.enforce(h.expect(BadDir))
			h.aside("", ".ssh")
		})
	}
}

func TestSSHOfRoot(t *testing.T) {
	h := newHome(t)
	h.mkdir(h.path(".ssh"), 0o755, 0)
	h.write(h.keys(), bad, 0o644, 0)
	h.enforce(h.expect(Regular))
	if got := h.content(h.aside("", ".ssh") + "/" + name); got != bad {
		t.Errorf("aside: %q", got)
	}
}
