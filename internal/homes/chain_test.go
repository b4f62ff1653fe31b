package homes

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

const chainPath = ".config/ssh/ak"

// newChain is a key file below two directories of the user's.
func newChain(t *testing.T) kept {
	t.Helper()
	h := newHome(t)
	h.mkdir(h.path(".config"), 0o755, testUID)
	h.mkdir(h.path(".config/ssh"), 0o755, testUID)
	k := kept{h, chainPath}
	k.write(k.at(), bad, 0o600, testUID)
	return k
}

func TestChainIsMade(t *testing.T) {
	k := kept{newHome(t), chainPath}
	k.enforce(k.expect(Missing))
	for _, dir := range []string{".config", ".config/ssh"} {
		info, err := os.Stat(k.path(dir))
		k.must(err)
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", dir, info.Mode())
		}
	}
}

// A directory on the way that is not fit goes aside, wherever it stands.
func TestChainThatIsNotFit(t *testing.T) {
	for title, spoil := range map[string]func(k kept, dir string){
		"file":       func(k kept, dir string) { k.write(dir, bad, 0o600, testUID) },
		"FIFO":       func(k kept, dir string) { k.must(unix.Mkfifo(dir, 0o666)) },
		"stranger's": func(k kept, dir string) { k.mkdir(dir, 0o777, otherUID) },
		"stranger's link": func(k kept, dir string) {
			k.mkdir(k.base+"/d", 0o755, testUID)
			k.link(k.base+"/d", dir, otherUID)
		},
		"link to root's": func(k kept, dir string) {
			k.mkdir(k.base+"/d", 0o777, 0)
			k.link(k.base+"/d", dir, testUID)
		},
		"link to itself": func(k kept, dir string) { k.link(dir, dir, testUID) },
		"through procfs": func(k kept, dir string) {
			k.mkdir(k.base+"/d", 0o755, testUID)
			k.link("/proc/self/root"+k.base+"/d", dir, testUID)
		},
	} {
		for _, dir := range []string{".config", ".config/ssh"} {
			t.Run(title+" as "+dir, func(t *testing.T) {
				k := newChain(t)
				k.must(os.RemoveAll(k.path(dir)))
				spoil(k, k.path(dir))
				k.enforce(k.expect(BadDir))
				above, last, _ := strings.Cut(dir, "/")
				if last == "" {
					above, last = "", ".config"
				}
				k.aside(above, last)
				if left, _ := os.ReadDir(k.base + "/d"); len(left) != 0 {
					t.Errorf("written through the link: %v", left)
				}
			})
		}
	}
}

// A link on the way is followed to a directory of the user's, and every place in
// which the path could be exchanged is watched.
func TestChainOverLinks(t *testing.T) {
	k := newChain(t)
	k.watched(Dir{k.Home, []string{".config"}}, Dir{k.path(".config"), []string{"ssh"}}, Dir{k.path(".config/ssh"), nil})
	k.mkdir(k.path("a"), 0o755, testUID)
	k.must(os.Rename(k.path(".config"), k.path("a/b")))
	k.link("a/b", k.path(".config"), testUID)
	k.must(os.Rename(k.path("a/b/ssh"), k.path("elsewhere")))
	k.link("../../elsewhere", k.path("a/b/ssh"), testUID)
	k.watched(Dir{k.Home, []string{".config", "a", "elsewhere"}}, Dir{k.path("a/b"), []string{"ssh"}}, Dir{k.path("a"), []string{"b"}}, Dir{k.path("elsewhere"), nil})
	k.enforce(k.expect(Regular))
	if k.content(k.path("elsewhere/ak")) != good {
		t.Error("the target was not written")
	}
	k.must(os.Remove(k.path(".config")))
	k.link("a/c", k.path(".config"), testUID)
	file := k.expect(Missing)
	if err := k.door.Replace(k.Account, k.file, file.Version, []byte(good)); !errors.Is(err, ErrRefused) {
		t.Errorf("behind a link to nothing: %v", err)
	}
}

