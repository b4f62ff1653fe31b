package registry

import (
	"fmt"
	"slices"

	"github.com/keyreeve/keyreeve/internal/cow"
)

// With is the snapshot as it is when one user was read again: in the place of the one of that name, or beside the others. It
// shares the others with this one, and takes some microseconds.
func (s *Snapshot) With(user User) (*Snapshot, error) {
	if err := checkName(user.Name); err != nil {
		return nil, fmt.Errorf("%s: %w", s.source, err)
	}
	derived := *s
	if was, there := s.users.Get(user.Name); there {
		derived.keys -= len(was.Records)
	} else {
		at, _ := slices.BinarySearch(s.names, user.Name)
		derived.names = slices.Insert(slices.Clone(s.names), at, user.Name)
	}
	derived.users = s.users.With(map[string]*User{user.Name: user.clone()})
	derived.keys += len(user.Records)
	return derived.filled()
}

// Without is the snapshot as it is when one user, who need not be there, was found to be gone.
func (s *Snapshot) Without(name string) (*Snapshot, error) {
	derived := *s
	if user, there := s.users.Get(name); there {
		at, _ := slices.BinarySearch(s.names, name)
		derived.names = slices.Delete(slices.Clone(s.names), at, at+1)
		derived.users = s.users.Without(name)
		derived.keys -= len(user.Records)
	}
	return derived.filled()
}

// Changed names, in order, the users who are not the same in two snapshots. It is cheap where one was derived from the other.
func Changed(before, after *Snapshot) (names []string) {
	for name := range cow.Differing(before.users, after.users) {
		was, had := before.users.Get(name)
		is, has := after.users.Get(name)
		if had != has || was != is && !was.Equal(*is) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
