package homes

import (
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// newOutside is a key file in a directory of root's.
func newOutside(t *testing.T) kept {
	t.Helper()
	testenv.Need(t, "root")
	h := newHome(t)
	h.inVar()
	h.mkdir(h.base+"/roots", 0o755, 0)
	k := kept{h, h.base + "/roots/alice"}
	k.write(k.file, bad, 0o644, 0)
	return k
}

// sshd refuses a file whose path somebody else can change; so does the door, which
// would otherwise write there as root.
func TestOutsideIsRefused(t *testing.T) {
	for title, spoil := range map[string]func(k *kept){
		"a stranger's":            func(k *kept) { k.must(os.Chown(k.base+"/roots", otherUID, otherUID)) },
		"the group may write":     func(k *kept) { k.must(os.Chmod(k.base+"/roots", 0o775)) },
		"everybody may write":     func(k *kept) { k.must(os.Chmod(k.base+"/roots", 0o777|os.ModeSticky)) },
		"below a stranger's":      func(k *kept) { k.must(os.Chown(k.base, otherUID, otherUID)) },
		"below everybody's":       func(k *kept) { k.must(os.Chmod(k.base, 0o777|os.ModeSticky)) },
		"root's, below his own":   func(k *kept) { k.must(os.Chown(k.base, testUID, testUID)) },
		"over a link of his":      func(k *kept) { k.link("roots", k.base+"/l", testUID); k.file = k.base + "/l/alice" },
		"over a stranger's link":  func(k *kept) { k.link("roots", k.base+"/l", otherUID); k.file = k.base + "/l/alice" },
		"through procfs":          func(k *kept) { k.file = "/proc/self/root" + k.file },
		"no directory":            func(k *kept) { k.file += "/alice" },
		"out of the user's reach": func(k *kept) { k.must(os.Chmod(k.base+"/roots", 0o700)) },
	} {
		t.Run(title, func(t *testing.T) {
			k := newOutside(t)
			version := k.read().Version
			path := k.file
			spoil(&k)
			if file, err := k.door.Read(k.Account, k.file); !errors.Is(err, ErrRefused) {
				t.Errorf("Read: %v %v", file.State, err)
			}
			for _, before := range []Version{version, {}, {loose: true}} {
				if err := k.door.Replace(k.Account, k.file, before, []byte(good)); !errors.Is(err, ErrRefused) {
					t.Errorf("Replace: %v", err)
				}
			}
			if _, err := k.door.Dirs(k.Account, k.file); !errors.Is(err, ErrRefused) {
				t.Errorf("Dirs: %v", err)
			}
			if k.content(path) != bad {
				t.Error("written")
			}
		})
	}
}

// From the first directory of his own on the path is the user's affair. Were it refused for what he makes of it, his key would
// stay, and he would put the path right for the moment of a login.
func TestOutsideOfHisOwnIsKept(t *testing.T) {
	for title, spoil := range map[string]func(k *kept){
		"nothing":                       func(*kept) {},
		"the group may write":           func(k *kept) { k.must(os.Chmod(k.base+"/own", 0o775)) },
		"everybody may write":           func(k *kept) { k.must(os.Chmod(k.base+"/own", 0o777)) },
		"nobody may search":             func(k *kept) { k.must(os.Chmod(k.base+"/own", 0)) },
		"nobody may read":               func(k *kept) { k.must(os.Chmod(k.base+"/own", 0o300)) },
		"everybody may write below":     func(k *kept) { k.must(os.Chmod(k.base+"/own/a", 0o777)) },
		"nobody may read below":         func(k *kept) { k.must(os.Chmod(k.base+"/own/a", 0o100)) },
		"nobody may search the deepest": func(k *kept) { k.must(os.Chmod(k.base+"/own/a/b", 0)) },
		"a link of his": func(k *kept) {
			k.must(os.Rename(k.base+"/own/a", k.base+"/own/c"))
			k.link("c", k.base+"/own/a", testUID)
		},
		"a link into his home": func(k *kept) {
			k.must(os.Rename(k.base+"/own/a", k.path("c")))
			k.link(k.path("c"), k.base+"/own/a", testUID)
		},
		"a link through a place that cannot be watched": func(k *kept) {
			k.mkdir(k.base+"/own/blind", 0o300, testUID)
			k.must(os.Rename(k.base+"/own/a", k.base+"/own/blind/a"))
			k.link("blind/a", k.base+"/own/a", testUID)
		},
		"a stranger's link": func(k *kept) {
			k.must(os.Rename(k.base+"/own/a", k.path("c")))
			k.link(k.path("c"), k.base+"/own/a", otherUID)
		},
		"behind root's link": func(k *kept) {
			k.must(os.Rename(k.base+"/own", k.base+"/moved"))
			k.link("moved", k.base+"/own", 0)
			k.must(os.Chmod(k.base+"/moved", 0o775))
		},
	} {
		t.Run(title, func(t *testing.T) {
			k := newOutside(t)
			for _, dir := range []string{"/own", "/own/a", "/own/a/b"} {
				k.mkdir(k.base+dir, 0o755, testUID)
			}
			for _, file := range []string{"/own/ak", "/own/a/b/ak"} {
				k.write(k.base+file, bad, 0o600, testUID)
			}
			spoil(&k)
			for _, file := range []string{"/own/ak", "/own/a/b/ak"} {
				k.file = k.base + file
				k.replace(k.read())
				if k.content(k.file) != good {
					t.Errorf("%s: the key is there", file)
				}
				dirs, err := k.door.Dirs(k.Account, k.file)
				k.must(err)
				if title != "nobody may search" && !slices.ContainsFunc(dirs, func(d Dir) bool { return d.Names == nil }) {
					t.Errorf("%s: its directory is not watched: %v", file, dirs)
				}
			}
		})
	}
}

// passwd and moduli are login names.
// The rule is asked alone: a test that plays it on the real files destroys them on the day the rule is broken.
func TestOutsideIsNoFileOfTheSystem(t *testing.T) {
	for name, file := range map[string]string{"passwd": "/etc/passwd", "moduli": "/etc/ssh/moduli", "etc": "/etc"} {
		a := Account{Name: name, UID: testUID, GID: testUID, Home: "/home/" + name}
		if s, err := a.spot(file); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v, %v", file, s, err)
		}
	}
	if _, err := (Account{Name: "alice", Home: "/home/alice"}).spot("/etc/ssh/keys/alice"); err != nil {
		t.Error(err)
	}
}

