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
	theirs := nobodys{make(map[authkeys.Key]bool), make(map[authkeys.Sum]bool)}
	for _, u := range g.users.All() {
		for _, f := range u.former {
			theirs.set(f)
		}
	}
	if len(theirs.keys)+len(theirs.sums) == 0 {
		return nil
	}
	g.spareAll(theirs)
	for _, u := range g.users.All() {
		for _, f := range u.former {
			if theirs.keys[f.Key] || f.Key.IsZero() && theirs.sums[f.Sum] {
				list = append(list, f)
			}
		}
	}
	return list
}

// Nobodys lists those of some keys that are nobody's in the sense of Revoked, in their order.
func (g *Grants) Nobodys(sums []authkeys.Sum) (list []authkeys.Sum) {
	if len(sums) == 0 {
		return nil
	}
	theirs := nobodys{nil, make(map[authkeys.Sum]bool, len(sums))}
	for _, sum := range sums {
		theirs.sums[sum] = true
	}
	g.spareAll(theirs)
	return slices.DeleteFunc(slices.Clone(sums), func(sum authkeys.Sum) bool { return !theirs.sums[sum] })
}

// spareAll takes out the keys that are anybody's.
func (g *Grants) spareAll(theirs nobodys) {
	for _, u := range g.users.All() {
		for _, grant := range u.grants {
			theirs.spare(grant.Key)
		}
		for _, d := range u.denied {
			if !d.Reason.OfAccount() && d.Reason != ReasonExpired { // one that begins later is spared too: the daemon need not live then
				theirs.spare(d.Key)
			}
		}
	}
	for _, e := range g.excepted {
		if e.Idle == notBegun {
			theirs.spare(e.Key)
		}
	}
}

// nobodys are keys that may be nobody's: those that are remembered whole, and sums of others, which are rare.
type nobodys struct {
	keys map[authkeys.Key]bool
	sums map[authkeys.Sum]bool
}

func (n nobodys) set(f Former) {
	if f.Key.IsZero() {
		n.sums[f.Sum] = true
	} else {
		n.keys[f.Key] = true
	}
}

// spare takes out a key that is somebody's.
func (n nobodys) spare(key authkeys.Key) {
	delete(n.keys, key)
	if len(n.sums) > 0 {
		delete(n.sums, key.Sum())
	}
}

// Refused lists the keys of a user that he may not use now: those of the registry that do not work, and those that he had, by the registry or an
// exception.
func (g *Grants) Refused(user string) (keys []authkeys.Sum) {
	of := g.of(user)
	if len(of.denied)+len(of.former)+len(of.ended) == 0 {
		return nil
	}
	seen := make(map[authkeys.Sum]bool, len(of.grants)+len(of.former))
	for _, have := range of.grants {
		if have.Withheld == "" {
			seen[have.Key.Sum()] = true
		}
	}
	add := func(key authkeys.Sum) {
		if !seen[key] {
			seen[key], keys = true, append(keys, key)
		}
	}
	for _, d := range of.denied {
		add(d.Key.Sum())
	}
	for _, f := range of.former {
		add(f.ID())
	}
	for _, key := range of.ended {
		add(key.Sum())
	}
	return keys
}
