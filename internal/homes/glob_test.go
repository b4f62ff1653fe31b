package homes

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// globbed are the files that a pattern finds.
func (h *home) globbed(pattern string) ([]string, error) {
	h.Helper()
	files, err := h.door.Glob(h.Account, KeyFiles{Patterns: []string{pattern}})
	return files.Paths, err
}

func (h *home) finds(pattern string, want ...string) {
	h.Helper()
	if got, err := h.globbed(pattern); err != nil || !slices.Equal(got, want) {
		h.Errorf("%s finds %q (%v), want %q", pattern, got, err, want)
	}
}

// Whatever bears a name that matches is found, nothing is opened, and names may be any. What is put aside is not found.
func TestGlob(t *testing.T) {
	testenv.Need(t, "root")
	h := newHome(t)
	h.finds(".ssh/k*")
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	long := "k" + strings.Repeat("x", 254)
	for _, name := range []string{"k1", "k\xff\n", "k[a]*", "other", ".k", long} {
		h.write(h.path(".ssh", name), bad, 0o600, testUID)
	}
	h.must(errors.Join(unix.Mkfifo(h.path(".ssh/kfifo"), 0o600), os.Mkdir(h.path(".ssh/kdir"), 0o700), os.Symlink("nowhere", h.path(".ssh/klink"))))
	all := []string{".ssh/k1", ".ssh/k[a]*", ".ssh/kdir", ".ssh/kfifo", ".ssh/klink", ".ssh/" + long, ".ssh/k\xff\n"}
	h.finds(".ssh/k*", all...)
	files, err := h.door.Glob(h.Account, KeyFiles{Paths: []string{".ssh/k1"}, Patterns: []string{".ssh/k?", ".ssh/*1"}})
	if err != nil || !slices.Equal(files.Paths, []string{".ssh/k1"}) {
		t.Errorf("%q, %v: one file is found once", files.Paths, err)
	}

	for _, name := range []string{".ssh/k\xff\n", ".ssh/k[a]*", ".ssh/" + long, ".ssh/k1"} {
		file, err := h.door.Read(h.Account, name)
		if err != nil || string(file.Data) != bad {
			t.Errorf("Read %q: %v", name, err)
		}
		h.must(h.door.Seize(h.Account, name, []byte(good)))
		if h.content(h.path(name)) != good {
			t.Errorf("%q has the key", name)
		}
	}
	h.finds(".ssh/k*", all...)
	h.finds(".ssh/*k*", all...)
}

// A directory that is not what it should be has no matches, and the pattern's own name says so.
func TestGlobOfWhatIsNoDirectory(t *testing.T) {
	testenv.Need(t, "root")
	for title, spoil := range map[string]struct {
		do    func(h *home)
		state State
	}{
		"a file":            {func(h *home) { h.write(h.path(".ssh/keys.d"), bad, 0o600, testUID) }, BadDir},
		"a FIFO":            {func(h *home) { h.must(unix.Mkfifo(h.path(".ssh/keys.d"), 0o600)) }, BadDir},
		"a loop":            {func(h *home) { h.link("keys.d", h.path(".ssh/keys.d"), testUID) }, BadDir},
		"a link to nothing": {func(h *home) { h.link("nowhere", h.path(".ssh/keys.d"), testUID) }, Missing},
		"a link to a stranger": {func(h *home) {
			h.mkdir(h.base+"/x", 0o755, otherUID)
			h.link(h.base+"/x", h.path(".ssh/keys.d"), testUID)
		}, BadDir},
		"closed to its owner": {func(h *home) { h.mkdir(h.path(".ssh/keys.d"), 0o300, testUID) }, Unreadable},
		"nothing":             {func(*home) {}, Missing},
	} {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			spoil.do(h)
			h.finds(".ssh/keys.d/*")
			if file, err := h.door.Read(h.Account, ".ssh/keys.d/authorized_keys"); err != nil || file.State != spoil.state {
				t.Errorf("Read: %v, %v", file.State, err)
			}
		})
	}
}

// More files than are kept are told, and so is a directory with too many names.
func TestGlobIsBounded(t *testing.T) {
	testenv.Need(t, "root")
	h := newHome(t)
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	for i := range globMatches {
		h.write(h.path(fmt.Sprintf(".ssh/k%d", i)), bad, 0o600, testUID)
	}
	if found, err := h.globbed(".ssh/k*"); err != nil || len(found) != globMatches {
		t.Errorf("%d found, %v", len(found), err)
	}
	h.write(h.path(".ssh/k"), bad, 0o600, testUID)
	if found, err := h.globbed(".ssh/k*"); err == nil || len(found) != globMatches {
		t.Errorf("%d found, %v", len(found), err)
	}
	for i := range globNames {
		h.must(unix.Mknod(h.path(fmt.Sprintf(".ssh/x%d", i)), unix.S_IFREG|0o600, 0))
	}
	if _, err := h.globbed(".ssh/nothing*"); err == nil {
		t.Error("a directory with too many names was taken for one that holds no file")
	}
}
