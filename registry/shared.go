package registry

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Shared is one key that several people have registered.
type Shared struct {
	Key   authkeys.Key
	Users []string // in order
}

// Shared lists the keys of several people, in the order of their first users: each of these can log in as the others, or one
// of them has registered a key that is not his. It is for reports; it takes no key from anybody.
func (s *Snapshot) Shared() []Shared {
	holders := make(map[authkeys.Key][]string, s.keys)
	for u := range s.Users() {
		for _, r := range u.Records {
			if list := holders[r.Key]; !slices.Contains(list, u.Name) {
				holders[r.Key] = append(list, u.Name)
			}
		}
	}
	var shared []Shared
	for key, users := range holders {
		if len(users) > 1 {
			shared = append(shared, Shared{key, users})
		}
	}
	slices.SortFunc(shared, func(a, b Shared) int {
		if by := slices.Compare(a.Users, b.Users); by != 0 {
			return by
		}
		return strings.Compare(a.Key.String(), b.Key.String())
	})
	return shared
}
