package homes

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// small is a home of 64 KiB.
func small(t *testing.T) *home {
	t.Helper()
	return limited(t, "size=64k")
}

// limited is a home on a file system of its own, with a limit (tmpfs(5)).
func limited(t *testing.T, limit string) *home {
	t.Helper()
	testenv.Need(t, "root", "mount")
	h := newHome(t)
	disk := h.base + "/disk"
	h.mkdir(disk, 0o755, 0)
	h.must(unix.Mount("none", disk, "tmpfs", 0, limit+",mode=755"))
	t.Cleanup(func() { h.must(unix.Unmount(disk, unix.MNT_DETACH)) })
	h.Home = disk + "/alice"
	h.mkdir(h.Home, 0o755, testUID)
	return h
}

// ext4 is a home of some 400 KiB on an ext4 of its own without room for root, of the given options of mkfs.ext4(8).
func ext4(t *testing.T, options ...string) *home {
	t.Helper()
	return onDisk(t, "ext4", 512<<10, append(options, "-m", "0", "-b", "4096", "-O", "^has_journal,^resize_inode")...)
}

// onDisk is a home on a file system of a kind, in a file of a size.
func onDisk(t *testing.T, kind string, size int64, options ...string) *home {
	t.Helper()
	testenv.Need(t, "root", "mount", kind)
	h := newHome(t)
	disk, image := h.base+"/disk", h.base+"/image"
	h.mkdir(disk, 0o755, 0)
	h.write(image, "", 0o600, 0)
	h.must(os.Truncate(image, size))
	run := func(program string, arguments ...string) {
		t.Helper()
		program, err := testenv.Program(program)
		h.must(err)
		if out, err := exec.CommandContext(t.Context(), program, arguments...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
	}
	run("mkfs."+kind, append(options, "-q", image)...)
	run("mount", "-o", "loop", image, disk)
	t.Cleanup(func() { h.must(unix.Unmount(disk, 0)) })
	h.must(os.Chmod(disk, 0o755))
	h.Home = disk + "/alice"
	h.mkdir(h.Home, 0o755, testUID)
	return h
}

// fill leaves no block of a home free; empty makes room again.
func (h *home) fill() {
	h.Helper()
	h.must(h.user(func() error {
		for i := 0; ; i++ {
			err := os.WriteFile(h.path("fill"+strings.Repeat("x", i)), make([]byte, 4096), 0o600)
			if errors.Is(err, syscall.ENOSPC) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}))
}

func (h *home) empty() {
	h.Helper()
	found, err := filepath.Glob(h.path("fill*"))
	h.must(err)
	for _, path := range found {
		h.must(os.Remove(path))
	}
}

func (h *home) noMark() {
	h.Helper()
	for _, dir := range []string{"", ".ssh"} {
		for _, entry := range h.entries(dir) {
			if strings.HasSuffix(entry, markSuffix) || strings.HasPrefix(entry, tempPrefix) {
				h.Errorf("left behind in %q: %s", dir, entry)
			}
		}
	}
}

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

// A .ssh of root's that is renewed for one file takes the other one away, too:
// that must not look as if there never was one.
func TestRenewalRemembersTheOtherFile(t *testing.T) {
	h := newHome(t)
	h.mkdir(h.path(".ssh"), 0o755, 0)
	h.write(h.keys(), good, 0o644, 0)
	h.write(h.keys()+"2", bad, 0o644, 0)
	second, err := h.door.Read(h.Account, keyPath+"2")
	h.must(err)
	h.must(h.door.Replace(h.Account, keyPath+"2", second.Version, nil, keyPath))
	h.enforce(h.expect(Unreadable))
	h.noMark()
	if got := h.content(h.keys() + "2"); got != "" {
		t.Errorf("the second file: %q", got)
	}
}

// A mark is the user's: he may make one of anything, anywhere.
func TestMarkOfTheUsersOwn(t *testing.T) {
	makers := map[string]func(h *home, path string){
		"link to root's file": func(h *home, path string) {
			h.write(h.base+"/root", "secret", 0o600, 0)
			h.link(h.base+"/root", path, testUID)
		},
		"FIFO":  func(h *home, path string) { h.must(unix.Mkfifo(path, 0o666)) },
		"empty": func(h *home, path string) { h.write(path, "", 0o600, testUID) },
		"keys":  func(h *home, path string) { h.write(path, bad, 0o600, testUID) },
		"directory": func(h *home, path string) {
			h.mkdir(path, 0o700, testUID)
			h.write(path+"/mine", bad, 0o600, testUID)
		},
		"root's file": func(h *home, path string) { h.write(path, bad, 0o600, 0) },
		"foreign mount": func(h *home, path string) {
			testenv.Need(h.TB, "mount")
			h.mkdir(path, 0o700, testUID)
			h.must(unix.Mount("proc", path, "proc", 0, ""))
			h.Cleanup(func() { h.must(unix.Unmount(path, unix.MNT_DETACH)) })
		},
	}
	for title, maker := range makers {
		for mark, state := range map[string]State{".ssh/." + name + markSuffix: Unreadable, ".ssh" + markSuffix: BadDir} {
			t.Run(title+" as "+mark, func(t *testing.T) {
				h := newSSH(t, bad)
				maker(h, h.path(mark))
				h.enforce(h.expect(Regular))
				if stays := state == BadDir || title == "foreign mount"; exists(h.path(mark)) != stays {
					t.Errorf("the mark is there: %v", !stays)
				}
				h.must(os.Remove(h.keys()))
				if !exists(h.path(mark)) {
					h.expect(Missing)
					maker(h, h.path(mark))
				}
				file := h.expect(state)
				if len(file.Data) != 0 {
					t.Errorf("read: %q", file.Data)
				}
				h.enforce(file)
				if stays := title == "foreign mount"; exists(h.path(mark)) != stays {
					t.Errorf("the mark is there: %v", !stays)
				}
				if root, err := os.ReadFile(h.base + "/root"); err == nil && string(root) != "secret" {
					t.Error("root's file was written")
				}
			})
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func disarm(door *Door, a Account) error {
	return door.As(a, func() error {
		p, err := door.locate(a, spot{dirs: []string{".ssh"}, name: name}, testUID, new(effort))
		if err != nil {
			return err
		}
		defer p.close()
		j := job{effort: new(effort), door: door, uid: testUID}
		return j.disarm(p.dir, name)
	})
}

// When the directory has no room for another name either, sshd must still not
// read what stands there.
func TestDisarm(t *testing.T) {
	h := newSSH(t, bad)
	shut := func() {
		t.Helper()
		if remote, ok := h.door.(*remoteDoor); ok {
			_, err := remote.call(ask{Call: "disarm", Account: h.Account})
			h.must(err)
		} else {
			h.must(disarm(h.inside(), h.Account))
		}
	}
	shut()
	h.enforce(h.expect(Unreadable))
	h.must(os.Remove(h.keys()))
	h.write(h.path("elsewhere"), bad, 0o600, testUID)
	h.link("../elsewhere", h.keys(), testUID)
	shut()
	h.expect(Missing)
	if h.content(h.path("elsewhere")) != bad {
		t.Error("the link was followed")
	}
}
