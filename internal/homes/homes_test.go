package homes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The ids of tests: nobody on this host has them.
const (
	testUID  = 65001
	otherUID = 65002
)

const (
	name    = "authorized_keys"
	keyPath = ".ssh/" + name
	bad     = "ssh-ed25519 AAAAunregistered\n"
	good    = "ssh-ed25519 AAAAregistered\n"
)

// home is a home of testUID below a directory of root's.
type home struct {
	testing.TB
	door attacked
	Account
	base string // root 0755, parent of the home
	// guarded: the door makes files root's.
	guarded bool
}

func newHome(tb testing.TB) *home {
	tb.Helper()
	return newHomeFor(tb, os.Getenv(doorMode))
}

func newHomeFor(tb testing.TB, mode string) *home {
	tb.Helper()
	testenv.Need(tb, "root")
	door := openDoor(tb, mode)
	h := &home{TB: tb, door: door, guarded: mode == "guard"}
	h.newBase("")
	h.Account = Account{Name: "alice", UID: testUID, GID: testUID, Home: filepath.Join(h.base, "alice")}
	h.mkdir(h.Home, 0o755, testUID)
	return h
}

// newBase makes a directory for homes below a parent; "" means that for temporary
// files.
func (h *home) newBase(parent string) {
	h.Helper()
	base, err := os.MkdirTemp(parent, "keyreeve-homes-")
	h.must(err)
	h.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			h.Error(err)
		}
	})
	h.base = base
	h.must(os.Chmod(base, 0o755))
}

// openDoor is a Door of this process, or of one with fewer rights: see doorMode.
func openDoor(tb testing.TB, mode string) attacked {
	tb.Helper()
	var door attacked
	if mode != "" {
		door = openRemote(tb, mode)
	} else {
		own, err := Open(Options{})
		if err != nil {
			tb.Fatal(err)
		}
		door = own
	}
	tb.Cleanup(func() {
		if err := door.Close(); err != nil {
			tb.Error(err)
		}
	})
	return door
}

// newSSH is newHome with a .ssh, and an authorized_keys of the given content.
func newSSH(tb testing.TB, content string) *home {
	tb.Helper()
	h := newHome(tb)
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), content, 0o600, testUID)
	return h
}

func (h *home) path(elements ...string) string {
	return filepath.Join(append([]string{h.Home}, elements...)...)
}

func (h *home) keys() string { return h.path(".ssh", name) }

func (h *home) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *home) mkdir(path string, mode os.FileMode, uid int) {
	h.Helper()
	h.must(os.Mkdir(path, mode))
	h.must(os.Chown(path, uid, uid))
	h.must(os.Chmod(path, mode))
}

func (h *home) write(path, content string, mode os.FileMode, uid int) {
	h.Helper()
	h.must(os.WriteFile(path, []byte(content), mode))
	h.must(os.Chown(path, uid, uid))
	h.must(os.Chmod(path, mode))
}

func (h *home) link(target, path string, uid int) {
	h.Helper()
	h.must(os.Symlink(target, path))
	h.must(os.Lchown(path, uid, uid))
}

func (h *home) content(path string) string {
	h.Helper()
	data, err := os.ReadFile(path)
	h.must(err)
	return string(data)
}

func (h *home) read() File {
	h.Helper()
	file, err := h.door.Read(h.Account, keyPath)
	h.must(err)
	return file
}

// expect reads and wants a state.
func (h *home) expect(state State) File {
	h.Helper()
	file := h.read()
	if file.State != state {
		h.Fatalf("state %v (%s), want %v", file.State, file.Detail, state)
	}
	return file
}

// enforce replaces what was read by the registered key, and wants it in place,
// tidy, the user's own, and no temporary file left.
func (h *home) enforce(before File) {
	h.Helper()
	if err := h.door.Replace(h.Account, keyPath, before.Version, []byte(good), keyPath+"2"); err != nil {
		h.Fatalf("Replace: %v", err)
	}
	h.settled()
}

// owner and mode are those of a file that the door wrote.
func (h *home) owner() uint32 {
	if h.guarded {
		return 0
	}
	return testUID
}

func (h *home) mode() os.FileMode {
	if h.guarded {
		return guardMode
	}
	return 0o600
}

func (h *home) settled() {
	h.Helper()
	now := h.expect(Regular)
	if string(now.Data) != good || !now.Tidy {
		h.Errorf("after Replace: %q tidy %v", now.Data, now.Tidy)
	}
	info, err := os.Lstat(h.keys())
	h.must(err)
	var st unix.Stat_t
	h.must(unix.Lstat(h.keys(), &st))
	if owner := h.owner(); info.Mode() != h.mode() || st.Uid != owner || st.Gid != owner {
		h.Errorf("after Replace: mode %v owner %d:%d", info.Mode(), st.Uid, st.Gid)
	}
	for _, entry := range h.entries(".ssh") {
		if strings.HasPrefix(entry, ".keyreeve-new-") {
			h.Errorf("left behind: %s", entry)
		}
	}
}

func (h *home) entries(dir string) []string {
	h.Helper()
	entries, err := os.ReadDir(h.path(dir))
	h.must(err)
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// aside is the path of the one thing that was moved aside in a directory.
func (h *home) aside(dir, prefix string) string {
	h.Helper()
	var found []string
	for _, entry := range h.entries(dir) {
		if strings.HasPrefix(entry, prefix+".keyreeve-aside-") {
			found = append(found, h.path(dir, entry))
		}
	}
	if len(found) != 1 {
		h.Fatalf("aside in %s: %q", dir, found)
	}
	return found[0]
}
