package homes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReplaceRegular(t *testing.T) {
	h := newSSH(t, bad)
	old := h.expect(Regular)
	if string(old.Data) != bad || old.Tidy == h.guarded {
		t.Fatalf("read %q tidy %v", old.Data, old.Tidy)
	}
	h.enforce(old)
	if again := h.read(); again.Version == old.Version {
		t.Error("two files, one version")
	}
}

func TestReplaceMakesWhatIsMissing(t *testing.T) {
	h := newHome(t)
	none := h.expect(Missing)
	if none.Version != (Version{}) {
		t.Errorf("something was there: %+v", none.Version)
	}
	h.enforce(none)
	info, err := os.Stat(h.path(".ssh"))
	h.must(err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf(".ssh has mode %v", info.Mode())
	}
	h.must(os.Remove(h.keys()))
	h.enforce(h.expect(Missing))
}

func TestReplaceWithNothingKeepsTheFile(t *testing.T) {
	h := newSSH(t, bad)
	h.must(h.door.Replace(h.Account, keyPath, h.read().Version, nil))
	if file := h.expect(Regular); len(file.Data) != 0 {
		t.Errorf("left: %q", file.Data)
	}
}

func TestReplaceOfAnotherVersionIsRefused(t *testing.T) {
	edits := map[string]func(h *home){
		"append": func(h *home) { h.write(h.keys(), bad+bad, 0o600, testUID) },
		"same size, mtime put back": func(h *home) {
			var st unix.Stat_t
			h.must(unix.Stat(h.keys(), &st))
			h.write(h.keys(), strings.ToUpper(bad), 0o600, testUID)
			h.must(unix.UtimesNanoAt(unix.AT_FDCWD, h.keys(), []unix.Timespec{st.Atim, st.Mtim}, 0))
		},
		"rename over": func(h *home) {
			h.write(h.path("new"), bad, 0o600, testUID)
			h.must(os.Rename(h.path("new"), h.keys()))
		},
		"removed": func(h *home) { h.must(os.Remove(h.keys())) },
		".ssh swapped": func(h *home) {
			h.must(os.Rename(h.path(".ssh"), h.path("old")))
			h.mkdir(h.path(".ssh"), 0o700, testUID)
			h.must(os.Rename(h.path("old", name), h.keys()))
		},
	}
	for title, edit := range edits {
		t.Run(title, func(t *testing.T) {
			h := newSSH(t, bad)
			before := h.read()
			edit(h)
			now := h.read()
			if err := h.door.Replace(h.Account, keyPath, before.Version, []byte(good)); !errors.Is(err, ErrChanged) {
				t.Errorf("Replace: %v", err)
			}
			if err := h.door.Replace(h.Account, keyPath, Version{}, []byte(good)); now.State != Missing && !errors.Is(err, ErrChanged) {
				t.Errorf("Replace of nothing: %v", err)
			}
			if after := h.read(); now.State != Missing && after.Version != now.Version {
				t.Errorf("the file was touched")
			}
		})
	}
}

func TestSeizeLosesNothing(t *testing.T) {
	h := newSSH(t, bad)
	h.must(h.door.Seize(h.Account, keyPath, []byte(good)))
	h.settled()
	if old := h.content(h.aside(".ssh", "."+name)); old != bad {
		t.Errorf("aside: %q", old)
	}
}

// The user replaces the daemon's temporary file by his own between its creation
// and the rename.
func TestTempFileSwapped(t *testing.T) {
	h := newSSH(t, bad)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- h.user(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				found, _ := filepath.Glob(h.path(".ssh", ".keyreeve-new-*"))
				for _, temp := range found {
					_ = os.WriteFile(h.path("evil"), []byte(bad), 0o600)
					_ = unix.Renameat2(unix.AT_FDCWD, h.path("evil"), unix.AT_FDCWD, temp, unix.RENAME_EXCHANGE)
				}
			}
		})
	}()
	caught := 0
	for begun := time.Now(); caught < 20 && time.Since(begun) < time.Minute; {
		err := h.door.Seize(h.Account, keyPath, []byte(good))
		if err == nil {
			if now := h.content(h.keys()); now != good {
				t.Errorf("Replace was content with %q", now)
			}
		} else if !errors.Is(err, ErrChanged) {
			t.Errorf("Replace: %v", err)
		} else {
			caught++
		}
	}
	close(stop)
	h.must(<-done)
	if caught == 0 {
		t.Error("no swap was caught")
	}
}

