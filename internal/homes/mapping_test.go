package homes

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A page that is dirty takes another store without a fault, so nothing that stat(2) shows changes until the kernel has
// written it back: a look that trusted device, inode, size, mtime and ctime would not see the key.
func TestStoreThatNothingShows(t *testing.T) {
	h := newSSH(t, bad)
	file, err := os.OpenFile(h.keys(), os.O_RDWR, 0)
	h.must(err)
	defer file.Close()
	page, err := unix.Mmap(int(file.Fd()), 0, len(bad), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	h.must(err)
	defer func() { h.must(unix.Munmap(page)) }()
	for range 5 { // writeback may come between the two stores
		copy(page, "ssh-ed25519 AAAAharmless....\n")
		before := h.read()
		copy(page, bad)
		after := h.read()
		if string(before.Data) == bad || string(after.Data) != bad {
			t.Fatalf("read %q, then %q", before.Data, after.Data)
		}
		if before.Version == after.Version {
			return
		}
	}
	t.Error("every store showed")
}
