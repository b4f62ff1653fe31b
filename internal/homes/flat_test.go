package homes

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// newFlat is a directory of root's with a file for each of three users, of which the test's is the first. kind: of the file system; "": that of the host.
func newFlat(t *testing.T, kind string) kept {
	t.Helper()
	testenv.Need(t, "root")
	h := newHome(t)
	h.inVar()
	keys := h.base + "/keys"
	h.mkdir(keys, 0o755, 0)
	switch kind {
	case "":
	case "tmpfs":
		h.must(unix.Mount("none", keys, "tmpfs", 0, "mode=755"))
		t.Cleanup(func() { h.must(unix.Unmount(keys, 0)) })
	default:
		testenv.Need(t, "mount", kind)
		h.write(h.base+"/image", "", 0o600, 0)
		h.must(os.Truncate(h.base+"/image", 300<<20))
		for _, line := range [][]string{{"mkfs." + kind, "-q", h.base + "/image"}, {"mount", "-o", "loop", h.base + "/image", keys}} {
			program, err := testenv.Program(line[0])
			h.must(err)
			if out, err := exec.CommandContext(t.Context(), program, line[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", program, err, out)
			}
		}
		t.Cleanup(func() { h.must(unix.Unmount(keys, 0)) })
		h.must(os.Chmod(keys, 0o755))
	}
	for _, name := range []string{"alice", "bob", "carol"} {
		h.write(keys+"/"+name, bad, 0o644, 0)
	}
	return kept{h, keys + "/alice"}
}

// bob is the second one, with a home of his own.
func (k kept) bob() kept {
	n := *k.home
	n.Account = Account{Name: "bob", UID: otherUID, GID: otherUID, Home: k.base + "/bob"}
	return kept{&n, filepath.Dir(k.file) + "/bob"}
}

// stranger is a third one.
func (k kept) stranger() testenv.Account {
	return testenv.Account{UID: otherUID + 1, GID: otherUID + 1, Home: k.Home}
}

// open looks up a name that the kernel does not know yet, as sshd does, and wants an answer.
func (k kept) open(name string) {
	k.Helper()
	look := make(chan error, 1)
	go func() {
		_, err := os.Lstat(filepath.Join(filepath.Dir(k.file), name))
		look <- err
	}()
	select {
	case err := <-look:
		if !errors.Is(err, fs.ErrNotExist) {
			k.Error(err)
		}
	case <-time.After(10 * time.Second):
		k.Fatalf("a look-up of %s in the directory waits", name) // and so would all that follows
	}
}

// plain wants a file of root's that everybody may read, with nothing beside the others.
func (k kept) plain(text string) {
	k.Helper()
	var st unix.Stat_t
	k.must(unix.Lstat(k.file, &st))
	if got := k.content(k.file); got != text || st.Uid != 0 || st.Mode != unix.S_IFREG|0o644 {
		k.Errorf("%s holds %q, of uid %d, mode %o", k.file, got, st.Uid, st.Mode)
	}
	left, err := filepath.Glob(filepath.Dir(k.file) + "/.*")
	k.must(err)
	if len(left) > 0 {
		k.Errorf("left behind: %q", left)
	}
}

func byOwner(k kept) *testenv.Stall {
	k.must(os.Chown(k.file, testUID, testUID))
	k.must(os.Chmod(k.file, 0o600))
	return testenv.HoldFile(k.TB, k.attacker(), k.file, bad)
}

func byStranger(k kept) *testenv.Stall { return testenv.HoldByRead(k.TB, k.stranger(), k.file) }

// Whoever holds the lock of one file in a flat directory of root's, its owner by a write or a stranger by a read, has no part in the others: they are
// changed, and looked up. What is to go from the file that is held goes when he lets go.
func TestFlatDirectoryWithAHeldFile(t *testing.T) {
	t.Parallel()
	for title, c := range map[string]struct {
		kind string
		hold func(k kept) *testenv.Stall
	}{
		"by a stranger's read":           {"", byStranger},
		"by its owner's write":           {"", byOwner},
		"by a stranger's read on XFS":    {"xfs", byStranger},
		"by its owner's write on XFS":    {"xfs", byOwner},
		"by its owner's write on btrfs":  {"btrfs", byOwner},
		"by its owner's write, on tmpfs": {"tmpfs", byOwner},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			k := newFlat(t, c.kind)
			bob := k.bob()
			holder := c.hold(k)
			t.Cleanup(holder.Let)
			change := func() error { return k.door.Seize(k.Account, k.file, []byte(good)) }
			if file, err := k.door.Read(k.Account, k.file); err == nil { // on XFS it is held from readers too
				change = func() error { return k.door.Replace(k.Account, k.file, file.Version, []byte(good)) }
			}
			for range 2 {
				if err := change(); !errors.Is(err, ErrStuck) {
					t.Errorf("a change of the held one: %v, want ErrStuck", err)
				}
			}
			if n := k.door.Stuck(); n < 1 || n > 2 {
				t.Errorf("%d threads hang, want 1, or 2 with a read", n)
			}
			k.open("dave")
			bob.replace(bob.read())
			bob.plain(good)
			k.open("erin")
			holder.Let()
			k.back()
			k.must(k.door.Seize(k.Account, k.file, []byte(good)))
			if got := k.content(k.file); !strings.HasSuffix(got, good) || strings.Contains(got, bad) {
				t.Errorf("the file that was held has %q", got)
			}
		})
	}
}

