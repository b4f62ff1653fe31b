package watch

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// .ssh is exchanged at some moment of a Set: either that is a hint, or the .ssh that is there now is watched.
func TestSSHIsExchangedDuringSet(t *testing.T) {
	s := newSite(t)
	home, ssh := s.mkdir("alice"), s.mkdir("alice", ".ssh")
	other := s.mkdir("alice", "other")
	spin := func(d time.Duration) {
		for begun := time.Now(); time.Since(begun) < d; {
			continue // a sleep would be longer
		}
	}
	const early, late = 200 * time.Microsecond, 30 * time.Microsecond
	hints, silent := 0, 0
	for begun := time.Now(); (hints < 50 || silent < 50) && time.Since(begun) < patience; {
		later := time.Duration(hints+silent)*time.Microsecond%(early+late) - early // than the Set
		done := make(chan error)
		as := func(fn func() error) error {
			go func() {
				spin(later)
				done <- unix.Renameat2(unix.AT_FDCWD, ssh, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
			}()
			spin(-later)
			return fn()
		}
		err := s.Set("alice", as, nil, dirs(home, ssh))
		s.must(<-done)
		s.must(err)
		if s.settle()["alice"] {
			hints++
		} else {
			silent++
			s.touch("alice", ".ssh", "k")
			s.wait("alice")
		}
		s.Drop("alice")
	}
	if hints == 0 || silent == 0 {
		t.Errorf("%d exchanges were hints, %d were not", hints, silent)
	}
}
