package homes

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// kept is a key file of some kind, in a home on a way of root's alone.
type kept struct {
	*home
	file string // its path, as Read takes it
}

// places are the key files that can be kept beside those of .ssh: where the file is
// said to be, and the directory that is to be there.
func places() map[string]func(h *home) string {
	return map[string]func(h *home) string{
		"one directory":       func(*home) string { return ".keys/ak" },
		"several directories": func(*home) string { return ".config/ssh/ak" },
		"the home itself":     func(*home) string { return "ak" },
		"absolute, in home":   func(h *home) string { return h.path(".config/ssh/ak") },
		"the user's own place": func(h *home) string {
			h.mkdir(h.base+"/own", 0o755, testUID)
			return h.base + "/own/ak"
		},
		"below the user's own place": func(h *home) string {
			h.mkdir(h.base+"/his", 0o755, testUID)
			h.mkdir(h.base+"/his/ssh", 0o700, testUID)
			return h.base + "/his/ssh/ak"
		},
		"root's place": func(h *home) string {
			h.mkdir(h.base+"/roots", 0o755, 0)
			return h.base + "/roots/alice"
		},
	}
}

// eachKind runs a test for each kind of key file, with its directory made.
func eachKind(t *testing.T, test func(k kept)) {
	t.Helper()
	testenv.Need(t, "root")
	for title, where := range places() {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			h.inVar()
			k := kept{h, where(h)}
			for _, dir := range []string{".keys", ".config", ".config/ssh"} {
				if strings.HasPrefix(k.at(), h.path(dir)+"/") {
					h.mkdir(h.path(dir), 0o700, testUID)
				}
			}
			test(k)
		})
	}
}

// at is the whole path of the file.
func (k kept) at() string {
	if filepath.IsAbs(k.file) {
		return k.file
	}
	return k.path(k.file)
}

// roots reports that the file lies in a directory of root's.
func (k kept) roots() bool { return strings.Contains(k.file, "/roots/") }

// fixed reports that the directory of the file is never renewed.
func (k kept) fixed() bool { return k.roots() || k.file == "ak" || strings.Contains(k.file, "/own/") }

func (k kept) read() File {
	k.Helper()
	file, err := k.door.Read(k.Account, k.file)
	k.must(err)
	return file
}

func (k kept) expect(state State) File {
	k.Helper()
	file := k.read()
	if file.State != state {
		k.Fatalf("state %v (%s), want %v", file.State, file.Detail, state)
	}
	return file
}

// enforce replaces what was read, and wants the registered key in place, tidy, with
// the owner and the mode that sshd is content with, and nothing left behind.
func (k kept) enforce(before File) {
	k.Helper()
	if err := k.door.Replace(k.Account, k.file, before.Version, []byte(good)); err != nil {
		k.Fatalf("Replace: %v", err)
	}
	now := k.expect(Regular)
	if string(now.Data) != good || !now.Tidy {
		k.Errorf("after Replace: %q tidy %v (%s)", now.Data, now.Tidy, now.Detail)
	}
	var st unix.Stat_t
	k.must(unix.Lstat(k.at(), &st))
	uid, mode := uint32(testUID), uint32(unix.S_IFREG|0o600)
	if k.roots() || k.guarded {
		uid, mode = 0, unix.S_IFREG|0o644
	}
	if st.Uid != uid || st.Gid != uid || st.Mode != mode {
		k.Errorf("after Replace: mode %o owner %d:%d", st.Mode, st.Uid, st.Gid)
	}
	for _, dir := range []string{filepath.Dir(k.at()), k.Home} {
		for _, suffix := range []string{tempPrefix + "*", "*" + markSuffix, "." + "*" + markSuffix} {
			if left, _ := filepath.Glob(filepath.Join(dir, suffix)); len(left) > 0 {
				k.Errorf("left behind: %q", left)
			}
		}
	}
}

// putAside is what went aside beside the file.
func (k kept) putAside() string {
	k.Helper()
	dir, name := filepath.Split(k.at())
	found, err := filepath.Glob(dir + "." + name + ".keyreeve-aside-*")
	k.must(err)
	if len(found) != 1 {
		k.Fatalf("aside: %q", found)
	}
	return found[0]
}