// opened has the file open, as a stranger or its owner may.
func (k kept) opened(uid int, flags int) *os.File {
	k.Helper()
	var file *os.File
	k.must((&Door{own: anyUser}).As(Account{Name: "reader", UID: uid, GID: uid, Home: k.Home}, func() (err error) {
		file, err = os.OpenFile(k.file, flags, 0)
		return err
	}))
	k.Cleanup(func() { _ = file.Close() })
	return file
}

// Somebody has the file open, and could hold its lock at any moment: what goes from it goes at once all the same, what is granted stays, and comes.
// sshd never finds the file without what stays, and no name is changed meanwhile.
func TestFlatDirectoryWithAnOpenFile(t *testing.T) {
	const stays, goes, comes = "ssh-ed25519 AAAAstays\n", "from=\"10.0.0.0/8\" ssh-ed25519 AAAAgoes with a comment\n", "ssh-ed25519 AAAAcomes\n"
	for title, c := range map[string]struct{ before, after, want string }{
		"a key goes":              {stays + goes, stays, stays},
		"from before":             {goes + stays, stays, strings.Repeat("#", len(goes)-1) + "\n" + stays},
		"all go":                  {goes + bad, "", ""},
		"one comes":               {stays, comes + stays, stays + comes},
		"one comes, without a LF": {strings.TrimSuffix(stays, "\n"), stays + comes, stays + comes},
		"one for another":         {goes + stays, comes + stays, strings.Repeat("#", len(goes)-1) + "\n" + stays + comes},
		"twice":                   {stays + stays, stays, stays},
		"a long line":             {"#" + strings.Repeat("x", 9000) + "\n" + stays, stays, strings.Repeat("#", 4096) + "\n" + strings.Repeat("#", 4095) + "\n" + strings.Repeat("#", 808) + "\n" + stays},
	} {
		t.Run(title, func(t *testing.T) {
			k := newFlat(t, "")
			k.write(k.file, c.before, 0o644, 0)
			reader := k.opened(otherUID, os.O_RDONLY)
			before := k.read()
			k.must(k.door.Replace(k.Account, k.file, before.Version, []byte(c.after)))
			k.plain(c.want)
			same, err := reader.Stat()
			k.must(err)
			if now, err := os.Stat(k.file); err != nil || !os.SameFile(same, now) {
				t.Errorf("another file has its name: %v", err)
			}
			k.must(reader.Close())
			k.must(k.door.Replace(k.Account, k.file, k.read().Version, []byte(c.after)))
			k.plain(c.after)
		})
	}
}

// Nothing that an owner may do with a file of his in root's directory keeps a key in it, while he has it open.
func TestFlatDirectoryWithAFileOfHis(t *testing.T) {
	for title, c := range map[string]struct {
		spoil  func(k kept, f *os.File) error
		closed bool
	}{
		"open":              {func(kept, *os.File) error { return nil }, false},
		"not to be written": {func(k kept, _ *os.File) error { return os.Chmod(k.file, 0o400) }, false},
		"not to be read":    {func(k kept, _ *os.File) error { return os.Chmod(k.file, 0o200) }, false},
		"too large":         {func(_ kept, f *os.File) error { return f.Truncate(MaxSize + 1) }, false},
		"under a lease": {func(k kept, f *os.File) error {
			return k.user(func() error {
				_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
				return err
			})
		}, true},
	} {
		t.Run(title, func(t *testing.T) {
			k := newFlat(t, "")
			k.write(k.file, bad, 0o600, testUID)
			file := k.opened(testUID, os.O_RDWR)
			k.must(c.spoil(k, file))
			before, err := k.door.Read(k.Account, k.file)
			k.must(err)
			err = k.door.Replace(k.Account, k.file, before.Version, []byte(good))
			info, wrong := os.Lstat(k.file)
			k.must(wrong)
			if c.closed {
				if err == nil || info.Mode() != 0 {
					t.Errorf("Replace: %v, and the mode is %v", err, info.Mode())
				}
			} else if got := k.content(k.file); err != nil || strings.Contains(got, bad) || !strings.HasSuffix(got, good) || info.Mode() != 0o600 {
				t.Errorf("Replace: %v, and the file holds %.80q, mode %v", err, got, info.Mode())
			}
			k.must(file.Close())
			k.must(k.door.Seize(k.Account, k.file, []byte(good)))
			if got := k.content(k.file); got != good {
				t.Errorf("the file holds %q", got)
			}
		})
	}
}

