package policy

import (
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Revoked lists, user by user in no order, those former keys that are nobody's now: no user is granted them, by the registry, an
// exception or a hold, and none will be by time alone. Those of one user are in the order in which [Grants.WithFormer] was given them.
//
// A list by which sshd refuses keys is for everybody. So the question is never whose key it was, but whether it is anybody's.
func (g *Grants) Revoked() (list []Former) {
	theirs := make(map[authkeys.Key]bool)
	for _, u := range g.users.All() {
		for _, f := range u.former {
			theirs[f.Key] = true
		}
	}
	if len(theirs) == 0 {
		return nil
	}
	for _, u := range g.users.All() {
		for _, grant := range u.grants {
			delete(theirs, grant.Key)
		}
		for _, d := range u.denied {
			if d.Reason == ReasonNotYet || g.policy.rules.later(d.Key, g.now) { // the daemon need not live when it begins
				delete(theirs, d.Key)
			}
		}
	}
	for _, e := range g.excepted {
		if e.Idle == notBegun {
			delete(theirs, e.Key)
		}
	}
	for _, u := range g.users.All() {
		for _, f := range u.former {
			if theirs[f.Key] {
				list = append(list, f)
			}
		}
	}
	return list
}

// Refused lists the keys of a user by the registry that he may not use now: those that do not work, and those that he had.
func (g *Grants) Refused(user string) (keys []authkeys.Key) {
	of := g.of(user)
	add := func(key authkeys.Key) {
		usable := func(have Grant) bool { return have.Key == key && have.Withheld == "" }
		if !slices.ContainsFunc(of.grants, usable) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, d := range of.denied {
		add(d.Key)
	}
	for _, f := range of.former {
		add(f.Key)
	}
	return keys
}
