package homes

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A file system that gives all directories one mode, whether it says so or not, keeps no
// key, and is asked once.
func TestModesThatCannotBeChanged(t *testing.T) {
	errno, child := alone(t, 0, int(unix.EPERM))
	if !child {
		return
	}
	h := newSSH(t, bad)
	h.must(os.Chmod(h.path(".ssh"), 0o755))
	neighbour := h.neighbour("bob", good)
	neighbour.must(os.Chmod(neighbour.path(".ssh"), 0o777))
	h.setUp("refuse modes", errno)
	h.enforce(h.expect(Regular))
	if file := h.read(); file.Remark != "" {
		t.Errorf("remark: %s", file.Remark)
	}
	if file := neighbour.read(); file.Tidy {
		t.Error("what was found of one user counts for another")
	}
	neighbour.must(neighbour.door.Replace(neighbour.Account, keyPath, neighbour.read().Version, []byte(good)))
	if file := neighbour.read(); !file.Tidy || file.Remark == "" {
		t.Errorf("tidy %v, and that others may write is told: %q", file.Tidy, file.Remark)
	}
	h.must(os.RemoveAll(h.path(".ssh")))
	h.enforce(h.expect(Missing))
}
