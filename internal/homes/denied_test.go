package homes

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// shut is what stands in a .ssh that takes no new file, though its owner has all rights by its mode, as with an ACL of NFSv4.
type shut struct {
	spoil func(h *home)
	stays bool // as a file, with its registered key
}

func shuts() map[string]shut {
	return map[string]shut{
		"a file":           {func(*home) {}, true},
		"one for reading":  {func(h *home) { h.must(os.Chmod(h.keys(), 0o400)) }, true},
		"one of two names": {func(h *home) { h.must(os.Link(h.keys(), h.path("other"))) }, true},
		"a closed file":    {func(h *home) { h.must(os.Chmod(h.keys(), 0)) }, false},
		"a link": {func(h *home) {
			h.must(os.Rename(h.keys(), h.path("elsewhere")))
			h.link("../elsewhere", h.keys(), testUID)
		}, false},
	}
}

// What is in the way of a new file neither keeps an unregistered key nor takes a registered one that could stay: the file is
// overwritten where it is, or nobody can read it under its name any more, and that is an error each time.
func TestNewFileIsDenied(t *testing.T) { newFileIsDenied(t, "refuse files") }

// The same where no name in the directory may be given away either.
func TestNewFileAndNameAreDenied(t *testing.T) { newFileIsDenied(t, "refuse files", "refuse renames") }

// Here a new file may be made, and does not get the name.
func TestNameIsDenied(t *testing.T) { newFileIsDenied(t, "refuse renames") }

func newFileIsDenied(t *testing.T, calls ...string) {
	t.Helper()
	errno, child := alone(t, int(unix.EACCES), int(unix.EPERM))
	if !child {
		return
	}
	list := make(map[string]*home)
	for title, test := range shuts() {
		list[title] = newSSH(t, bad)
		test.spoil(list[title])
	}
	for title, h := range list {
		t.Run(title, func(t *testing.T) {
			h.TB = t
			for _, call := range calls {
				h.setUp(call, errno)
			}
			h.denied(unix.Errno(errno), shuts()[title].stays)
		})
	}
}

// denied replaces the file several times, and wants no unregistered key under its name.
func (h *home) denied(errno unix.Errno, stays bool) {
	h.Helper()
	var last error
	for range 3 {
		last = h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good), keyPath+"2")
		if last != nil && !errors.Is(last, errno) && !errors.Is(last, ErrChanged) {
			h.Errorf("Replace: %v", last)
		}
	}
	info, err := os.Lstat(h.keys())
	open := err == nil && info.Mode().IsRegular() && info.Mode().Perm() != 0
	if open != stays || open && h.content(h.keys()) != good || err != nil && !errors.Is(err, os.ErrNotExist) {
		h.Errorf("the file: %v, %v", info, err)
	}
	if now := h.read(); (last == nil) != (now.State == Regular && now.Tidy) {
		h.Errorf("%v, and the file is %v (%s)", last, now.State, now.Detail)
	}
	for _, entry := range h.entries(".ssh") {
		if strings.HasPrefix(entry, tempPrefix) {
			h.Errorf("left behind: %s", entry)
		}
	}
}

// A .ssh whose owner cannot let himself in goes aside.
func TestModeOfSSHCannotBeChanged(t *testing.T) {
	errno, child := alone(t, 0, int(unix.EPERM))
	if !child {
		return
	}
	var list []*home
	for _, mode := range []os.FileMode{0o500, 0o300, 0} {
		h := newSSH(t, bad)
		h.must(os.Chmod(h.path(".ssh"), mode))
		list = append(list, h)
	}
	for _, h := range list {
		h.setUp("refuse modes", errno)
		h.enforce(h.read())
		h.aside("", ".ssh")
	}
}

// The mode of an immutable .ssh stays as it is, which says nothing of the user's other directories; no key stays for it.
func TestModeOfAnImmutableSSH(t *testing.T) {
	h, other := beside(t)
	for _, dir := range []string{".ssh", ".keys"} {
		h.must(os.Chmod(h.path(dir), 0o755))
	}
	h.attribute(h.path(".ssh"), attributeImmutable)
	if h.guarded {
		h.denied(unix.EPERM, true)
	} else {
		h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
		h.settled()
	}
	if file, err := h.door.Read(h.Account, other); err != nil || file.Tidy {
		t.Errorf("the other directory: tidy %v, %v", file.Tidy, err)
	}
}

// A home that takes names and gives none away is not filled with what was tried.
func TestAppendOnlyHome(t *testing.T) {
	h := newSSH(t, bad)
	h.must(os.Chown(h.path(".ssh"), 0, 0))
	h.must(os.Chmod(h.path(".ssh"), 0o755))
	h.attribute(h.Home, attributeAppend)
	h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
	if rest := h.entries(""); len(rest) != 1 || h.content(h.keys()) != good {
		t.Errorf("left: %q, and the file holds %q", rest, h.content(h.keys()))
	}
}

// overlay is a home on an overlay, whose directories are all in the lower layer: they take no other name (EXDEV).
func overlay(t *testing.T) *home {
	t.Helper()
	testenv.Need(t, "root", "overlay")
	h := newSSH(t, bad)
	disk := h.base + "/disk"
	for _, dir := range []string{disk, h.base + "/upper", h.base + "/work"} {
		h.mkdir(dir, 0o755, 0)
	}
	layers := "lowerdir=" + h.base + ",upperdir=" + h.base + "/upper,workdir=" + h.base + "/work,redirect_dir=off"
	h.must(unix.Mount("overlay", disk, "overlay", 0, layers))
	t.Cleanup(func() { h.must(unix.Unmount(disk, unix.MNT_DETACH)) })
	h.Home = disk + "/alice"
	return h
}

// A .ssh of root's that cannot go aside: what its user has in it is overwritten.
func TestDirectoryOfALowerLayer(t *testing.T) {
	h := overlay(t)
	h.must(os.Chown(h.path(".ssh"), 0, 0))
	h.must(os.Chmod(h.path(".ssh"), 0o755))
	h.must(h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good)))
	if file := h.read(); string(file.Data) != good || file.Tidy == h.guarded {
		t.Errorf("%q tidy %v (%s)", file.Data, file.Tidy, file.Detail)
	}
	h.must(os.Chown(h.keys(), 0, 0))
	h.must(os.Chmod(h.keys(), 0o644))
	if err := h.door.Replace(h.Account, keyPath, h.read().Version, nil); !errors.Is(err, syscall.EXDEV) {
		t.Errorf("a file of root's in it: %v", err)
	}
	if rest := h.entries(""); len(rest) != 1 {
		t.Errorf("left: %q", rest)
	}
}
