package watch

import (
	"errors"
	"os"
	"testing"
)

// The link .ssh leads to d/ssh: whoever exchanges d exchanges .ssh.
func TestSwappedParentOfSSHIsAHint(t *testing.T) {
	s := newSite(t)
	ssh := s.mkdir("alice", "d", "ssh")
	s.mkdir("alice", "d2", "ssh")
	set := func() error {
		return s.Set("alice", nil, nil, []Dir{
			{Path: s.path("alice"), Names: []string{".ssh", "d"}},
			{Path: s.path("alice", "d"), Names: []string{"ssh"}},
			{Path: ssh},
		})
	}
	s.must(set())
	s.settle()
	s.touch("alice", "d", "file")
	s.touch("alice", "file")
	s.quiet("alice")
	s.must(os.Rename(s.path("alice", "d"), s.path("alice", "d.ok")))
	s.must(os.Rename(s.path("alice", "d2"), s.path("alice", "d")))
	s.wait("alice")
	for s.must(set()); s.settle()["alice"]; s.must(set()) {
		// as the daemon does: every hint is a Set
	}
	s.touch("alice", "d", "ssh", "k")
	s.wait("alice")
	s.settle()
	s.must(os.Rename(ssh, s.path("alice", "d", "gone")))
	s.wait("alice")
	if err := set(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the moved directory: %v", err)
	}
	if s.Len() != 2 || s.kernel() != 2 {
		t.Errorf("%d watches, %d in the kernel", s.Len(), s.kernel())
	}
}

func TestPathsToOneDirectoryAddTheirNames(t *testing.T) {
	s := newSite(t)
	s.mkdir("alice")
	s.must(s.Set("alice", nil, nil, []Dir{{Path: s.path("alice"), Names: []string{".ssh"}}, {Path: s.path("alice"), Names: []string{"d"}}}))
	s.settle()
	s.touch("alice", "file")
	s.quiet("alice")
	s.mkdir("alice", "d")
	s.wait("alice")
	s.settle()
	s.mkdir("alice", ".ssh")
	s.wait("alice")
}

func TestRootDirectory(t *testing.T) {
	s := newSite(t)
	s.must(s.Set("alice", nil, nil, []Dir{{Path: "/", Names: []string{"keyreeve-nothing"}}}))
	s.quiet("alice")
	s.Drop("alice")
	if s.Len() != 0 {
		t.Error("still watched")
	}
}
