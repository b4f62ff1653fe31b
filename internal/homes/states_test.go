package homes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Each test here is one trick with the file, its name or its directories.

func TestHardLink(t *testing.T) {
	h := newSSH(t, bad)
	h.must(os.Link(h.keys(), h.path("other")))
	file := h.expect(Regular)
	if file.Tidy {
		t.Error("two links are tidy")
	}
	h.enforce(file)
	if h.content(h.path("other")) != bad {
		t.Error("written through the other name")
	}
}

func TestSecondFile(t *testing.T) {
	h := newSSH(t, good)
	h.write(h.keys()+"2", bad, 0o600, testUID)
	file, err := h.door.Read(h.Account, keyPath+"2")
	h.must(err)
	h.must(h.door.Replace(h.Account, keyPath+"2", file.Version, []byte(good)))
	if h.content(h.keys()+"2") != good {
		t.Error("authorized_keys2 was not replaced")
	}
}

func TestKeysFileIsIrregular(t *testing.T) {
	makers := map[string]func(h *home){
		"FIFO":   func(h *home) { h.must(unix.Mkfifo(h.keys(), 0o666)) },
		"socket": func(h *home) { h.must(unix.Mknod(h.keys(), unix.S_IFSOCK|0o666, 0)) },
		"device": func(h *home) { h.must(unix.Mknod(h.keys(), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5)))) },
		"directory": func(h *home) {
			h.mkdir(h.keys(), 0o700, testUID)
			h.write(h.keys()+"/mine", bad, 0o600, testUID)
		},
	}
	for title, maker := range makers {
		t.Run(title, func(t *testing.T) {
			h := newHome(t)
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			maker(h)
			h.enforce(h.expect(Irregular))
			if title == "directory" && h.content(h.aside(".ssh", "."+name)+"/mine") != bad {
				t.Error("the directory was lost")
			}
		})
	}
}

func TestHugeAndSparse(t *testing.T) {
	h := newSSH(t, bad)
	h.must(os.Truncate(h.keys(), 1<<40))
	file := h.expect(Oversize)
	if len(file.Data) != MaxSize || !bytes.HasPrefix(file.Data, []byte(bad)) || file.Tidy {
		t.Errorf("first part: %d bytes", len(file.Data))
	}
	h.enforce(file)
	h.aside(".ssh", "."+name)
	h.write(h.keys(), strings.Repeat("#", MaxSize), 0o600, testUID)
	h.expect(Regular)
	h.write(h.keys(), strings.Repeat("#", MaxSize+1), 0o600, testUID)
	h.expect(Oversize)
}

// 200 MB of comments, as sshd would read them all, hide a key.
func TestKeyBehindComments(t *testing.T) {
	h := newSSH(t, "")
	file, err := os.OpenFile(h.keys(), os.O_WRONLY, 0)
	h.must(err)
	comments := bytes.Repeat([]byte("# "+strings.Repeat("x", 61)+"\n"), 1<<14)
	for range 200 {
		_, err := file.Write(comments)
		h.must(err)
	}
	_, err = file.WriteString(bad)
	h.must(errors.Join(err, file.Close()))
	found := h.expect(Oversize)
	if len(found.Data) != MaxSize {
		t.Errorf("%d bytes were read", len(found.Data))
	}
	h.enforce(found)
}

func TestWriteLease(t *testing.T) {
	h := newSSH(t, bad)
	file, err := os.OpenFile(h.keys(), os.O_RDWR, 0)
	h.must(err)
	_, err = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	h.must(err)
	h.enforce(h.expect(Unreadable))
	h.must(file.Close())
	if h.content(h.aside(".ssh", "."+name)) != bad {
		t.Error("the leased file was lost")
	}
}

func TestModesThatKeepTheOwnerOut(t *testing.T) {
	tests := map[string]struct {
		home, ssh, file os.FileMode
		state           State
		sshAfter        os.FileMode
	}{
		"file 0400":          {0o755, 0o700, 0o400, Regular, 0o700},
		"file 0000":          {0o755, 0o700, 0o000, Unreadable, 0o700},
		".ssh 0300":          {0o755, 0o300, 0o600, Regular, 0o700},
		".ssh 0500":          {0o755, 0o500, 0o600, Regular, 0o700},
		".ssh 0000":          {0o755, 0o000, 0o600, Unreadable, 0o700},
		"home 0500":          {0o500, 0o700, 0o600, Regular, 0o700},
		"home 0000":          {0o000, 0o700, 0o600, Unreadable, 0o700},
		"all 0000":           {0o000, 0o000, 0o000, Unreadable, 0o700},
		"group may write":    {0o755, 0o770, 0o660, Regular, 0o750},
		"everyone may write": {0o755, 0o777, 0o666, Regular, 0o755},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			h := newSSH(t, bad)
			h.must(os.Chmod(h.keys(), test.file))
			h.must(os.Chmod(h.path(".ssh"), test.ssh))
			h.must(os.Chmod(h.Home, test.home))
			file := h.expect(test.state)
			if tidy := test.file&0o022 == 0 && test.ssh&0o722 == 0o700 && test.state == Regular && !h.guarded; file.Tidy != tidy || tidy != (file.Detail == "") {
				t.Errorf("tidy %v: %s", file.Tidy, file.Detail)
			}
			h.must(h.door.Replace(h.Account, keyPath, file.Version, []byte(good)))
			for path, want := range map[string]os.FileMode{h.Home: test.home, h.path(".ssh"): test.sshAfter, h.keys(): h.mode()} {
				info, err := os.Lstat(path)
				h.must(err)
				if info.Mode().Perm() != want {
					t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
				}
			}
			if got := h.content(h.keys()); got != good {
				t.Errorf("left: %q", got)
			}
			if test.state == Unreadable && h.content(h.aside(".ssh", "."+name)) != bad {
				t.Error("the unreadable file was lost")
			}
		})
	}
	t.Run("home 0500, .ssh a link", func(t *testing.T) {
		h := newHome(t)
		h.link(".ssh", h.path(".ssh"), testUID)
		h.must(os.Chmod(h.Home, 0o500))
		h.enforce(h.expect(BadDir))
		info, err := os.Stat(h.Home)
		h.must(err)
		if info.Mode().Perm() != 0o500 {
			t.Errorf("home has mode %v", info.Mode())
		}
	})
}

