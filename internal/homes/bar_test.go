package homes

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// attribute sets one of ioctl_iflags(2), until the test ends.
func (h *home) attribute(path string, flag int) {
	h.Helper()
	file, err := os.Open(path)
	h.must(err)
	had, err := unix.IoctlGetUint32(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	h.must(err)
	h.must(unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, int(had)|flag))
	h.Cleanup(func() { // wherever it was moved to
		h.must(errors.Join(unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, int(had)), file.Close()))
	})
}

const (
	attributeImmutable = 0x10 // FS_IMMUTABLE_FL in linux/fs.h
	attributeAppend    = 0x20 // FS_APPEND_FL
)

func (h *home) remountReadOnly(path string) {
	h.Helper()
	testenv.Need(h.TB, "mount")
	h.must(unix.Mount(path, path, "", unix.MS_BIND, ""))
	h.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	h.must(unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
}

// What nobody can change is told by the look, and only that: Replace fails where
// Read says so, and nowhere else.
func TestBarred(t *testing.T) {
	for title, test := range map[string]struct {
		bar  func(h *home)
		want Bar
	}{
		"nothing":          {func(*home) {}, Free},
		"immutable file":   {func(h *home) { h.attribute(h.keys(), attributeImmutable) }, Immutable},
		"append-only file": {func(h *home) { h.attribute(h.keys(), attributeAppend) }, AppendOnly},
		"immutable .ssh":   {func(h *home) { h.attribute(h.path(".ssh"), attributeImmutable) }, Free},
		"append-only .ssh": {func(h *home) { h.attribute(h.path(".ssh"), attributeAppend) }, Free},
		"both immutable": {func(h *home) {
			h.attribute(h.keys(), attributeImmutable)
			h.attribute(h.path(".ssh"), attributeImmutable)
		}, Immutable},
		"append-only file in an immutable .ssh": {func(h *home) {
			h.attribute(h.keys(), attributeAppend)
			h.attribute(h.path(".ssh"), attributeImmutable)
		}, Immutable},
		"link in an immutable .ssh": {func(h *home) {
			h.must(os.Rename(h.keys(), h.path("elsewhere")))
			h.link("../elsewhere", h.keys(), testUID)
			h.attribute(h.path(".ssh"), attributeImmutable)
		}, Immutable},
		"nothing in an append-only .ssh": {func(h *home) {
			h.must(os.Remove(h.keys()))
			h.attribute(h.path(".ssh"), attributeAppend)
		}, AppendOnly},
		"root's file in an immutable .ssh": {func(h *home) {
			h.must(os.Chown(h.keys(), 0, 0))
			h.must(os.Chmod(h.keys(), 0o644))
			h.attribute(h.path(".ssh"), attributeImmutable)
		}, Immutable},
		"immutable home":     {func(h *home) { h.attribute(h.Home, attributeImmutable) }, Free},
		"read-only .ssh":     {func(h *home) { h.remountReadOnly(h.path(".ssh")) }, ReadOnly},
		"read-only home":     {func(h *home) { h.remountReadOnly(h.Home) }, ReadOnly},
		"read-only, no .ssh": {func(h *home) { h.must(os.RemoveAll(h.path(".ssh"))); h.remountReadOnly(h.Home) }, ReadOnly},
		"immutable, no .ssh": {func(h *home) { h.must(os.RemoveAll(h.path(".ssh"))); h.attribute(h.Home, attributeImmutable) }, Immutable},
		"immutable, .ssh a file": {func(h *home) {
			h.must(os.RemoveAll(h.path(".ssh")))
			h.write(h.path(".ssh"), bad, 0o600, testUID)
			h.attribute(h.Home, attributeImmutable)
		}, Immutable},
		"behind a link": {func(h *home) {
			h.must(os.Rename(h.path(".ssh"), h.path("d")))
			h.link("d", h.path(".ssh"), testUID)
			h.attribute(h.path("d"), attributeImmutable)
		}, Free},
		"file behind a link": {func(h *home) {
			h.must(os.Rename(h.path(".ssh"), h.path("d")))
			h.link("d", h.path(".ssh"), testUID)
			h.attribute(h.path("d", name), attributeImmutable)
		}, Immutable},
		"link in an immutable home": {func(h *home) {
			h.must(os.Rename(h.path(".ssh"), h.path("d")))
			h.link("d", h.path(".ssh"), testUID)
			h.attribute(h.path("d"), attributeImmutable)
			h.attribute(h.Home, attributeImmutable)
		}, Free},
		"root's .ssh": {func(h *home) {
			h.must(os.Chown(h.path(".ssh"), 0, 0))
			h.must(os.Chmod(h.path(".ssh"), 0o755))
			h.must(os.Chmod(h.keys(), 0o644))
			h.attribute(h.keys(), attributeImmutable)
		}, Free},
		"root's immutable .ssh": {func(h *home) {
			h.must(os.Chown(h.path(".ssh"), 0, 0))
			h.must(os.Chmod(h.path(".ssh"), 0o755))
			h.attribute(h.path(".ssh"), attributeImmutable)
		}, Free},
	} {
		t.Run(title, func(t *testing.T) {
			h := newSSH(t, bad)
			test.bar(h)
			file := h.read()
			if file.Barred != test.want {
				t.Errorf("barred by %v (%v), want %v", file.Barred, file.State, test.want)
			}
			err := h.door.Replace(h.Account, keyPath, file.Version, []byte(good))
			if (err != nil) != (test.want != Free) {
				t.Errorf("Replace: %v", err)
			}
			if now := h.read(); test.want != Free && (now.State != file.State || string(now.Data) != string(file.Data)) {
				t.Errorf("it was changed: %v %q", now.State, now.Data)
			}
		})
	}
}

func TestBarredOutside(t *testing.T) {
	k := newOutside(t)
	k.attribute(k.file, attributeImmutable)
	if file := k.expect(Regular); file.Barred != Immutable {
		t.Errorf("barred by %v", file.Barred)
	}
}
