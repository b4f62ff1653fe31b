package registry

import (
	"fmt"
	"maps"
	"slices"
)

// With is the snapshot as it is when one user was read again: in the place of the one of that name, or beside the others. It
// takes about a millisecond with 10,000 users.
func (s *Snapshot) With(user User) (*Snapshot, error) {
	if err := checkName(user.Name); err != nil {
		return nil, fmt.Errorf("%s: %w", s.source, err)
	}
	derived := s.without(user.Name)
	at, _ := slices.BinarySearch(derived.names, user.Name)
	derived.names = slices.Insert(derived.names, at, user.Name)
	derived.users[user.Name] = user.clone()
	derived.keys += len(user.Records)
	return derived.filled()
}

// Without is the snapshot as it is when one user, who need not be there, was found to be gone.
func (s *Snapshot) Without(name string) (*Snapshot, error) { return s.without(name).filled() }

func (s *Snapshot) without(name string) *Snapshot {
	derived := &Snapshot{source: s.source, users: maps.Clone(s.users), names: slices.Clone(s.names), keys: s.keys}
	if user, there := derived.users[name]; there {
		delete(derived.users, name)
		at, _ := slices.BinarySearch(derived.names, name)
		derived.names = slices.Delete(derived.names, at, at+1)
		derived.keys -= len(user.Records)
	}
	return derived
}