// inotify wants the right to read a directory, sshd the right to search it.
func TestSSHThatBlindsTheWatch(t *testing.T) {
	h := newHome(t)
	h.mkdir(h.path(".ssh"), 0o300, testUID)
	h.enforce(h.expect(Unreadable))
	info, err := os.Stat(h.path(".ssh"))
	h.must(err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf(".ssh has mode %v", info.Mode())
	}
}

func TestFileOfRootWithForeignKey(t *testing.T) {
	h := newSSH(t, bad)
	h.must(os.Chown(h.keys(), 0, 0))
	h.must(os.Chmod(h.keys(), 0o644))
	h.enforce(h.expect(Regular))
}

func TestFileOfRootOutOfReach(t *testing.T) {
	h := newSSH(t, "root:secret")
	h.must(os.Chown(h.keys(), 0, 0))
	file := h.expect(Unreadable)
	if len(file.Data) != 0 {
		t.Errorf("read with root's rights: %q", file.Data)
	}
	h.enforce(file)
}

func TestFileOfAStranger(t *testing.T) {
	for mode, state := range map[os.FileMode]State{0o600: Unreadable, 0o644: Regular} {
		h := newSSH(t, bad)
		h.must(os.Chown(h.keys(), otherUID, otherUID))
		h.must(os.Chmod(h.keys(), mode))
		file := h.expect(state)
		if file.Tidy {
			t.Error("a stranger's file is tidy")
		}
		h.enforce(file)
	}
}

// An account that was given the uid of an old one has what that left behind; one
// whose home is still another uid's is left alone.
func TestUIDIsReused(t *testing.T) {
	h := newSSH(t, bad)
	h.Account.Name = "newcomer"
	h.enforce(h.expect(Regular))

	h.must(os.Chown(h.Home, otherUID, otherUID))
	for call, err := range map[string]error{
		"Read":    func() error { _, err := h.door.Read(h.Account, keyPath); return err }(),
		"Replace": h.door.Replace(h.Account, keyPath, Version{loose: true}, []byte(bad)),
	} {
		if !errors.Is(err, ErrRefused) || !strings.Contains(fmt.Sprint(err), "owned by uid 65002, while the account has uid 65001") {
			t.Errorf("%s: %v", call, err)
		}
	}
	if got := h.content(h.keys()); got != good {
		t.Errorf("the other's file was changed: %q", got)
	}
}

// The file is written to all the time: it must be dealt with all the same.
func TestFileNeverKeepsStill(t *testing.T) {
	h := newSSH(t, bad)
	file, err := os.OpenFile(h.keys(), os.O_RDWR, 0)
	h.must(err)
	defer file.Close()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = file.Truncate(int64(len(bad) + i%1000))
			}
		}
	}()
	for range 20 {
		seen := h.read()
		err := h.door.Replace(h.Account, keyPath, seen.Version, []byte(good))
		if err == nil {
			break
		}
		if !errors.Is(err, ErrChanged) {
			t.Error(err)
		}
	}
	h.must(h.door.Seize(h.Account, keyPath, []byte(good)))
	close(stop)
	<-done
	h.settled()
}

func TestHomeIsRefused(t *testing.T) {
	h := newSSH(t, bad)
	refuse := func(title, path string) {
		t.Helper()
		a := h.Account
		a.Home = path
		if file, err := h.door.Read(a, keyPath); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: Read: %v %v", title, file.State, err)
		}
		if err := h.door.Replace(a, keyPath, Version{}, []byte(good)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: Replace: %v", title, err)
		}
		if _, err := h.door.Dirs(a, keyPath); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: Dirs: %v", title, err)
		}
	}
	h.mkdir(h.base+"/other", 0o777, otherUID)
	refuse("another's home", h.base+"/other")
	h.write(h.base+"/file", "", 0o644, testUID)
	refuse("a file", h.base+"/file")
	h.link("alice", h.base+"/mine", testUID)
	refuse("behind the user's link", h.base+"/mine")
	h.link("alice", h.base+"/strange", otherUID)
	refuse("behind a stranger's link", h.base+"/strange")
	refuse("in procfs", fmt.Sprintf("/proc/%d", os.Getpid()))
	h.mkdir(h.base+"/shut", 0o700, 0)
	h.mkdir(h.base+"/shut/home", 0o755, testUID)
	refuse("out of the user's reach", h.base+"/shut/home")

	h.link("alice", h.base+"/root", 0)
	h.Home = h.base + "/root"
	h.enforce(h.expect(Regular))
}

func TestNoHome(t *testing.T) {
	h := newHome(t)
	h.Home = h.base + "/late/home"
	if file, err := h.door.Read(h.Account, keyPath); !errors.Is(err, ErrNoHome) {
		t.Errorf("Read: %+v, %v", file, err)
	}
	if err := h.door.Replace(h.Account, keyPath, Version{}, nil); !errors.Is(err, ErrNoHome) {
		t.Errorf("Replace: %v", err)
	}
	if _, err := h.door.Dirs(h.Account, keyPath); !errors.Is(err, ErrNoHome) {
		t.Errorf("Dirs: %v", err)
	}
}

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
			h.mkdir(h.path("a/b"), 0o755, testUID)
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
