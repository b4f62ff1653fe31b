package homes

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sshd lets nobody into a home that others may write, and they could exchange .ssh. It is told, and left as it is.
func TestHomeThatOthersMayWrite(t *testing.T) {
	deeper := "a/b/keys"
	for title, test := range map[string]struct {
		open func(h *home)
		told string
	}{
		"by nobody else": {func(*home) {}, ""},
		"by the group":   {func(h *home) { h.must(os.Chmod(h.Home, 0o770)) }, "the home (mode 0770)"},
		"by all":         {func(h *home) { h.must(os.Chmod(h.Home, 0o757)) }, "the home (mode 0757)"},
		"by an ACL":      {func(h *home) { h.must(unix.Setxattr(h.Home, "system.posix_acl_access", strangersACL, 0)) }, "the home (mode 0770)"},
		"below the home": {func(h *home) { h.must(os.Chmod(h.path("a"), 0o777)) }, "a (mode 0777)"},
	} {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			h.mkdir(h.path("a"), 0o755, testUID)
			h.mkdir(h.path("a/b"), 0o700, testUID)
			h.write(h.path(deeper), bad, 0o600, testUID)
			test.open(h)
			for range 2 {
				file, err := h.door.Read(h.Account, deeper)
				h.must(err)
				want := test.told
				if want != "" {
					want = "others may write to " + want + ": they can exchange what is in it, and sshd may let nobody in"
				}
				if file.Remark != want || file.Tidy == (h.guarded && string(file.Data) == bad) {
					t.Errorf("tidy %v (%s), told %q", file.Tidy, file.Detail, file.Remark)
				}
				before, err := os.Stat(h.Home)
				h.must(err)
				h.must(h.door.Replace(h.Account, deeper, file.Version, []byte(good)))
				if after, err := os.Stat(h.Home); err != nil || after.Mode() != before.Mode() {
					t.Errorf("the home has mode %v, %v", after.Mode(), err)
				}
			}
		})
	}
}

// strangersACL is version 2; user::rwx, user:65002:rwx, group::---, mask::rwx, other::--- (acl(5), linux/posix_acl_xattr.h).
var strangersACL = []byte("\x02\x00\x00\x00" +
	"\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\xea\xfd\x00\x00" +
	"\x04\x00\x00\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff")

// A default ACL on .ssh would give the new file to somebody else.
func TestDefaultACL(t *testing.T) {
	h := newSSH(t, bad)
	for _, attribute := range []string{"system.posix_acl_default", "system.posix_acl_access"} {
		h.must(unix.Setxattr(h.path(".ssh"), attribute, strangersACL, 0))
	}
	file := h.expect(Regular)
	if file.Tidy {
		t.Error("a .ssh that another may write is tidy")
	}
	h.enforce(file)
	h.outOfAnothersReach()
}

// One that takes all rights from the owner himself would keep sshd, which reads as he, from the new file.
func TestDefaultACLAgainstTheOwner(t *testing.T) {
	h := newSSH(t, bad)
	acl := bytes.Clone(strangersACL)
	acl[6] = 0 // user::---
	h.must(unix.Setxattr(h.path(".ssh"), "system.posix_acl_default", acl, 0))
	h.enforce(h.expect(Regular))
	h.outOfAnothersReach()
}

// An ACL on the file itself stays with the inode, when only the mode is put right: its mask lets nobody write then.
func TestACLOfTheFile(t *testing.T) {
	for _, content := range []string{good, bad} {
		h := newSSH(t, content)
		acl := bytes.Clone(strangersACL)
		for _, rights := range []int{6, 14, 30} {
			acl[rights] = 6 // rw-, of the owner, the other one and the mask
		}
		h.must(unix.Setxattr(h.keys(), "system.posix_acl_access", acl, 0))
		file := h.expect(Regular)
		if file.Tidy {
			t.Error("a file that another may write is tidy")
		}
		h.enforce(file)
		h.outOfAnothersReach()
	}
}

// outOfAnothersReach wants another user to be refused every write.
func (h *home) outOfAnothersReach() {
	h.Helper()
	h.UID, h.GID = otherUID, otherUID
	for _, path := range []string{h.path(".ssh", "planted"), h.keys()} {
		if err := h.user(func() error { return os.WriteFile(path, nil, 0o600) }); !errors.Is(err, unix.EACCES) {
			h.Errorf("another user's write of %s: %v", path, err)
		}
	}
	if h.content(h.keys()) != good {
		h.Error("written by another user")
	}
}

// search it keeps that.
func TestSSHThatOthersMayList(t *testing.T) {
	// version 2; user::rwx, user:65002:r-x, group::---, mask::r-x, other::---
	const acl = "\x02\x00\x00\x00" +
		"\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x05\x00\xea\xfd\x00\x00" +
		"\x04\x00\x00\x00\xff\xff\xff\xff" + "\x10\x00\x05\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	for _, test := range []struct {
		mode os.FileMode
		acl  string
	}{{mode: 0o755}, {mode: 0o744}, {mode: 0o705}, {mode: 0o700, acl: acl}, {mode: 0o711}, {mode: 0o701}, {mode: 0o700}} {
		h := newSSH(t, good)
		h.must(os.Chmod(h.path(".ssh"), test.mode))
		if h.guarded {
			h.must(os.Chown(h.keys(), 0, 0))
			h.must(os.Chmod(h.keys(), guardMode))
		}
		if test.acl != "" {
			h.must(unix.Setxattr(h.path(".ssh"), "system.posix_acl_access", []byte(test.acl), 0))
		}
		file, fine := h.expect(Regular), test.mode == 0o700 && test.acl == ""
		if file.Tidy != fine || !fine && !strings.HasPrefix(file.Detail, ".ssh has mode 07") {
			t.Errorf("mode %v: tidy %v (%s)", test.mode, file.Tidy, file.Detail)
		}
		h.enforce(file)
		info, err := os.Lstat(h.path(".ssh"))
		h.must(err)
		if info.Mode().Perm() != 0o700 {
			t.Errorf("mode %v: .ssh has mode %v", test.mode, info.Mode())
		}
		mine := h.user(func() error { return readDir(h.path(".ssh")) })
		h.must(os.Chmod(h.keys(), 0o644))
		h.UID, h.GID = otherUID, otherUID
		if err := h.user(func() error { return readDir(h.path(".ssh")) }); mine != nil || !errors.Is(err, unix.EACCES) {
			t.Errorf("mode %v: another user's list: %v, its own user's: %v", test.mode, err, mine)
		}
		if err := h.user(func() error { _, err := os.ReadFile(h.keys()); return err }); !errors.Is(err, unix.EACCES) {
			t.Errorf("mode %v: another user's read of the file: %v", test.mode, err)
		}
	}
}

func readDir(path string) error {
	_, err := os.ReadDir(path)
	return err
}