// The user moves .ssh away and back while it is looked at and written: every call
// ends, and what is under the name at last is what the registry says.
func TestSSHMovedToAndFro(t *testing.T) {
	h := newSSH(t, bad)
	done := make(chan error, 1)
	go func() {
		done <- h.user(func() error {
			for range 50000 {
				// The daemon may have made another one in between.
				_ = os.Rename(h.path(".ssh"), h.path("away"))
				_ = os.Rename(h.path("away"), h.path(".ssh"))
			}
			return nil
		})
	}()
	outcomes := map[bool]int{}
	for moving := true; moving; {
		select {
		case err := <-done:
			h.must(err)
			moving = false
		default:
		}
		file, err := h.door.Read(h.Account, keyPath)
		if err != nil {
			t.Errorf("Read: %v", err)
			continue
		}
		if file.State != Missing && string(file.Data) == good {
			h.must(h.user(func() error { _ = os.WriteFile(h.keys(), []byte(bad), 0o600); return nil }))
		}
		err = h.door.Replace(h.Account, keyPath, file.Version, []byte(good))
		if err != nil && !errors.Is(err, ErrChanged) {
			t.Errorf("Replace: %v", err)
		}
		outcomes[err == nil]++
	}
	t.Logf("%d were changed, %d had to be seen again", outcomes[true], outcomes[false])
	h.enforce(h.read())
}

// The user exchanges .ssh for a link to a directory of somebody else's, in which he may write, and back, while it is
// looked at and written: nothing is ever made there.
func TestSSHExchangedForALink(t *testing.T) {
	h := newSSH(t, bad)
	const foreign, theirs = "foreign", "ssh-ed25519 AAAAsomebodyelses\n"
	h.mkdir(h.base+"/"+foreign, 0o777, otherUID)
	h.write(h.base+"/"+foreign+"/"+name, theirs, 0o666, otherUID)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- h.user(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				isLink := func(path string) bool { _, err := os.Readlink(path); return err == nil }
				if !isLink(h.path(".ssh")) && !isLink(h.path("other")) { // it was put aside
					// A change that is under way may make something in it meanwhile; then it goes the next time.
					if os.RemoveAll(h.path("other")) == nil {
						_ = os.Symlink("../"+foreign, h.path("other"))
					}
				}
				_ = unix.Renameat2(unix.AT_FDCWD, h.path(".ssh"), unix.AT_FDCWD, h.path("other"), unix.RENAME_EXCHANGE)
			}
		})
	}()
	begun, seen, outcomes := time.Now(), map[State]int{}, map[bool]int{}
	for (seen[Regular] < 50 || seen[BadDir] < 50 || outcomes[true] < 10 || outcomes[false] < 10) && time.Since(begun) < time.Minute {
		file, err := h.door.Read(h.Account, keyPath)
		if err != nil {
			t.Errorf("Read: %v", err)
			break
		}
		seen[file.State]++
		err = h.door.Replace(h.Account, keyPath, file.Version, []byte(good), keyPath+"2")
		if err != nil && !errors.Is(err, ErrChanged) {
			t.Errorf("Replace: %v", err)
		}
		outcomes[err == nil]++
		if entries, err := os.ReadDir(h.base + "/" + foreign); err != nil || len(entries) != 1 || h.content(h.base+"/"+foreign+"/"+name) != theirs {
			t.Errorf("in the other directory there is %v, %v", entries, err)
			break
		}
	}
	close(stop)
	h.must(<-done)
	if seen[Regular] == 0 || seen[BadDir] == 0 || outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("seen: %v, changed: %v", seen, outcomes)
	}
	h.enforce(h.read())
}

func TestReplaceBounds(t *testing.T) {
	h := newSSH(t, bad)
	before := h.read().Version
	if err := h.door.Replace(h.Account, keyPath, before, make([]byte, MaxSize+1)); !errors.Is(err, ErrRefused) {
		t.Errorf("too large: %v", err)
	}
	for _, odd := range []string{
		"", ".", "..", "/", "a/", "./a", "a//b", "../a", "/../a", ".ssh/../a", "a\x00b", "a\nb/k", "é/k", "\xff/k",
		strings.Repeat("a", 129) + "/k", strings.Repeat("a", 256), "/" + strings.Repeat("a/", 600) + "b",
	} {
		if err := h.door.Replace(h.Account, odd, before, nil); !errors.Is(err, ErrRefused) {
			t.Errorf("Replace %q: %v", odd, err)
		}
		if _, err := h.door.Read(h.Account, odd); !errors.Is(err, ErrRefused) {
			t.Errorf("Read %q: %v", odd, err)
		}
	}
}

// The umask belongs to the whole process and has no say in the modes.
func TestUmask(t *testing.T) {
	h := newHome(t)
	none := h.read()
	old := h.setUp("umask", 0o777)
	err := h.door.Replace(h.Account, keyPath, none.Version, []byte(good))
	h.setUp("umask", old)
	h.must(err)
	h.settled()
}

func BenchmarkRead(b *testing.B) {
	h := newSSH(b, strings.Repeat(bad, 10))
	for b.Loop() {
		h.read()
	}
}

func BenchmarkReplace(b *testing.B) {
	h := newSSH(b, bad)
	version := h.read().Version
	for b.Loop() {
		h.must(h.door.Replace(h.Account, keyPath, version, []byte(good)))
		version = h.read().Version
	}
}
