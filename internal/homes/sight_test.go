package homes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Sight follows links as sshd does, with the user's rights, and tells who owns what is above the file.
func TestSight(t *testing.T) {
	for title, c := range map[string]struct {
		make  func(h *home)
		state State
		blind bool
		at    string // the file, below the base
		above int    // directories that are told of
	}{
		"plain":                   {func(*home) {}, Regular, false, "alice/.ssh/authorized_keys", 2},
		"a link in the home":      {func(h *home) { h.must(os.Rename(h.keys(), h.path("k"))); h.link("../k", h.keys(), testUID) }, Regular, false, "alice/k", 1},
		"the directory is a link": {func(h *home) { h.must(os.Rename(h.path(".ssh"), h.path("s"))); h.link("s", h.path(".ssh"), testUID) }, Regular, false, "alice/s/authorized_keys", 2},
		"a file of root's": {func(h *home) {
			h.must(os.Remove(h.keys()))
			h.write(h.base+"/open", good, 0o644, 0)
			h.link(h.base+"/open", h.keys(), testUID)
		}, Regular, false, "open", 3},
		"a file of root's alone": {func(h *home) {
			h.must(os.Remove(h.keys()))
			h.write(h.base+"/shut", good, 0o600, 0)
			h.link(h.base+"/shut", h.keys(), testUID)
		}, Unreadable, false, "shut", 3},
		"behind a stranger's link":  {func(h *home) { h.must(os.Remove(h.keys())); h.link("/etc/passwd", h.keys(), otherUID) }, Unreadable, true, "", 0},
		"a descriptor of this one":  {func(h *home) { h.must(os.Remove(h.keys())); h.link("/proc/self/fd/0", h.keys(), testUID) }, Unreadable, true, "", 0},
		"memory of this process":    {func(h *home) { h.must(os.Remove(h.keys())); h.link("/proc/self/environ", h.keys(), testUID) }, Unreadable, true, "", 0},
		"a FIFO":                    {func(h *home) { h.must(os.Remove(h.keys())); h.must(unix.Mkfifo(h.keys(), 0o666)) }, Irregular, false, "", 0},
		"none":                      {func(h *home) { h.must(os.Remove(h.keys())) }, Missing, false, "", 0},
		"in a directory of another": {func(h *home) { h.must(os.Chown(h.path(".ssh"), otherUID, otherUID)) }, Unreadable, false, "", 0},
		"mode 0":                    {func(h *home) { h.must(os.Chmod(h.keys(), 0)) }, Unreadable, false, "alice/.ssh/authorized_keys", 2},
		"large":                     {func(h *home) { h.must(os.Truncate(h.keys(), MaxSize+1)) }, Oversize, false, "alice/.ssh/authorized_keys", 2},
	} {
		t.Run(title, func(t *testing.T) {
			h := newSSH(t, good)
			c.make(h)
			door, err := Open(Options{})
			h.must(err)
			defer func() { h.must(door.Close()) }()
			got, err := door.Sight(h.Account, keyPath)
			h.must(err)
			base, err := filepath.EvalSymlinks(h.base)
			h.must(err)
			want := ""
			if c.at != "" {
				want = filepath.Join(base, c.at)
			}
			if got.State != c.state || got.Blind != c.blind || got.NoHome || c.state != Unreadable && got.Path != want {
				t.Fatalf("%+v", got)
			}
			switch {
			case c.state == Regular:
				top := len(got.Levels) - 1
				if string(got.Data) != good || got.Levels[0].Path != want || top < c.above || filepath.Dir(got.Levels[0].Path) != got.Levels[1].Path {
					t.Errorf("%+v", got)
				}
				if strings.HasPrefix(c.at, "alice") && (top != c.above || got.Levels[top].Path != filepath.Join(base, "alice") || got.Levels[top].UID != testUID) {
					t.Errorf("it does not end at the home: %+v", got.Levels)
				}
			case c.state == Oversize:
				if len(got.Data) != MaxSize {
					t.Errorf("%d bytes", len(got.Data))
				}
			case len(got.Data) > 0:
				t.Errorf("read %q", got.Data)
			}
		})
	}
}

// What keeps the user out is named, and a home that is not there.
func TestSightNamesTheBarrier(t *testing.T) {
	h := newSSH(t, good)
	door, err := Open(Options{})
	h.must(err)
	defer func() { h.must(door.Close()) }()
	h.must(os.Chown(h.path(".ssh"), otherUID, 7))
	got, err := door.Sight(h.Account, keyPath)
	if want := (Level{h.path(".ssh"), otherUID, 7, 0o700}); err != nil || got.Barrier != want {
		t.Errorf("%+v %v", got, err)
	}
	h.must(os.RemoveAll(h.Home))
	if got, err := door.Sight(h.Account, keyPath); err != nil || got.State != Missing || !got.NoHome {
		t.Errorf("%+v %v", got, err)
	}
	for _, file := range []string{"../x", "a\x00b", ""} {
		if got, err := door.Sight(h.Account, file); err == nil {
			t.Errorf("%q: %+v", file, got)
		}
	}
	if _, err := door.Sight(Account{Name: "alice", UID: testUID, GID: testUID, Home: fmt.Sprintf("%s/*", h.base)}, keyPath); err == nil {
		t.Error("a home with a pattern")
	}
}