func TestKinds(t *testing.T) {
	eachKind(t, func(k kept) {
		before, err := os.Stat(filepath.Dir(k.at()))
		k.must(err)
		none := k.expect(Missing)
		k.enforce(none)
		k.write(k.at(), bad, 0o644, testUID)
		k.enforce(k.expect(Regular))
		k.write(k.at(), bad, 0o644, 0)
		k.enforce(k.expect(Regular))
		after, err := os.Stat(filepath.Dir(k.at()))
		k.must(err)
		if !os.SameFile(before, after) || before.Mode() != after.Mode() {
			k.Errorf("the directory was another one, or had another mode: %v %v", before.Mode(), after.Mode())
		}
	})
}

// Whatever stands under the name gives way, and what may be missed is aside.
func TestKindsOfTricks(t *testing.T) {
	for title, trick := range map[string]struct {
		make  func(k kept)
		state State
		aside bool
	}{
		"link": {func(k kept) {
			k.write(k.base+"/secret", "root:secret", 0o600, 0)
			k.link(k.base+"/secret", k.at(), testUID)
		}, Symlink, true},
		"FIFO":       {func(k kept) { k.must(unix.Mkfifo(k.at(), 0o666)) }, Irregular, false},
		"directory":  {func(k kept) { k.mkdir(k.at(), 0o700, testUID) }, Irregular, true},
		"unreadable": {func(k kept) { k.write(k.at(), bad, 0o000, testUID) }, Unreadable, true},
		"stranger's": {func(k kept) { k.write(k.at(), bad, 0o666, otherUID) }, Regular, false},
		"sparse": {func(k kept) {
			k.write(k.at(), bad, 0o600, testUID)
			k.must(os.Truncate(k.at(), 1<<40))
		}, Oversize, true},
		"hard link": {func(k kept) {
			k.write(k.at(), bad, 0o600, testUID)
			k.must(os.Link(k.at(), k.base+"/second"))
		}, Regular, false},
	} {
		t.Run(title, func(t *testing.T) {
			eachKind(t, func(k kept) {
				trick.make(k)
				k.enforce(k.expect(trick.state))
				if trick.aside {
					k.putAside()
				}
				for path, text := range map[string]string{k.base + "/secret": "root:secret", k.base + "/second": bad} {
					if now, err := os.ReadFile(path); err == nil && string(now) != text {
						t.Errorf("%s was written: %q", path, now)
					}
				}
			})
		})
	}
}

func TestKindsOfVersions(t *testing.T) {
	eachKind(t, func(k kept) {
		k.write(k.at(), bad, 0o600, testUID)
		before := k.read()
		k.write(k.at(), bad+bad, 0o600, testUID)
		if err := k.door.Replace(k.Account, k.file, before.Version, []byte(good)); !errors.Is(err, ErrChanged) {
			t.Errorf("Replace: %v", err)
		}
		k.must(k.door.Seize(k.Account, k.file, []byte(good)))
		if k.content(k.at()) != good || k.content(k.putAside()) != bad+bad {
			t.Error("Seize")
		}
	})
}

// A home, and a directory outside, is not made, renewed or given a mode for good.
func TestDirectoriesThatAreFixed(t *testing.T) {
	eachKind(t, func(k kept) {
		t := k.TB
		if !k.fixed() || k.roots() {
			return
		}
		dir := filepath.Dir(k.at())
		k.write(k.at(), bad, 0o600, testUID)
		for _, mode := range []fs.FileMode{0o500, 0o300, 0o000} {
			k.write(k.at(), bad, 0o600, testUID)
			k.must(os.Chmod(dir, mode))
			file := k.read()
			k.must(k.door.Replace(k.Account, k.file, file.Version, []byte(good)))
			info, err := os.Stat(dir)
			k.must(err)
			if info.Mode().Perm() != mode || k.content(k.at()) != good {
				t.Errorf("mode %v: now %v, %q", mode, info.Mode(), k.content(k.at()))
			}
		}
	})
}

func TestHomeHasTheModeThatItsUserWants(t *testing.T) {
	h := newHome(t)
	h.write(h.path("ak"), bad, 0o600, testUID)
	h.must(os.Chmod(h.Home, 0o777))
	file, err := h.door.Read(h.Account, "ak")
	h.must(err)
	if file.State != Regular || file.Tidy == h.guarded {
		t.Errorf("%v %s: a home has the mode that its user wants", file.State, file.Detail)
	}
}
