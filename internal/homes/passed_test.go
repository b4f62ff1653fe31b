package homes

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// dirs wants exactly these directories to be watched.
func (h *home) dirs(want ...Dir) {
	h.Helper()
	got, err := h.door.Dirs(h.Account, keyPath)
	h.must(err)
	h.sameDirs(got, want)
}

func (h *home) sameDirs(got, want []Dir) {
	h.Helper()
	if !slices.EqualFunc(got, want, func(a, b Dir) bool { return a.Path == b.Path && slices.Equal(a.Names, b.Names) }) {
		h.Errorf("Dirs: %q, want %q", got, want)
	}
}

// Whoever can exchange an entry of the path to .ssh must be seen doing it.
func TestSwappedParentOfSSHIsWatched(t *testing.T) {
	ssh := []string{".ssh"}
	t.Run("below the home", func(t *testing.T) {
		h := newHome(t)
		h.mkdir(h.path("d"), 0o755, testUID)
		h.mkdir(h.path("d", "ssh"), 0o700, testUID)
		h.link("d/ssh", h.path(".ssh"), testUID)
		h.dirs(Dir{h.Home, []string{".ssh", "d"}}, Dir{h.path("d"), []string{"ssh"}}, Dir{h.path("d", "ssh"), nil})
	})
	t.Run("on scratch", func(t *testing.T) {
		h := newHome(t)
		h.mkdir(h.base+"/scratch", 0o755, 0)
		h.mkdir(h.base+"/scratch/alice", 0o755, testUID)
		h.mkdir(h.base+"/scratch/alice/ssh", 0o700, testUID)
		h.write(h.base+"/scratch/alice/ssh/"+name, bad, 0o600, testUID)
		h.link("../scratch/alice/ssh", h.path(".ssh"), testUID)
		h.dirs(Dir{h.Home, ssh}, Dir{h.base + "/scratch/alice", []string{"ssh"}}, Dir{h.base + "/scratch/alice/ssh", nil})
		h.enforce(h.expect(Regular))
	})
	t.Run("over everybody's directory and a link", func(t *testing.T) {
		h := newHome(t)
		h.mkdir(h.base+"/tmp", 0o777, 0)
		h.must(os.Chmod(h.base+"/tmp", 0o777|os.ModeSticky))
		h.mkdir(h.base+"/tmp/d", 0o755, testUID)
		h.link("d", h.base+"/tmp/l", testUID)
		h.link("../tmp/l", h.path(".ssh"), testUID)
		h.dirs(Dir{h.Home, ssh}, Dir{h.base + "/tmp", []string{"l", "d"}}, Dir{h.base + "/tmp/d", nil})
	})
	t.Run("the home itself", func(t *testing.T) {
		h := newHome(t)
		h.link(".", h.path(".ssh"), testUID)
		h.dirs(Dir{h.Home, ssh})
	})
}

// Each directory that is noted costs a watch, and each name a look-up: a link that
// leads astray is not followed for ever.
func TestLinkIntoAMaze(t *testing.T) {
	for title, test := range map[string]struct {
		path  string
		state State
	}{
		"some turns":           {strings.Repeat("d/../", 60) + "ssh", Regular},
		"too many turns":       {strings.Repeat("d/../", 70) + "ssh", BadDir},
		"many turns of root's": {strings.Repeat("/usr/..", 500) + "HOME/ssh", Regular},
	} {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			h.mkdir(h.path("d"), 0o755, testUID)
			h.mkdir(h.path("ssh"), 0o700, testUID)
			h.write(h.path("ssh", name), bad, 0o600, testUID)
			h.link(strings.Replace(test.path, "HOME", h.Home, 1), h.path(".ssh"), testUID)
			dirs, err := h.door.Dirs(h.Account, keyPath)
			if err != nil || len(dirs) > maxPassed+2 {
				t.Errorf("%d directories to watch, %v", len(dirs), err)
			}
			h.enforce(h.expect(test.state))
		})
	}
	t.Run("a chain of links", func(t *testing.T) {
		h := newHome(t)
		h.mkdir(h.path("ssh"), 0o700, testUID)
		h.write(h.path("ssh", name), bad, 0o600, testUID)
		next := "ssh"
		for i := range 20 { // few enough for maxLinks and maxPassed
			link := fmt.Sprint("l", i)
			h.link(strings.Repeat("/usr/..", 500)+h.path(next), h.path(link), testUID)
			next = link
		}
		h.link(next, h.path(".ssh"), testUID)
		h.enforce(h.expect(BadDir))
	})
}

// sshd needs the right to search a directory, a watch the right to read it.
func TestLinkThroughADirectoryThatHides(t *testing.T) {
	h := newHome(t)
	h.mkdir(h.path("d"), 0o300, testUID)
	h.mkdir(h.path("d", "ssh"), 0o700, testUID)
	h.write(h.path("d", "ssh", name), bad, 0o600, testUID)
	h.link("d/ssh", h.path(".ssh"), testUID)
	h.enforce(h.expect(BadDir))
	if h.content(h.path("d", "ssh", name)) != bad {
		t.Error("written through the link")
	}
}
