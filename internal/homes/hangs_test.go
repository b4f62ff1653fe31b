package homes

import (
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// beside is a home with a key file in .ssh and one in .keys, which a pattern finds.
func beside(tb testing.TB) (h *home, other string) {
	tb.Helper()
	h, other = newSSH(tb, bad), ".keys/"+name
	h.mkdir(h.path(".keys"), 0o700, testUID)
	h.write(h.path(other), bad, 0o600, testUID)
	return h, other
}

// inode is what a directory is told by.
func (h *home) inode(dir string) uint64 {
	h.Helper()
	var st unix.Stat_t
	h.must(unix.Lstat(h.path(dir), &st))
	return st.Ino
}

// replaced replaces a file that nothing keeps in its place.
func (h *home) replaced(file string) {
	h.Helper()
	found, err := h.door.Read(h.Account, file)
	h.must(err)
	h.must(h.door.Replace(h.Account, file, found.Version, []byte(good)))
	if got := h.content(h.path(file)); got != good {
		h.Errorf("%s holds %q", file, got)
	}
}

// A call that hangs in one directory of key files is no reason to put another one aside, or to leave it as it is.
func TestHangInAnotherDirectory(t *testing.T) {
	t.Parallel()
	list := func(h *home, _ string) *testenv.Stall {
		holder := testenv.HoldDir(h.TB, h.attacker(), h.path(".keys"))
		h.queue(h.path(".keys"))
		h.Cleanup(holder.Let) // before what is queued is waited for
		return holder
	}
	for title, hang := range map[string]struct {
		hold func(h *home, other string) *testenv.Stall
		call func(h *home, other string) error
	}{
		"a change": {
			func(h *home, other string) *testenv.Stall {
				return testenv.HoldFile(h.TB, h.attacker(), h.path(other), bad)
			},
			func(h *home, other string) error {
				found, err := h.door.Read(h.Account, other)
				h.must(err)
				return h.door.Replace(h.Account, other, found.Version, []byte(good))
			},
		},
		"a pattern": {
			list, func(h *home, _ string) error {
				_, err := h.globbed(".keys/*")
				return err
			},
		},
		"a watch": {
			list, func(h *home, _ string) error {
				dirs, err := h.door.Dirs(h.Account, keyPath, ".keys/below/"+name)
				if len(dirs) != 2 {
					h.Errorf("Dirs: %+v, want the home and .ssh all the same", dirs)
				}
				return err
			},
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			h, other := beside(t)
			holder := hang.hold(h, other)
			ssh, keys := h.inode(".ssh"), h.inode(".keys")
			if err := hang.call(h, other); !errors.Is(err, ErrStuck) {
				t.Fatalf("%v, want ErrStuck", err)
			}
			h.replaced(keyPath)
			if err := h.door.Renew(h.Account, keyPath, []byte(good), false, other); !errors.Is(err, ErrChanged) {
				t.Errorf("Renew of the other directory: %v, want ErrChanged", err)
			}
			h.must(h.door.Renew(h.Account, other, []byte(good), false, keyPath))
			if h.inode(".ssh") != ssh || h.inode(".keys") == keys {
				t.Error("the wrong directory went aside")
			}
			h.replaced(other)
			holder.Let()
			h.back()
		})
	}
}

// Both are held: each gives way once, and not to what hangs in the other.
func TestHangsInTwoDirectories(t *testing.T) {
	t.Parallel()
	h, other := beside(t)
	files := []string{keyPath, other}
	for _, file := range files {
		holder := testenv.HoldFile(t, h.attacker(), h.path(file), bad)
		t.Cleanup(holder.Let)
	}
	for _, file := range files {
		found, err := h.door.Read(h.Account, file)
		h.must(err)
		if err := h.door.Replace(h.Account, file, found.Version, []byte(good)); !errors.Is(err, ErrStuck) {
			t.Fatalf("%s: %v, want ErrStuck", file, err)
		}
	}
	h.must(h.door.Renew(h.Account, keyPath, []byte(good), false, other))
	h.replaced(keyPath)
	if found, err := h.door.Read(h.Account, other); err != nil {
		t.Error(err)
	} else if err := h.door.Replace(h.Account, other, found.Version, []byte(good)); !errors.Is(err, ErrStuck) || h.door.Stuck() != 2 {
		t.Errorf("%v with %d threads, want ErrStuck with the 2 of before", err, h.door.Stuck())
	}
	h.must(h.door.Renew(h.Account, other, []byte(good), false, keyPath))
	h.replaced(other)
}

// A directory that gave way took along what hung further down; one that is beside it did not.
func TestHangsOfADirectoryThatGaveWay(t *testing.T) {
	list := hangs{}
	for _, file := range []string{".keys/x", ".keys/deep/x", ".keys2/x", ""} {
		list.enter(&hang{home: "/home/alice", file: file, errand: reading, effort: new(effort)})
	}
	list.enter(&hang{home: "/home/alice", file: ".keys/deep/x", errand: renewing, effort: new(effort)})
	list.gaveWay("/home/alice", ".keys")
	for _, want := range []struct {
		dir  string
		what errand
		bars bool
	}{
		{".keys", reading, false},
		{".keys/deep", reading, false},
		{".keys2", reading, true},
		{"", reading, false},
		{".keys2", changing, false},
		{".ssh", reading, false},
		{".keys", renewing, false}, // what hangs waits for .keys, not for the home
		{".keys/other", renewing, true},
		{".keys/deep", changing, true},
		{".keys/other", changing, false},
	} {
		file := want.dir
		if file != "" {
			file += "/x"
		}
		if got := list.bars(&hang{home: "/home/alice", file: file, errand: want.what}) != nil; got != want.bars {
			t.Errorf("errand %d in %q: barred %v, want %v", want.what, want.dir, got, want.bars)
		}
	}
}

