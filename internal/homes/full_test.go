package homes

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestFullDiskOverwritesInPlace(t *testing.T) {
	for title, old := range map[string]string{"shorter": strings.Repeat(bad, 3), "longer": "ssh-rsa A\n"} {
		t.Run(title, func(t *testing.T) {
			h := small(t)
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			h.write(h.keys(), old, 0o644, testUID)
			h.fill()
			h.overwritten()
			h.noMark()
		})
	}
}

// A full disk takes as much in the file's place as its Room says, and the file does not go aside.
func TestRoomOnAFullDisk(t *testing.T) {
	for title, disk := range map[string]func(*testing.T) *home{
		"tmpfs": func(t *testing.T) *home { t.Helper(); return small(t) },
		"ext4":  func(t *testing.T) *home { t.Helper(); return ext4(t, "-N", "256") },
	} {
		t.Run(title, func(t *testing.T) {
			h := disk(t)
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			h.write(h.keys(), bad+good, 0o600, testUID)
			h.fill()
			file := h.expect(Regular)
			if file.Room < uint64(len(bad+good)) {
				t.Fatalf("there is room for %d bytes", file.Room)
			}
			after := good + "#" + strings.Repeat(".", int(file.Room)-len(good)-2) + "\n"
			h.must(h.door.Replace(h.Account, keyPath, file.Version, []byte(after)))
			if now := h.expect(Regular); string(now.Data) != after {
				t.Errorf("%d bytes became %d", len(after), len(now.Data))
			}
			h.noMark()
		})
	}
}

// overwritten wants the content to be right without room for a new file, and the
// file as it should be with it.
func (h *home) overwritten() {
	h.Helper()
	h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
	if file := h.expect(Regular); string(file.Data) != good || file.Tidy == h.guarded {
		h.Errorf("after Replace: %q tidy %v", file.Data, file.Tidy)
	}
	if h.guarded {
		if err := h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)); !errors.Is(err, syscall.ENOSPC) {
			h.Errorf("Replace of what is right, and is not root's: %v", err)
		}
		h.empty()
		h.enforce(h.read())
	}
	h.settled()
}

// Inodes run out before blocks do: there is room for bytes, and for no other file.
func TestNoInodeLeft(t *testing.T) {
	noInodeLeft(limited(t, "nr_inodes=16"))
}

func TestNoInodeLeftOfExt4(t *testing.T) {
	noInodeLeft(ext4(t, "-N", "24"))
}

func noInodeLeft(h *home) {
	h.Helper()
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), bad+good, 0o600, testUID)
	h.fill()
	h.overwritten()
	h.empty()
	h.link("elsewhere", h.keys()+"2", testUID)
	h.fill()
	file, err := h.door.Read(h.Account, keyPath+"2")
	h.must(err)
	if err := h.door.Replace(h.Account, keyPath+"2", file.Version, []byte(good)); !errors.Is(err, syscall.ENOSPC) {
		h.Errorf("Replace: %v", err)
	}
	if _, err := os.Lstat(h.keys() + "2"); !errors.Is(err, os.ErrNotExist) {
		h.Errorf("the link is still in its place: %v", err)
	}
	h.empty()
	if file, err = h.door.Read(h.Account, keyPath+"2"); err != nil || file.State != Unreadable {
		h.Fatalf("%v %v", file.State, err)
	}
	h.must(h.door.Replace(h.Account, keyPath+"2", file.Version, []byte(good)))
	h.noMark()
}

// full is one thing that cannot be replaced while the disk is full. What it lets
// in must go at once, and the granted keys must come as soon as there is room.
type full struct {
	title       string
	make        func(h *home)
	after       string
	first, then State
	asideIn     string // directory and prefix of what went aside
	asidePrefix string
}

