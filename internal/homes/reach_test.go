package homes

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// inVar moves a home to a way of root's alone, which /tmp is not.
func (h *home) inVar() {
	h.Helper()
	base, err := os.MkdirTemp("/var/lib", "keyreeve-homes-")
	h.must(err)
	h.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			h.Error(err)
		}
	})
	h.must(os.Chmod(base, 0o755))
	h.base, h.Home = base, base+"/lab/alice"
	h.mkdir(base+"/lab", 0o755, 0)
	h.mkdir(h.Home, 0o755, testUID)
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), bad, 0o600, testUID)
}

// Only members of a group may search the parent of the home, and the user is one
// by the group file: sshd gets there.
func TestHomeBehindAGroup(t *testing.T) {
	testenv.Need(t, "root")
	h := newHome(t)
	h.inVar()
	h.must(os.Chown(h.base+"/lab", 0, otherUID))
	h.must(os.Chmod(h.base+"/lab", 0o750))
	h.must(h.user(func() error {
		if _, err := os.Stat(h.Home); !errors.Is(err, os.ErrPermission) {
			t.Errorf("the user's own rights: %v", err)
		}
		return nil
	}))
	h.enforce(h.expect(Regular))
	h.dirs(Dir{h.Home, []string{".ssh"}}, Dir{h.path(".ssh"), nil})

	straight := h.Home
	h.link("lab/alice", h.base+"/root", 0)
	h.Home = h.base + "/root"
	h.expect(Regular)

	for title, spoil := range map[string]func(){
		"root alone may search":     func() { h.must(os.Chmod(h.base+"/lab", 0o700)) },
		"the group may write":       func() { h.must(os.Chmod(h.base+"/lab", 0o770)) },
		"another user's":            func() { h.must(os.Chown(h.base+"/lab", otherUID, otherUID)) },
		"over a stranger's link":    func() { h.link("lab/alice", h.base+"/l", otherUID); h.Home = h.base + "/l" },
		"to the home of a stranger": func() { h.must(os.Chown(straight, otherUID, otherUID)) },
	} {
		h.Home = straight
		h.must(os.Chown(straight, testUID, testUID))
		h.must(os.Chown(h.base+"/lab", 0, otherUID))
		h.must(os.Chmod(h.base+"/lab", 0o750))
		spoil()
		if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", title, err)
		}
	}
}

// Behind the way, root's rights count for nothing.
func TestReachEndsAtTheHome(t *testing.T) {
	testenv.Need(t, "root")
	h := newHome(t)
	h.inVar()
	h.must(os.Chown(h.Home, 0, 0))
	h.must(os.Chmod(h.Home, 0o700))
	if _, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrRefused) || !errors.Is(err, unix.EACCES) {
		t.Errorf("a home that is root's alone: %v", err)
	}
	h.must(os.Chmod(h.Home, 0o755))
	h.must(os.Chown(h.keys(), 0, 0))
	if file := h.expect(Unreadable); len(file.Data) != 0 {
		t.Errorf("read with root's rights: %q", file.Data)
	}
}
