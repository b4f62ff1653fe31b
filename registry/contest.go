package registry

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Claim is what an entry says of a user whose name other entries have too.
type Claim struct {
	// Origin is the entry, as in Record.
	Origin string
	User   User
}

// CodeContested is the code of a Reject: several entries have the name, and nothing says whose it is.
const CodeContested = "contested"

// NewContested is New where several entries claim a name: whoever may write his own name must not end all readings. In the snapshot
// there is nobody's account without keys for each such name, until Settled decides.
func NewContested(users []User, claims map[string][]Claim, source string) (*Snapshot, error) {
	if len(claims) == 0 { // as nearly always
		return New(users, source)
	}
	users = slices.Clone(users)
	names := slices.Sorted(maps.Keys(claims))
	for _, name := range names {
		nobody := User{Name: name, UID: -1, GID: -1}
		for _, c := range inOrder(claims[name]) {
			nobody.Rejects = append(nobody.Rejects, Reject{
				Origin: c.Origin, Code: CodeContested, Detail: fmt.Sprintf("%d entries have the name %+q", len(claims[name]), name),
			})
		}
		users = append(users, nobody)
	}
	s, err := New(users, source)
	if err != nil {
		return nil, fmt.Errorf("%w; several entries have each of the names %+q", err, names)
	}
	s.claims = claims
	return s, nil
}

func inOrder(claims []Claim) []Claim {
	return slices.SortedFunc(slices.Values(claims), func(a, b Claim) int { return strings.Compare(a.Origin, b.Origin) })
}

// Claims is what all entries with a name say: of one that is not contested, its user.
func (s *Snapshot) Claims(name string) []User {
	var users []User
	for _, c := range s.claims[name] {
		users = append(users, c.User)
	}
	if user, there := s.User(name); there && len(users) == 0 {
		users = append(users, user)
	}
	return users
}

// Settled gives each name that is contested to the entry that had it in an earlier reading (nil: there is none), by the origins of what
// that knew of the user; or else to the one that has the uid and home of then. Neither the victim loses by the claim, nor does a
// key that is taken out of the victim's entry outlive it. contests says in words what was decided. A name that nobody had before stays nobody's.
func (s *Snapshot) Settled(before *Snapshot) (settled *Snapshot, contests []string) {
	if len(s.claims) == 0 {
		return s, nil
	}
	only := *s
	only.claims = nil
	settled = &only
	for _, name := range slices.Sorted(maps.Keys(s.claims)) {
		owner, others := settle(s.claims[name], before, name)
		if owner == nil {
			contests = append(contests, fmt.Sprintf("the user %+q is contested, and has no key: %s", name, others))
			continue
		}
		next, err := settled.With(owner.User)
		if err != nil { // no key is left
			continue
		}
		settled = next
		contests = append(contests, fmt.Sprintf("the user %+q is still the entry %+q; no key counts of %s", name, owner.Origin, others))
	}
	return settled, contests
}

// settle finds the entry that had a name before, and lists the others.
func settle(claims []Claim, before *Snapshot, name string) (owner *Claim, others string) {
	was, had := User{}, false
	if before != nil {
		was, had = before.User(name)
	}
	origins := was.origins()
	for _, same := range []func(Claim) bool{
		func(c Claim) bool { return origins[c.Origin] },
		func(c Claim) bool { return was.UID >= 0 && c.User.UID == was.UID && c.User.Home == was.Home },
	} {
		var found []Claim
		for _, c := range claims {
			if had && same(c) {
				found = append(found, c)
			}
		}
		if len(found) == 1 {
			owner = &found[0]
			break
		}
	}
	var rest []string
	for _, c := range inOrder(claims) {
		if owner == nil || c.Origin != owner.Origin {
			rest = append(rest, fmt.Sprintf("%+q", c.Origin))
		}
	}
	return owner, strings.Join(rest, ", ")
}

// origins is where all that is known of a user stands.
func (u User) origins() map[string]bool {
	origins := make(map[string]bool)
	for _, r := range u.Records {
		origins[r.Origin] = true
	}
	for _, list := range [][]Reject{u.Rejects, u.Remarks} {
		for _, r := range list {
			origins[r.Origin] = true
		}
	}
	return origins
}
