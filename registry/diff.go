package registry

import (
	"maps"
	"slices"
)

// Changed names, in order, the users whose account or keys differ between two snapshots: those that came, those that
// went, and those with another uid, home or set of records. The order of a user's records does not count, and neither do
// labels and origins. A nil snapshot has no users.
func Changed(before, after *Snapshot) []string {
	names := make(map[string]bool)
	for _, pair := range [...][2]*Snapshot{{before, after}, {after, before}} {
		if pair[0] == nil {
			continue
		}
		for u := range pair[0].Users() {
			if other, ok := pair[1].lookup(u.Name); !ok || !sameUser(u, other) {
				names[u.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// lookup is User that a nil snapshot answers too.
func (s *Snapshot) lookup(name string) (User, bool) {
	if s == nil {
		return User{}, false
	}
	return s.User(name)
}

func sameUser(a, b User) bool {
	return a.UID == b.UID && a.GID == b.GID && a.Home == b.Home && maps.Equal(grantedBy(a), grantedBy(b))
}

// grantedBy is what of a user's records decides over lines. Times lose their zone and monotonic part, which do not.
func grantedBy(u User) map[Record]int {
	set := make(map[Record]int, len(u.Records))
	for _, r := range u.Records {
		set[Record{
			Key: r.Key, Options: r.Options,
			NotBefore: r.NotBefore.Round(0).UTC(), NotAfter: r.NotAfter.Round(0).UTC(),
		}]++
	}
	return set
}
