package homes

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A link to another's file in the place of the key file, which fs.protected_hardlinks keeps from users (proc_sys_fs(5)) where it is on: whatever
// the setting, and with a full disk too, nothing is written to what others own.
func TestHardLinkToAStrangersFile(t *testing.T) {
	for title, full := range map[string]bool{"room": false, "full disk": true} {
		for whose, uid := range map[string]int{"root": 0, "stranger": otherUID} {
			t.Run(title+", "+whose, func(t *testing.T) {
				h := small(t)
				h.mkdir(h.path(".ssh"), 0o700, testUID)
				theirs := h.Home + ".theirs"
				h.write(theirs, bad, 0o666, uid)
				h.must(os.Link(theirs, h.keys()))
				if full {
					h.fill()
				}
				err := h.door.Replace(h.Account, keyPath, h.read().Version, []byte(good))
				if full != errors.Is(err, unix.ENOSPC) || !full && err != nil {
					t.Errorf("Replace: %v", err)
				}
				if got := h.content(theirs); got != bad {
					t.Errorf("the other's file holds %q", got)
				}
				var st unix.Stat_t
				if h.must(unix.Stat(theirs, &st)); st.Mode&0o7777 != 0o666 || int(st.Uid) != uid {
					t.Errorf("the other's file has mode %o, owner %d", st.Mode, st.Uid)
				}
				if data, err := os.ReadFile(h.keys()); err == nil && string(data) == bad {
					t.Error("the key is still there")
				}
			})
		}
	}
}

// Locks that programs ask for (flock(2), fcntl(2)) are no lock for who asks for none.
func TestLocksOfTheUser(t *testing.T) {
	h := newSSH(t, bad)
	for _, path := range []string{h.Home, h.path(".ssh"), h.keys()} {
		file, err := os.Open(path)
		h.must(err)
		defer func() { h.must(file.Close()) }()
		h.must(unix.Flock(int(file.Fd()), unix.LOCK_EX))
	}
	file, err := os.OpenFile(h.keys(), os.O_RDWR, 0)
	h.must(err)
	defer func() { h.must(file.Close()) }()
	h.must(unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	begun := time.Now()
	h.enforce(h.expect(Regular))
	if took := time.Since(begun); took > stuckCheck*stuckTimes {
		t.Errorf("it took %v", took)
	}
}

// A process without descriptors reads nothing, and takes nothing for missing, unreadable or misplaced: who gets as far as to change
// something changes it whole.
func TestNoDescriptorLeft(t *testing.T) {
	if _, child := alone(t, 0); !child {
		return
	}
	h := newSSH(t, bad)
	door := h.inside()
	var old unix.Rlimit
	h.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	limit := func(n uint64) { h.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: old.Max})) }
	failed, done := 0, 0
	for n := uint64(3); done < 3; n++ {
		if n == 200 {
			t.Fatal("it never worked")
		}
		h.must(os.WriteFile(h.keys(), []byte(bad), 0o600))
		whole := h.expect(Regular)
		limit(n)
		file, readErr := door.Read(h.Account, keyPath)
		changeErr := door.Replace(h.Account, keyPath, whole.Version, []byte(good))
		limit(old.Cur)
		if readErr == nil && (file.State != Regular || string(file.Data) != bad) {
			t.Errorf("with %d descriptors the file is %v: %q (%s)", n, file.State, file.Data, file.Detail)
		}
		want := good
		switch {
		case readErr != nil || changeErr != nil:
			failed, want = failed+1, bad
		default:
			done++
		}
		if got := h.content(h.keys()); got != want && (changeErr == nil || got != good) {
			t.Errorf("with %d descriptors: %v, %v; the file holds %q", n, readErr, changeErr, got)
		}
		if changeErr != nil && !errors.Is(changeErr, unix.EMFILE) {
			t.Errorf("with %d descriptors: %v", n, changeErr)
		}
		if left := h.entries(""); len(left) != 1 {
			t.Errorf("with %d descriptors: in the home there is %q", n, left)
		}
		h.must(os.Chown(h.keys(), testUID, testUID))
	}
	if failed < 3 {
		t.Errorf("%d times there were too few", failed)
	}
}
