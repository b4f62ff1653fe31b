package policy

import (
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Revoked lists, user by user in no order, those former keys that are nobody's now: no user is granted them, by the registry, an
// exception or a hold, none will be by time alone, and they are registered to nobody whose account counts, also where the policy refuses them: that
// decides about files and answers, and a user in mode report works with such a key. Those of one user are in the order in which [Grants.WithFormer] was given them.
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
			if !d.Reason.OfAccount() && d.Reason != ReasonExpired { // one that begins later is spared too: the daemon need not live then
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

// Refused lists the keys of a user that he may not use now: those of the registry that do not work, and those that he had, by the registry or an
// exception.
func (g *Grants) Refused(user string) (keys []authkeys.Key) {
	of := g.of(user)
	add := func(key authkeys.Key) {
		if !slices.ContainsFunc(of.grants, func(have Grant) bool { return have.Key == key }) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, d := range of.denied {
		add(d.Key)
	}
	for _, f := range of.former {
		add(f.Key)
	}
	for _, key := range of.ended {
		add(key)
	}
	return keys
}
