package homes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// secret is what the judge of these tests looks for.
const secret = "a private key\n"

// sifted are what Sift finds in directories, each with the size of what the judge was shown. On a busy machine it may not have the time at once.
func (h *home) sifted(dirs ...string) (got Sifted[int]) {
	h.Helper()
	for range 10 {
		got = Sift(h.inside(), h.Account, dirs, func(head []byte) (int, bool) {
			if len(head) > siftHead {
				h.Errorf("%d bytes are shown", len(head))
			}
			return len(head), strings.HasPrefix(string(head), secret)
		})
		if !slices.ContainsFunc(got.Blind, func(b Blind) bool { return strings.Contains(b.Why, "too long") }) {
			break
		}
	}
	return got
}

// paths are those of the files.
func (s Sifted[T]) paths() (list []string) {
	for _, file := range s.Files {
		list = append(list, file.Path)
	}
	return list
}

// blindOf are the paths of what nothing is known of.
func (s Sifted[T]) blindOf() (list []string) {
	for _, b := range s.Blind {
		list = append(list, b.Path)
	}
	return list
}

// siftsTo wants the paths of what is found, and of what is not known.
func (h *home) siftsTo(found []string, blind ...string) Sifted[int] {
	h.Helper()
	got := h.sifted(".ssh")
	if diff := cmp.Diff([][]string{found, blind}, [][]string{got.paths(), got.blindOf()}); diff != "" {
		h.Errorf("%s\n%+v", diff, got.Blind)
	}
	return got
}

// Regular files are shown by their content, whatever their names and modes; nothing else is opened.
func TestSift(t *testing.T) {
	h := newSSH(t, good)
	h.write(h.path(".ssh/id"), secret, 0o600, testUID)
	h.write(h.path(".ssh/notes\xff\n.txt"), secret+"more", 0o644, testUID)
	h.write(h.path(".ssh/empty"), "", 0o600, testUID)
	h.write(h.path("elsewhere"), secret, 0o600, testUID)
	for _, dir := range []string{".ssh/a", ".ssh/a/b", ".ssh/a/b/c"} {
		h.mkdir(h.path(dir), 0o700, testUID)
		h.write(h.path(dir, "key"), secret, 0o600, testUID)
	}
	h.must(errors.Join(unix.Mkfifo(h.path(".ssh/fifo"), 0o644), unix.Mknod(h.path(".ssh/socket"), unix.S_IFSOCK|0o644, 0),
		unix.Mknod(h.path(".ssh/null"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))))) // zero(4): endless
	got := h.siftsTo([]string{".ssh/a/b/key", ".ssh/a/key", ".ssh/id", ".ssh/notes\xff\n.txt"}, ".ssh/a/b/c")
	want := Judged[int]{Path: ".ssh/notes\xff\n.txt", Mode: 0o644, UID: testUID, What: len(secret) + 4}
	if len(got.Files) == 0 || got.Files[len(got.Files)-1] != want {
		t.Errorf("%+v", got)
	}
}

// Nothing of what was read is left behind.
func TestSiftWipes(t *testing.T) {
	h := newSSH(t, good)
	h.write(h.path(".ssh/id"), secret, 0o600, testUID)
	var shown [][]byte
	Sift(h.inside(), h.Account, []string{".ssh"}, func(head []byte) (int, bool) {
		shown = append(shown, head)
		return 0, true
	})
	if len(shown) != 2 || len(bytes.Trim(bytes.Join(shown, nil), "\x00")) > 0 {
		t.Errorf("%q", shown)
	}
}

