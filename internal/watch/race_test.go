package watch

import (
	"os"
	"testing"
)

// One user leaves a directory in the moment in which another was given the same watch: it is dead then, and the event that
// says so found nobody in the books.
func TestWatchThatAnotherEnds(t *testing.T) {
	s := newSite(t)
	path := s.mkdir("alice")
	wanted := Dir{Path: path}
	file, err := os.Open(path)
	s.must(err)
	defer file.Close()
	at, err := inodeOf(int(file.Fd()))
	s.must(err)
	s.must(s.Set("bob", nil, nil, []Dir{wanted}))
	asked := 0
	_, err = s.add(newSetting("alice"), at, wanted, func() (int, error) {
		wd, err := s.ask(int(file.Fd()))
		if asked++; asked == 1 {
			s.Drop("bob")
			s.settle() // the reader has read its end
		}
		return wd, err
	})
	s.must(err)
	s.settle()
	s.touch("alice", "k")
	s.wait("alice")
	s.must(s.Set("alice", nil, nil, []Dir{wanted}))
	if s.Len() != 1 || s.kernel() != 1 {
		t.Errorf("%d watches, %d in the kernel", s.Len(), s.kernel())
	}
}

// The same, without the control of the moment: he is watched, or gets a hint.
func TestManyLeaveOneDirectory(t *testing.T) {
	s := newSite(t)
	ssh := s.mkdir("alice", ".ssh")
	set := func(user string) error { return s.Set(user, nil, nil, []Dir{{Path: ssh}}) }
	for range 300 {
		s.must(set("bob"))
		left := s.spawn(func() error { s.Drop("bob"); return nil })
		s.must(set("alice"))
		left.ends("Drop")
		s.touch("alice", ".ssh", "k")
		s.wait("alice")
		s.Drop("alice")
		s.settle()
	}
	if s.Len() != 0 || s.kernel() != 0 {
		t.Errorf("%d watches left, %d in the kernel", s.Len(), s.kernel())
	}
}
