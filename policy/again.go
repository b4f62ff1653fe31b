package policy

import (
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/registry"
)

// Again evaluates some users anew, by the same rules and exceptions, and gives grants that know of nobody else: a part for Graft. What
// was made of keys that were registered, and of users who left, is not in it.
func (g *Grants) Again(snapshot *registry.Snapshot, now time.Time, names ...string) *Grants {
	some, users := make(map[string]bool, len(names)), make(map[string]*userGrants, len(names))
	for _, name := range names {
		some[name] = true
		if user, there := snapshot.User(name); there {
			users[name] = g.policy.user(user, now)
		}
	}
	return g.policy.grants(users, now, g.exceptions, func(user string) bool { return some[user] })
}

// Graft gives the grants with some users as they are in a part, which Again has made of them, at the cost of these users. As long as all
// are among them of whom something is different, or is Due, it is what Evaluate would give.
func (g *Grants) Graft(part *Grants, names ...string) *Grants {
	with, users, search := *g, make(map[string]*userGrants, len(names)), false
	var gone []string
	for _, name := range names {
		if was := g.of(name); !was.next.IsZero() && was.next.Equal(g.next) {
			search = true
		}
		if u, there := part.users.Get(name); there {
			users[name] = u
		} else {
			gone = append(gone, name)
		}
	}
	with.now, with.users = part.now, g.users.Without(gone...).With(users)
	if with.next = earlier(g.next, part.next); search {
		with.next = time.Time{}
		for _, u := range with.users.All() {
			with.next = earlier(with.next, u.next)
		}
	}
	if len(g.excepted)+len(part.excepted) > 0 {
		with.excepted = slices.DeleteFunc(slices.Clone(g.excepted), func(e numbered) bool { return slices.Contains(names, e.User) })
		with.excepted = append(with.excepted, part.excepted...)
		slices.SortFunc(with.excepted, func(a, b numbered) int { return a.at - b.at })
	}
	return &with
}

// Due names, in order, the users of whom time alone makes something else at the moment now: all of them where a rule has begun or ended.
func (g *Grants) Due(now time.Time) (names []string) {
	if next := g.Next(); next.IsZero() || now.Before(next) {
		return nil
	}
	turn := g.policy.rules.turn(g.now)
	all := !turn.IsZero() && !now.Before(turn)
	for name, u := range g.users.All() {
		if all || !u.next.IsZero() && !now.Before(u.next) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