// A link is followed to a file of the home, and to nothing else: not out, not through another one, not to a file that is looked at anyway.
func TestSiftFollowsLinks(t *testing.T) {
	h := newSSH(t, good)
	h.write(h.path(".ssh/id"), secret, 0o600, testUID)
	h.mkdir(h.path("dot"), 0o700, testUID)
	h.write(h.path("dot/id"), secret, 0o644, testUID)
	h.write(h.path("dot/notes"), "nothing\n", 0o644, testUID)
	h.must(unix.Mkfifo(h.path("dot/fifo"), 0o644))
	h.write(h.base+"/alice2", secret, 0o644, testUID)
	h.link("dot", h.path("dots"), testUID)
	h.link("dot/id", h.path("last"), testUID)
	for name, target := range map[string]string{
		"absolute": h.path("dot/id"), "relative": "../dot/id", "detour": ".././dot/../dot//id", // followed
		"notes": "../dot/notes", "fifo": "../dot/fifo", "directory": "../dot", "same": "id", "same2": h.path(".ssh/id"), "home": "..", "loop": "loop", "nowhere": "../nowhere/x", "file": "../dot/id/x", // nothing
		"above": "../../alice2", "outside": h.base + "/alice2", "magic": "/proc/self/root" + h.path("dot/id"), "sneaky": h.Home + "/../alice2", "through": "../dots/id", "through2": "../last", // told
	} {
		h.link(target, h.path(".ssh", name), testUID)
	}
	got := h.siftsTo([]string{".ssh/absolute", ".ssh/detour", ".ssh/id", ".ssh/relative"}, ".ssh/above", ".ssh/magic", ".ssh/outside", ".ssh/sneaky", ".ssh/through", ".ssh/through2")
	if len(got.Files) > 0 && got.Files[0].Mode != 0o644 {
		t.Errorf("%+v: the mode is not that of the file", got.Files[0])
	}
	h.must(errors.Join(os.Rename(h.path(".ssh"), h.path("s")), os.Symlink("s", h.path(".ssh")), os.Lchown(h.path(".ssh"), testUID, testUID)))
	if got := h.sifted(".ssh"); !slices.Equal(got.paths(), []string{".ssh/id"}) || len(got.Blind) < 10 {
		t.Errorf("behind a link: %+v", got)
	}
}

// A directory that is not there holds nothing; what cannot be looked at is told.
func TestSiftTellsWhatItDoesNotSee(t *testing.T) {
	for title, c := range map[string]struct {
		spoil func(h *home)
		found []string
		blind []string
	}{
		"no .ssh":       {func(*home) {}, nil, nil},
		"no home":       {func(h *home) { h.must(os.Remove(h.Home)) }, nil, nil},
		"a FIFO":        {func(h *home) { h.must(unix.Mkfifo(h.path(".ssh"), 0o600)) }, nil, []string{".ssh"}},
		"link to none":  {func(h *home) { h.link("nowhere", h.path(".ssh"), testUID) }, nil, nil},
		"link to /etc":  {func(h *home) { h.link("/etc", h.path(".ssh"), testUID) }, nil, []string{".ssh"}},
		"not to list":   {func(h *home) { h.mkdir(h.path(".ssh"), 0o300, testUID) }, nil, []string{".ssh"}},
		"not to search": {func(h *home) { h.sshWith(0o600, 0o600, testUID) }, nil, []string{".ssh"}},
		"a shut home":   {func(h *home) { h.sshWith(0o700, 0o600, testUID); h.must(os.Chmod(h.Home, 0o600)) }, nil, []string{".ssh"}},
		"not to read":   {func(h *home) { h.sshWith(0o700, 0o200, testUID) }, nil, []string{".ssh/id"}},
		"root's":        {func(h *home) { h.sshWith(0o700, 0o600, 0) }, nil, []string{".ssh/id"}},
		"elsewhere": {func(h *home) {
			h.sshWith(0o700, 0o600, testUID)
			h.must(os.Rename(h.path(".ssh"), h.path("s")))
			h.link("s", h.path(".ssh"), testUID)
		}, []string{".ssh/id"}, nil},
	} {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			c.spoil(h)
			h.siftsTo(c.found, c.blind...)
		})
	}
}

// sshWith makes a .ssh with one file that the judge knows.
func (h *home) sshWith(dir, file os.FileMode, uid int) {
	h.Helper()
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.path(".ssh/id"), secret, file, uid)
	h.must(os.Chmod(h.path(".ssh"), dir))
}