// A stranger holds the lock of a home that he may list. It is the home itself, so nothing could give way: that costs one thread.
func TestHomeThatAStrangerHolds(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.must(os.Chmod(h.Home, 0o755))
	holder := testenv.HoldDir(t, testenv.Account{UID: otherUID, GID: otherUID, Home: h.Home}, h.Home)
	t.Cleanup(holder.Let)
	h.queue(h.Home)
	t.Cleanup(holder.Let)
	for range 2 {
		for title, call := range map[string]func() error{
			"Read":  func() error { _, err := h.door.Read(h.Account, keyPath); return err },
			"Dirs":  func() error { _, err := h.door.Dirs(h.Account, keyPath); return err },
			"Renew": func() error { return h.door.Renew(h.Account, keyPath, []byte(good), true) },
		} {
			if title != "Read" && h.door.Stuck() == 0 {
				continue // nothing is known yet
			}
			if err := call(); !errors.Is(err, ErrStuck) {
				t.Errorf("%s: %v, want ErrStuck", title, err)
			}
		}
	}
	h.door.Clean(h.Account, keyPath)
	if h.door.Stuck() != 1 {
		t.Errorf("%d threads are stuck, want 1", h.door.Stuck())
	}
	holder.Let()
	h.back()
	h.must(h.door.Replace(h.Account, keyPath, Version{}, []byte(good)))
	h.holds(good)
}

// Only as long as it is the home: a call that goes on, and hangs further down, is one that a directory gives way to.
func TestHangsBarARenewAtTheTop(t *testing.T) {
	one := &hang{home: "/home/alice", errand: reading, effort: new(effort)}
	list := hangs{list: []*hang{one}}
	one.effort.top.Store(true)
	for _, what := range []errand{reading, changing, renewing} {
		for home, held := range map[string]bool{one.home: true, "/home/bob": false} {
			if got := list.bars(&hang{home: home, file: keyPath, errand: what}) != nil; got != held {
				t.Errorf("errand %d in %s: barred %v, want %v", what, home, got, held)
			}
		}
		if why := list.bars(&hang{home: one.home, file: "/keys/alice", errand: what}); why != nil {
			t.Errorf("errand %d outside the home: %v", what, why)
		}
	}
	one.effort.below()
	for _, what := range []errand{changing, renewing} {
		if why := list.bars(&hang{home: one.home, file: keyPath, errand: what}); why != nil {
			t.Errorf("errand %d: the home is not held any more: %v", what, why)
		}
	}
}

// Two thousand homes that a stranger holds leave room for the calls that hang in others.
func TestStuckBesideManyHomes(t *testing.T) {
	t.Parallel()
	h := newSSH(t, bad)
	door, err := Open(Options{})
	h.must(err)
	t.Cleanup(func() { h.must(door.Close()) })
	for i := range 2000 {
		door.hangs.enter(&hang{home: "/home/user" + strconv.Itoa(i), errand: reading, effort: new(effort)})
	}
	holder := testenv.HoldFile(t, h.attacker(), h.keys(), bad)
	t.Cleanup(holder.Let)
	file, err := door.Read(h.Account, keyPath)
	h.must(err)
	ended := make(chan error, 1)
	go func() { ended <- door.Replace(h.Account, keyPath, file.Version, []byte(good)) }()
	select {
	case err := <-ended:
		if !errors.Is(err, ErrStuck) {
			t.Errorf("Replace: %v, want ErrStuck", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Replace waits")
	}
	h.must(door.Renew(h.Account, keyPath, []byte(good), false))
	h.holds(good)
	holder.Let()
}

// A read says nothing of another file of its directory; one for no file, as for a watch, until the directory could not give way.
func TestHangsOfReadsBesideEachOther(t *testing.T) {
	const alice, second = "/home/alice", keyPath + "2"
	list := hangs{}
	enter := func(file string, what errand) {
		list.enter(&hang{home: alice, file: file, errand: what, effort: new(effort)})
	}
	barred := func(when, file string, want error) {
		t.Helper()
		if got := list.bars(&hang{home: alice, file: file, errand: reading}); !errors.Is(got, want) {
			t.Errorf("%s: a read of %s: %v, want %v", when, file, got, want)
		}
	}
	enter(second, reading)
	barred("a read of the other one hangs", keyPath, nil)
	barred("it hangs", second, ErrStuck)
	enter("", reading)
	barred("a watch hangs", keyPath, ErrStuck)
	enter(keyPath, renewing)
	barred("the directory cannot give way", keyPath, nil)
	barred("the directory cannot give way", second, ErrStuck)
}