func fulls() []full {
	inSSH := func(maker func(h *home)) func(h *home) {
		return func(h *home) {
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			maker(h)
		}
	}
	file := func(h *home) { h.write(h.keys(), bad, 0o600, testUID) }
	return []full{
		{"link", inSSH(func(h *home) {
			h.write(h.path("elsewhere"), bad, 0o600, testUID)
			h.link("../elsewhere", h.keys(), testUID)
		}), good, Symlink, Unreadable, ".ssh", "." + name},
		{"oversize", inSSH(func(h *home) {
			file(h)
			h.must(os.Truncate(h.keys(), 1<<20))
		}), good, Oversize, Unreadable, ".ssh", "." + name},
		{"longer rewrite", inSSH(file), strings.Repeat(good, 4096/len(good)+1), Regular, Unreadable, ".ssh", "." + name},
		{"hard link", inSSH(func(h *home) {
			file(h)
			h.must(os.Link(h.keys(), h.path("other")))
		}), good, Regular, Unreadable, ".ssh", "." + name},
		{"sparse", inSSH(func(h *home) {
			file(h)
			h.must(os.Truncate(h.keys(), 8192))
		}), good, Regular, Unreadable, ".ssh", "." + name},
		{"unreadable file", inSSH(func(h *home) { h.write(h.keys(), bad, 0, testUID) }), good, Unreadable, Unreadable, ".ssh", "." + name},
		{"directory in the way", inSSH(func(h *home) { h.mkdir(h.keys(), 0, testUID) }), good, Irregular, Unreadable, ".ssh", "." + name},
		{"unreadable .ssh", inSSH(func(h *home) {
			file(h)
			h.must(os.Chmod(h.path(".ssh"), 0))
		}), good, Unreadable, Unreadable, ".ssh", "." + name},
		{"link .ssh", func(h *home) { h.link(".ssh", h.path(".ssh"), testUID) }, good, BadDir, BadDir, "", ".ssh"},
		{".ssh of a stranger", func(h *home) { h.mkdir(h.path(".ssh"), 0o755, otherUID) }, good, BadDir, BadDir, "", ".ssh"},
		{".ssh of root", func(h *home) {
			h.mkdir(h.path(".ssh"), 0o755, 0)
			h.write(h.keys(), bad, 0o644, 0)
		}, good, Regular, BadDir, "", ".ssh"},
	}
}

func TestFullDisk(t *testing.T) {
	fullDisk(t, small)
}

// ext4 keeps room for root as a rule, which is not for the thread that has the user's rights; here it keeps none.
func TestFullExt4(t *testing.T) {
	fullDisk(t, func(t *testing.T) *home {
		t.Helper()
		return ext4(t, "-N", "256")
	})
}

func fullDisk(t *testing.T, disk func(t *testing.T) *home) {
	t.Helper()
	for _, test := range fulls() {
		t.Run(test.title, func(t *testing.T) {
			h := disk(t)
			test.make(h)
			h.fill()
			for pass, want := range []State{test.first, test.then, test.then} {
				file := h.expect(want)
				if file.marked != (pass > 0) {
					t.Fatalf("pass %d: marked %v (%s)", pass, file.marked, file.Detail)
				}
				if err := h.door.Replace(h.Account, keyPath, file.Version, []byte(test.after)); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrChanged) {
					t.Fatalf("pass %d: Replace: %v", pass, err)
				}
				if _, err := os.Stat(h.keys()); !errors.Is(err, os.ErrNotExist) {
					t.Fatalf("pass %d: the old file is still in its place: %v", pass, err)
				}
			}
			h.empty()
			file := h.expect(test.then)
			h.must(h.door.Replace(h.Account, keyPath, file.Version, []byte(good)))
			h.settled()
			h.noMark()
			h.aside(test.asideIn, test.asidePrefix)
			if file, err := h.door.Read(h.Account, keyPath+"2"); err != nil || file.State != Missing {
				t.Errorf("the second file: %v %v", file.State, err)
			}
		})
	}
}

// A program of the user's makes a new .ssh before the granted keys are back.
func TestFullDiskThenAnotherSSH(t *testing.T) {
	h := small(t)
	h.link(".ssh", h.path(".ssh"), testUID)
	h.fill()
	if err := h.door.Replace(h.Account, keyPath, h.expect(BadDir).Version, []byte(good)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Replace: %v", err)
	}
	h.empty()
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.enforce(h.expect(BadDir))
	h.noMark()
}

// The user brings the file back while the disk is still full.
func TestFullDiskTwice(t *testing.T) {
	h := small(t)
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	for _, target := range []string{"first", "second"} {
		h.link(target, h.keys(), testUID)
		h.fill()
		if err := h.door.Replace(h.Account, keyPath, h.expect(Symlink).Version, []byte(good)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Replace: %v", err)
		}
		h.expect(Unreadable)
	}
	if got, err := os.Readlink(h.aside(".ssh", "."+name)); err != nil || got != "second" {
		t.Errorf("aside: %q %v", got, err)
	}
	if got, err := os.Readlink(h.path(".ssh", "."+name+markSuffix)); err != nil || got != "first" {
		t.Errorf("mark: %q %v", got, err)
	}
}