// Neither a lease nor a mount of the user's own is waited for.
func TestSiftWaitsForNothing(t *testing.T) {
	testenv.Need(t, "root", "mount", "fuse")
	h := newSSH(t, good)
	h.write(h.path(".ssh/id"), secret, 0o600, testUID)
	h.write(h.path(".ssh/leased"), secret, 0o600, testUID)
	file, err := os.OpenFile(h.path(".ssh/leased"), os.O_RDWR, 0)
	h.must(err)
	defer file.Close()
	_, err = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	h.must(err)
	h.mkdir(h.path(".ssh/mount"), 0o700, testUID)
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	h.must(err)
	h.must(unix.Mount("keyreeve-test", h.path(".ssh/mount"), "fuse", unix.MS_NOSUID|unix.MS_NODEV,
		fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", device, testUID, testUID)))
	t.Cleanup(func() { h.must(errors.Join(unix.Close(device), unix.Unmount(h.path(".ssh/mount"), unix.MNT_DETACH))) })
	if _, err := within(t, 20*time.Second, "it", func() (struct{}, error) {
		h.siftsTo([]string{".ssh/id"}, ".ssh/leased", ".ssh/mount")
		return struct{}{}, nil
	}); err != nil {
		t.Error(err)
	}
}

// What hangs all the same is given up: the other directories are looked at, and so are the key files.
func TestSiftIsGivenUp(t *testing.T) {
	t.Parallel()
	h := newSSH(t, good)
	dir, stall := h.deadServer()
	h.write(h.path(".ssh/id"), secret, 0o600, testUID)
	h.link(dir+"/keys", h.path("keys"), testUID)
	for _, limit := range []time.Duration{20 * time.Second, 2 * time.Second} {
		got, _ := within(t, limit, "it", func() (Sifted[int], error) { return h.sifted("keys", ".ssh"), nil })
		if len(got.Blind) == 0 || got.Blind[0].Path != "keys" {
			t.Errorf("%+v", got)
		}
		if h.door.Stuck() != 1 {
			t.Errorf("%d threads hang", h.door.Stuck())
		}
	}
	h.expect(Regular)
	stall.Let()
	h.back()
	if got := h.sifted("keys", ".ssh"); !slices.Equal(got.paths(), []string{".ssh/id"}) {
		t.Errorf("when it answers: %+v", got)
	}
}

// Whatever a user puts there is bounded, and that it goes on is told.
func TestSiftIsBounded(t *testing.T) {
	testenv.Need(t, "root")
	for title, c := range map[string]struct {
		fill  func(h *home)
		found int
		blind []string
	}{
		"names": {func(h *home) {
			for i := range siftNames - 1 {
				h.must(unix.Mknod(h.path(fmt.Sprintf(".ssh/x%d", i)), unix.S_IFREG|0o600, 0))
			}
			h.write(h.path(".ssh/y"), secret, 0o600, testUID)
		}, 1, nil},
		"more names": {func(h *home) {
			for i := range siftNames + 1 {
				h.must(unix.Mknod(h.path(fmt.Sprintf(".ssh/x%d", i)), unix.S_IFREG|0o600, 0))
			}
		}, 0, []string{".ssh"}},
		"files": {func(h *home) {
			for i := range siftFiles + 10 {
				h.write(h.path(fmt.Sprintf(".ssh/x%d", i)), secret, 0o600, testUID)
			}
		}, siftFiles, []string{".ssh/x90", ".ssh/x91", ".ssh/x92", ".ssh/x93", ".ssh/x94", ".ssh/x95", ".ssh/x96", ".ssh/x97", ".ssh/x98", ".ssh/x99"}},
		"blind": {func(h *home) {
			for i := range siftBlind + 10 {
				h.write(h.path(fmt.Sprintf(".ssh/x%02d", i)), secret, 0, testUID)
			}
		}, 0, slices.Collect(func(yield func(string) bool) {
			for i := range siftBlind + 1 {
				if !yield(fmt.Sprintf(".ssh/x%02d", i)) {
					return
				}
			}
		})},
		"a sparse file of a terabyte": {func(h *home) {
			h.write(h.path(".ssh/x"), secret, 0o600, testUID)
			h.must(os.Truncate(h.path(".ssh/x"), 1<<40))
		}, 1, nil},
	} {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			c.fill(h)
			got := h.sifted(".ssh")
			if len(got.Files) != c.found || !slices.Equal(got.blindOf(), c.blind) {
				t.Errorf("%d files, %+v", len(got.Files), got.Blind)
			}
		})
	}
}

// One who exchanges a file with a FIFO, and with links to what is root's alone, has nothing shown that he could not read, and holds nobody up.
func TestSiftOfWhatIsExchanged(t *testing.T) {
	testenv.Need(t, "root")
	h := newSSH(t, good)
	root := h.base + "/roots"
	h.write(root, secret+"of root's", 0o600, 0)
	h.write(h.path(".ssh/id"), secret, 0o600, testUID)
	h.must(unix.Mkfifo(h.path(".ssh/fifo"), 0o600))
	h.link(root, h.path(".ssh/link"), testUID)
	var exchanged atomic.Int64
	end := h.loop(h.path(".ssh"), func(fd, n int) {
		if unix.Renameat2(fd, "id", fd, []string{"fifo", "link"}[n%2], unix.RENAME_EXCHANGE) == nil {
			exchanged.Add(1)
		}
	})
	for looks := 0; looks < 300 || exchanged.Load() < 300; looks++ {
		for _, file := range h.sifted(".ssh").Files {
			if file.What != len(secret) {
				t.Fatalf("%+v", file)
			}
		}
	}
	end()
}