// By another name its owner could write to it unseen, and it keeps its inode while he has it open: all that is to go goes, and that it could come back is
// told. That it changes all the time, so that it is tried again at once, is not.
func TestFlatDirectoryWithAFileOfTwoNames(t *testing.T) {
	k := newFlat(t, "")
	k.write(k.file, bad, 0o600, testUID)
	k.must(k.user(func() error { return os.Link(k.file, k.path("other")) }))
	file := k.opened(testUID, os.O_RDWR)
	if err := k.door.Replace(k.Account, k.file, k.read().Version, []byte(good)); err == nil || errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "it has another name") {
		t.Errorf("Replace: %v", err)
	}
	if got := k.content(k.file); strings.Contains(got, bad) || !strings.HasSuffix(got, good) {
		t.Errorf("the file holds %q", got)
	}
	k.must(file.Close())
	k.must(k.door.Replace(k.Account, k.file, k.read().Version, []byte(good)))
	k.plain(good)
	if got := k.content(k.path("other")); strings.Contains(got, bad) {
		t.Errorf("by its other name it holds %q", got)
	}
}

// Without room for anything new what goes goes, and what is granted stays.
func TestFlatDirectoryWithoutRoom(t *testing.T) {
	k := newFlat(t, "tmpfs")
	k.write(k.file, bad+good, 0o644, 0)
	before := k.read().Version
	k.must(unix.Mount("none", filepath.Dir(k.file), "", unix.MS_REMOUNT, "size=16k"))
	for err := error(nil); err == nil; err = os.WriteFile(filepath.Join(filepath.Dir(k.file), "fill"+time.Now().String()), make([]byte, 4096), 0o600) {
	}
	more := strings.Repeat("# more\n", 1000)
	if err := k.door.Replace(k.Account, k.file, before, []byte(good+more)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Replace: %v", err)
	}
	k.plain(strings.Repeat("#", len(bad)-1) + "\n" + good)
	k.must(k.door.Replace(k.Account, k.file, k.read().Version, []byte(good)))
	if got := k.content(k.file); strings.Contains(got, bad) || !strings.HasSuffix(got, good) {
		t.Errorf("the file holds %q", got)
	}
}

// The new file is nobody's to open before it has its name, and everybody's then.
func TestFlatDirectoryWithANewFile(t *testing.T) {
	k := newFlat(t, "")
	k.must(os.Remove(k.file))
	k.must(k.door.Replace(k.Account, k.file, k.expect(Missing).Version, []byte(good)))
	k.plain(good)
	s, err := k.spot(k.file)
	k.must(err)
	version := k.read().Version
	k.must(k.inside().hand(k.Account, s, new(effort), func(owner uint32) error {
		j := job{effort: new(effort), door: k.inside(), account: k.Account, spot: s, before: version, after: []byte(bad), uid: owner, at: none()}
		defer j.end()
		if err := j.find(); err != nil {
			return err
		}
		temp, err := j.stage()
		if err != nil {
			return err
		}
		defer temp.discard()
		if now, err := stat(temp.fd); err != nil || now.perm() != 0o600 || now.uid != 0 {
			t.Errorf("before it has its name: uid %d, mode %04o, %v", now.uid, now.perm(), err)
		}
		return j.install(temp)
	}))
	k.plain(bad)
}

// What a crash left there and somebody holds stays until he lets go, and holds nobody up.
func TestFlatDirectoryWithAHeldLeftover(t *testing.T) {
	t.Parallel()
	k := newFlat(t, "")
	text := k.content(k.file)
	dead := exec.Command("true")
	k.must(dead.Run())
	by, err := newMaker()
	k.must(err)
	by.pid = dead.Process.Pid
	left := filepath.Join(filepath.Dir(k.file), by.tempName())
	k.write(left, bad, 0o644, 0)
	holder := testenv.HoldByRead(t, k.stranger(), left)
	t.Cleanup(holder.Let)
	k.door.Clean(k.Account, k.file)
	if _, err := os.Lstat(left); err != nil || k.door.Stuck() != 0 {
		t.Errorf("%v, and %d threads hang", err, k.door.Stuck())
	}
	k.open("dave")
	holder.Let()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		k.door.Clean(k.Account, k.file)
		if _, err := os.Lstat(left); errors.Is(err, fs.ErrNotExist) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it stays when nobody holds it")
		}
	}
	k.plain(text)
}