func (k kept) watched(want ...Dir) {
	k.Helper()
	got, err := k.door.Dirs(k.Account, k.file)
	k.must(err)
	k.sameDirs(got, want)
}

// The link is further up than the directory that cannot be changed.
func TestChainIntoAReadOnlyPlace(t *testing.T) {
	testenv.Need(t, "root", "mount")
	k := newChain(t)
	snap := k.base + "/snap"
	k.mkdir(snap, 0o755, 0)
	k.must(unix.Mount("none", snap, "tmpfs", 0, "size=64k,mode=755"))
	t.Cleanup(func() { k.must(unix.Unmount(snap, unix.MNT_DETACH)) })
	k.mkdir(snap+"/config", 0o755, testUID)
	k.mkdir(snap+"/config/ssh", 0o755, testUID)
	k.write(snap+"/config/ssh/ak", bad, 0o600, testUID)
	k.must(unix.Mount("", snap, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	k.must(os.Rename(k.path(".config"), k.path("old")))
	k.link(snap+"/config", k.path(".config"), testUID)
	k.enforce(k.expect(Regular))
	if got, err := os.Readlink(k.aside("", ".config")); err != nil || got != snap+"/config" {
		t.Errorf("aside: %q %v", got, err)
	}
}

func TestChainOfModes(t *testing.T) {
	for title, test := range map[string]struct {
		home, config, ssh os.FileMode
		state             State
		sshAfter          os.FileMode
	}{
		"no search above": {0o755, 0o600, 0o700, Unreadable, 0o700},
		"all shut":        {0o000, 0o000, 0o000, Unreadable, 0o700},
		"no write above":  {0o500, 0o500, 0o500, Regular, 0o700},
		"others may":      {0o777, 0o777, 0o777, Regular, 0o700},
	} {
		t.Run(title, func(t *testing.T) {
			k := newChain(t)
			k.must(os.Chmod(k.path(".config/ssh"), test.ssh))
			k.must(os.Chmod(k.path(".config"), test.config))
			k.must(os.Chmod(k.Home, test.home))
			k.replace(k.expect(test.state))
			for path, want := range map[string]os.FileMode{k.Home: test.home, k.path(".config"): test.config, k.path(".config/ssh"): test.sshAfter, k.at(): k.mode()} {
				info, err := os.Lstat(path)
				k.must(err)
				if info.Mode().Perm() != want {
					t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
				}
			}
			if k.content(k.at()) != good {
				t.Errorf("left: %q", k.content(k.at()))
			}
		})
	}
}

func (k kept) replace(before File) {
	k.Helper()
	k.must(k.door.Replace(k.Account, k.file, before.Version, []byte(good)))
}

// root's directory is renewed, and what else was in it is not forgotten.
func TestChainOfRoots(t *testing.T) {
	k := newChain(t)
	k.must(os.Chown(k.path(".config/ssh"), 0, 0))
	k.write(k.path(".config/ssh/second"), bad, 0o644, 0)
	k.write(k.path(".config/ssh/third"), bad, 0o644, 0)
	file := k.expect(Regular)
	k.must(k.door.Replace(k.Account, k.file, file.Version, []byte(good), ".config/ssh/second", ".ssh/third", "/etc/third"))
	for name, state := range map[string]State{"ak": Regular, "second": Unreadable, "third": Missing} {
		if file, err := k.door.Read(k.Account, ".config/ssh/"+name); err != nil || file.State != state {
			t.Errorf("%s: %v %v", name, file.State, err)
		}
	}
}

// A directory on the way that cannot be made anew for lack of room leaves its mark.
func TestChainOnAFullDisk(t *testing.T) {
	h := small(t)
	k := kept{h, chainPath}
	k.link(".config", k.path(".config"), testUID)
	h.fill()
	for range 2 {
		if err := k.door.Replace(k.Account, k.file, k.expect(BadDir).Version, []byte(good)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Replace: %v", err)
		}
	}
	h.empty()
	k.enforce(k.expect(BadDir))
	k.aside("", ".config")
}
