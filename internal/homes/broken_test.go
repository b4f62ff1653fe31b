package homes

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A later block of a file cannot be read: sshd finds the key in the first one. The file is put aside like any that cannot be read
// whole, and what was read of it is told.
func TestFileWithABrokenBlock(t *testing.T) {
	h := onDisk(t, "btrfs", 128<<20)
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	const mark = "MARK-OF-A-LATER-BLOCK"
	h.write(h.keys(), bad+strings.Repeat("# filling\n", 6000)+mark+strings.Repeat("x", 8192)+"\n", 0o600, testUID)
	h.corrupt(mark)
	if _, err := os.ReadFile(h.keys()); err == nil {
		t.Fatal("the file can be read whole")
	}
	file := h.expect(Unreadable)
	if !bytes.HasPrefix(file.Data, []byte(bad)) {
		t.Errorf("of the file was read: %.40q", file.Data)
	}
	h.enforce(file)

	h.write(h.path(".ssh/x"), "MARK-OF-ANOTHER-FILE"+strings.Repeat("y", 8192), 0o600, testUID)
	h.corrupt("MARK-OF-ANOTHER-FILE")
	if file, err := h.door.Read(h.Account, ".ssh/x"); err == nil {
		t.Errorf("a file of which nothing can be read, as on a disk that fails, is %v", file.State)
	}
}

// corrupt changes a byte of every block of the disk that has a text.
func (h *home) corrupt(text string) {
	h.Helper()
	h.remount(func(image string) {
		data, err := os.ReadFile(image)
		h.must(err)
		for i := 0; ; {
			j := bytes.Index(data[i:], []byte(text))
			if j < 0 {
				break
			}
			data[i+j+len(text)+1] ^= 1
			i += j + len(text)
		}
		h.must(os.WriteFile(image, data, 0o600))
	})
}

// remount makes the kernel forget the disk, of which something may be changed meanwhile.
func (h *home) remount(meanwhile func(image string)) {
	h.Helper()
	disk, image := h.base+"/disk", h.base+"/image"
	h.must(unix.Unmount(disk, 0))
	meanwhile(image)
	program, err := testenv.Program("mount")
	h.must(err)
	if out, err := exec.CommandContext(h.Context(), program, "-o", "loop", image, disk).CombinedOutput(); err != nil {
		h.Fatalf("mount: %v\n%s", err, out)
	}
}
