package watch

import (
	"fmt"
	"testing"
)

// Whom a mount point concerns: alice has a plain .ssh, bob one that is a link, carol no home yet.
func TestMountedTellsWhomItConcerns(t *testing.T) {
	s := newSite(t)
	s.user("alice")
	s.mkdir("data", "bob", "ssh")
	s.must(s.Set("bob", nil, nil, append(dirs(s.mkdir("bob"), s.path("data", "bob", "ssh")), Dir{Path: s.path("data"), Names: []string{"bob"}})))
	s.must(s.Set("carol", nil, nil, []Dir{{Path: s.base, Names: []string{"carol"}}}))
	for point, want := range map[string][]string{
		"/":                               {"alice", "bob", "carol"},
		s.base:                            {"alice", "bob", "carol"},
		s.base + "x":                      nil,
		s.path("alice"):                   {"alice"},
		s.path("alice", ".ssh"):           {"alice"},
		s.path("alice", ".SSH"):           {"alice"}, // where case is folded they are one
		s.path("alice", ".ssh", "k"):      {"alice"},
		s.path("alice", ".ssh", "a", "b"): {"alice"},
		s.path("alice", "mnt"):            nil,
		s.path("bob", "mnt"):              nil,
		s.path("data"):                    {"bob"},
		s.path("data", "bob"):             {"bob"},
		s.path("data", "bob", "ssh", "x"): {"bob"},
		s.path("data", "alice"):           nil,
		s.path("carol"):                   {"carol"},
		s.path("carol", "a"):              {"carol"},
		"":                                nil,
	} {
		s.settle()
		s.Mounted([]string{"/proc/nothing", point})
		told := s.settle()
		if len(told) != len(want) {
			t.Errorf("%s: %v", point, told)
		}
		for _, user := range want {
			if !told[user] {
				t.Errorf("%s: no hint for %s", point, user)
			}
		}
	}
}

func BenchmarkMounted(b *testing.B) {
	w := &Watcher{queue: newQueue(), dirs: map[int]*dir{}}
	for i := range 200_000 {
		user := fmt.Sprint("user", i/2)
		dir := &dir{wd: i, shares: map[string]share{}}
		home := "/home/" + user
		if i%2 == 0 {
			dir.shares[user] = share{}.with(Dir{Path: home, Names: []string{".ssh"}})
		} else {
			dir.shares[user] = share{}.with(Dir{Path: home + "/.ssh"})
		}
		w.dirs[i] = dir
	}
	for b.Loop() {
		w.Mounted([]string{"/home/user7/mnt"})
	}
}
