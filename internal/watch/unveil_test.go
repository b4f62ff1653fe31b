package watch

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// veiledUser is nobody on this host.
const veiledUser = 65001

// asVeiled runs fn with the rights of veiledUser.
func asVeiled(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := unix.SetfsuidRetUid(veiledUser); err != nil {
		return err
	}
	err := fn()
	_, wrong := unix.SetfsuidRetUid(0)
	return errors.Join(err, wrong)
}

// A directory that its user may not read is unveiled for its first watch, and not again as long as that stands, although
// unveiling is an event for it and for the directory above.
func TestUnveil(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	above, inner := s.mkdir("alice"), s.mkdir("alice", "keys")
	s.must(errors.Join(os.Chmod(filepath.Dir(s.base), 0o711), os.Chmod(s.base, 0o711)))
	s.must(os.Chown(inner, veiledUser, veiledUser))
	s.must(os.Chown(above, veiledUser, veiledUser))
	s.must(errors.Join(os.Chmod(above, 0o300), os.Chmod(inner, 0o300)))
	count := 0
	unveil := func(path string, fn func() error) error {
		count++
		s.must(os.Chmod(path, 0o700))
		err := fn()
		return errors.Join(err, os.Chmod(path, 0o300))
	}
	set := func() error {
		return s.Set("alice", asVeiled, unveil, []Dir{{Path: above, Names: []string{"keys"}}, {Path: inner}})
	}
	if err := s.Set("alice", asVeiled, nil, []Dir{{Path: above}}); !errors.Is(err, unix.EACCES) || s.Len() != 0 {
		t.Errorf("without unveiling: %v, %d watches", err, s.Len())
	}
	rest := func() {
		for s.must(set()); s.settle()["alice"]; s.must(set()) {
			// as the daemon does: every hint is a Set
		}
	}
	rest()
	if count != 2 || s.Len() != 2 {
		t.Errorf("unveiled %d times, %d watches", count, s.Len())
	}
	s.touch("alice", "keys", "k")
	s.wait("alice")

	// Another inode needs a watch of its own.
	s.must(os.Rename(inner, s.path("alice", "old")))
	s.must(errors.Join(os.Mkdir(inner, 0o300), os.Chown(inner, veiledUser, veiledUser)))
	rest()
	s.touch("alice", "keys", "k")
	s.wait("alice")
}

// Where no watch can be set all the same, such as at the limit of watches, the event of unveiling does not lead to the next
// attempt.
func TestUnveilInVain(t *testing.T) {
	s := newSite(t)
	s.mkdir("alice")
	var st unix.Stat_t
	s.must(unix.Stat(s.path("alice"), &st))
	at := inode{dev: st.Dev, ino: st.Ino}
	if !s.veiled("alice", at) {
		t.Error("not even tried")
	}
	add := func() error { return unix.ENOSPC }
	refuse := func(string, func() error) error { return unix.EPERM }
	if err := s.unveil("alice", s.path("alice"), refuse, add); !errors.Is(err, unix.EPERM) || !s.veiled("alice", at) {
		t.Errorf("without a change of the mode: %v", err)
	}
	call := func(_ string, fn func() error) error { return fn() }
	if err := s.unveil("alice", s.path("alice"), call, add); !errors.Is(err, unix.ENOSPC) || s.veiled("alice", at) || !s.veiled("bob", at) {
		t.Errorf("in vain: %v", err)
	}
	s.Drop("alice")
	if !s.veiled("alice", at) {
		t.Error("remembered of a user who left")
	}
}
