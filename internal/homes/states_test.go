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
		"group may write":    {0o755, 0o770, 0o660, Regular, 0o700},
		"everyone may write": {0o755, 0o777, 0o666, Regular, 0o700},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			h := newSSH(t, bad)
			h.must(os.Chmod(h.keys(), test.file))
			h.must(os.Chmod(h.path(".ssh"), test.ssh))
			h.must(os.Chmod(h.Home, test.home))
			file := h.expect(test.state)
			if tidy := test.file&0o022 == 0 && test.ssh&0o777 == 0o700 && test.state == Regular && !h.guarded; file.Tidy != tidy || tidy != (file.Detail == "") {
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
