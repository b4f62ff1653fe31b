package enforcer

import (
	"cmp"
	"iter"

	"github.com/keyreeve/keyreeve/registry"
)

// sameAs names a user of a snapshot that does not have the amended one, who has his uid: where an entry is renamed, and
// changes are polled, its new name is told and its old one is not. Both would be left alone until the next whole reading, if they have one home; else
// they would be two people, and who can write his name and his home as many as he likes.
func (a Amendment) sameAs(s *registry.Snapshot) string {
	if _, known := s.User(a.Name); known || !a.Found || a.User.UID < 0 {
		return ""
	}
	for user := range s.Users() {
		if user.UID == a.User.UID {
			return user.Name
		}
	}
	return ""
}

// people names as whom users count of the last good reading. Who renames himself again and again is one person: else he could have
// everybody's revocations held.
func (g *Gate) people(names []string) []string {
	if len(g.known) == 0 {
		return names
	}
	people := make([]string, len(names))
	for i, name := range names {
		people[i] = cmp.Or(g.known[name], name)
	}
	return people
}

// follow notes who is gone by what is let through, by uid: whoever comes with that uid, or with none as he, counts as he if he is lost within the
// window. Accounts that have one uid side by side count each for itself.
func (g *Gate) follow(v Verdict, come iter.Seq[registry.User]) {
	for _, name := range v.Loss.Users {
		user, _ := g.good.Snapshot.User(name)
		if next, there := v.Snapshot.User(name); !there || next.UID != user.UID {
			if g.away == nil {
				g.away = make(map[int][]string)
			}
			g.away[user.UID] = append(g.away[user.UID], g.people([]string{name})[0])
			delete(g.known, name)
		}
	}
	if len(g.away) == 0 {
		return
	}
	for user := range come {
		was, there := g.good.Snapshot.User(user.Name)
		if list := g.away[user.UID]; len(list) > 0 && (!there || was.UID != user.UID) {
			if g.known == nil {
				g.known = make(map[string]string)
			}
			g.known[user.Name], g.away[user.UID] = list[0], list[1:]
		}
	}
}
