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