func TestOutsideWithoutADirectory(t *testing.T) {
	k := newOutside(t)
	k.file = k.base + "/late/alice"
	if file := k.expect(Missing); file.Version != (Version{}) {
		t.Errorf("something was there: %+v", file)
	}
	if err := k.door.Replace(k.Account, k.file, Version{}, []byte(good)); !errors.Is(err, ErrRefused) {
		t.Errorf("Replace: %v", err)
	}
}

// sshd reads it though the home is not there, or not the user's.
func TestOutsideWithoutAHome(t *testing.T) {
	k := newOutside(t)
	k.must(os.Chown(k.Home, otherUID, otherUID))
	k.enforce(k.expect(Regular))
	k.Home = k.base + "/nowhere"
	k.write(k.file, bad, 0o644, 0)
	if err := k.door.Replace(k.Account, k.file, k.expect(Regular).Version, []byte(good)); err != nil || k.content(k.file) != good {
		t.Errorf("Replace: %v", err)
	}
	dirs, err := k.door.Dirs(k.Account, keyPath, k.file)
	if !errors.Is(err, ErrNoHome) {
		t.Errorf("Dirs: %v", err)
	}
	k.sameDirs(dirs, []Dir{{k.base + "/roots", []string{"alice"}}})
}

// What it leads to by root's links is root's word; another user's file beside it
// concerns nobody.
func TestOutsideOfRoots(t *testing.T) {
	k := newOutside(t)
	k.link("roots", k.base+"/l", 0)
	k.write(k.base+"/roots/bob", bad, 0o600, otherUID)
	straight := k.file
	k.file = k.base + "/l/alice"
	k.watched(Dir{k.base + "/roots", []string{"alice"}})
	k.must(k.door.Replace(k.Account, k.file, k.expect(Regular).Version, []byte(good)))
	if k.content(straight) != good || k.content(k.base+"/roots/bob") != bad {
		t.Error("the wrong file was written")
	}
	k.link("../etc/roots", k.base+"/dangling", 0)
	k.file = k.base + "/dangling/alice"
	k.expect(Missing)
}

// The directories of the user's own on the way are watched, and where much else
// may lie, only the file's name counts.
func TestOutsideIsWatched(t *testing.T) {
	k := newOutside(t)
	k.mkdir(k.base+"/own", 0o755, testUID)
	k.mkdir(k.base+"/own/keys", 0o755, testUID)
	dirs, err := k.door.Dirs(k.Account, keyPath, "ak", ".config/ak", k.base+"/own/keys/ak", k.file)
	k.must(err)
	k.sameDirs(dirs, []Dir{
		{k.Home, []string{".ssh", "ak", ".config"}},
		{k.path(".ssh"), nil},
		{k.base + "/own", []string{"keys"}},
		{k.base + "/own/keys", nil},
		{k.base + "/roots", []string{"alice"}},
	})
}

// root's rights are those of an owner, and no more.
func TestHandOfRootHasNoCapability(t *testing.T) {
	k := newOutside(t)
	k.write(k.base+"/other", bad, 0o600, otherUID)
	s, err := k.spot(k.file)
	k.must(err)
	ran := false
	k.must(k.inside().hand(k.Account, s, new(effort), func(owner uint32) error {
		ran = owner == 0
		if _, err := os.ReadFile(k.base + "/other"); !errors.Is(err, os.ErrPermission) {
			t.Errorf("another's file was read: %v", err)
		}
		if err := os.Chown(k.file, testUID, testUID); !errors.Is(err, os.ErrPermission) {
			t.Errorf("chowned: %v", err)
		}
		if err := os.WriteFile(k.path(".ssh/x"), nil, 0o600); !errors.Is(err, os.ErrPermission) {
			t.Errorf("written in a home: %v", err)
		}
		groups, err := unix.Getgroups()
		if len(groups) != 0 {
			t.Errorf("groups: %v", groups)
		}
		return err
	}))
	if !ran {
		t.Error("it did not run as root")
	}
}
