package homes

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

func (h *home) noMark() {
	h.Helper()
	for _, dir := range []string{"", ".ssh"} {
		for _, entry := range h.entries(dir) {
			if strings.HasSuffix(entry, markSuffix) || strings.HasPrefix(entry, tempPrefix) {
				h.Errorf("left behind in %q: %s", dir, entry)
			}
		}
	}
}

// A .ssh of root's that is renewed for one file takes the other one away, too:
// that must not look as if there never was one.
func TestRenewalRemembersTheOtherFile(t *testing.T) {
	h := newHome(t)
	h.mkdir(h.path(".ssh"), 0o755, 0)
	h.write(h.keys(), good, 0o644, 0)
	h.write(h.keys()+"2", bad, 0o644, 0)
	second, err := h.door.Read(h.Account, keyPath+"2")
	h.must(err)
	h.must(h.door.Replace(h.Account, keyPath+"2", second.Version, nil, keyPath))
	h.enforce(h.expect(Unreadable))
	h.noMark()
	if got := h.content(h.keys() + "2"); got != "" {
		t.Errorf("the second file: %q", got)
	}
}

// A mark is the user's: he may make one of anything, anywhere.
func TestMarkOfTheUsersOwn(t *testing.T) {
	makers := map[string]func(h *home, path string){
		"link to root's file": func(h *home, path string) {
			h.write(h.base+"/root", "secret", 0o600, 0)
			h.link(h.base+"/root", path, testUID)
		},
		"FIFO":  func(h *home, path string) { h.must(unix.Mkfifo(path, 0o666)) },
		"empty": func(h *home, path string) { h.write(path, "", 0o600, testUID) },
		"keys":  func(h *home, path string) { h.write(path, bad, 0o600, testUID) },
		"directory": func(h *home, path string) {
			h.mkdir(path, 0o700, testUID)
			h.write(path+"/mine", bad, 0o600, testUID)
		},
		"root's file": func(h *home, path string) { h.write(path, bad, 0o600, 0) },
		"foreign mount": func(h *home, path string) {
			testenv.Need(h.TB, "mount")
			h.mkdir(path, 0o700, testUID)
			h.must(unix.Mount("proc", path, "proc", 0, ""))
			h.Cleanup(func() { h.must(unix.Unmount(path, unix.MNT_DETACH)) })
		},
	}
	for title, maker := range makers {
		for mark, state := range map[string]State{".ssh/." + name + markSuffix: Unreadable, ".ssh" + markSuffix: BadDir} {
			t.Run(title+" as "+mark, func(t *testing.T) {
				h := newSSH(t, bad)
				maker(h, h.path(mark))
				h.enforce(h.expect(Regular))
				if stays := state == BadDir || title == "foreign mount"; exists(h.path(mark)) != stays {
					t.Errorf("the mark is there: %v", !stays)
				}
				h.must(os.Remove(h.keys()))
				if !exists(h.path(mark)) {
					h.expect(Missing)
					maker(h, h.path(mark))
				}
				file := h.expect(state)
				if len(file.Data) != 0 {
					t.Errorf("read: %q", file.Data)
				}
				h.enforce(file)
				if stays := title == "foreign mount"; exists(h.path(mark)) != stays {
					t.Errorf("the mark is there: %v", !stays)
				}
				if root, err := os.ReadFile(h.base + "/root"); err == nil && string(root) != "secret" {
					t.Error("root's file was written")
				}
			})
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func disarm(door *Door, a Account) error {
	return door.As(a, func() error {
		p, err := door.locate(a, spot{dirs: []string{".ssh"}, name: name}, testUID, new(effort))
		if err != nil {
			return err
		}
		defer p.close()
		j := job{effort: new(effort), door: door, uid: testUID}
		return j.disarm(p.dir, name)
	})
}

// When the directory has no room for another name either, sshd must still not
// read what stands there.
func TestDisarm(t *testing.T) {
	h := newSSH(t, bad)
	shut := func() {
		t.Helper()
		if remote, ok := h.door.(*remoteDoor); ok {
			_, err := remote.call(ask{Call: "disarm", Account: h.Account})
			h.must(err)
		} else {
			h.must(disarm(h.inside(), h.Account))
		}
	}
	shut()
	h.enforce(h.expect(Unreadable))
	h.must(os.Remove(h.keys()))
	h.write(h.path("elsewhere"), bad, 0o600, testUID)
	h.link("../elsewhere", h.keys(), testUID)
	shut()
	h.expect(Missing)
	if h.content(h.path("elsewhere")) != bad {
		t.Error("the link was followed")
	}
}
