package enforcer

import (
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/registry"
)

// sameAs names a user of a snapshot that does not have the amended one, who has his uid and his home: where an entry is renamed, and
// changes are polled, its new name is told and its old one is not. Both would be left alone until the next whole reading.
func (a Amendment) sameAs(s *registry.Snapshot) string {
	if _, known := s.User(a.Name); known || !a.Found || a.User.UID < 0 || a.User.Home == "" {
		return ""
	}
	for user := range s.Users() {
		if user.UID == a.User.UID && homes.Tidy(user.Home) == homes.Tidy(a.User.Home) {
			return user.Name
		}
	}
	return ""
}

// people names as whom users count of the last good reading. Who renames himself again and again is one person: else he could have
// everybody's revocations held.
func (g *Gate) people(names []string) []string {
	if len(g.renamed) == 0 {
		return names
	}
	people := make([]string, len(names))
	for i, name := range names {
		people[i] = name
		if user, there := g.good.Snapshot.User(name); there && g.renamed[user.UID] != "" {
			people[i] = g.renamed[user.UID]
		}
	}
	return people
}

// follow notes the uids of those who are gone by what is let through, of whom each had his alone: whoever has it next, and is lost within
// the window, is the same person. Accounts that have one uid side by side count each for itself.
func (g *Gate) follow(v Verdict) {
	who := make(map[int]string)
	for _, name := range v.Loss.Users {
		user, _ := g.good.Snapshot.User(name)
		if _, there := v.Snapshot.User(name); !there && user.UID >= 0 {
			who[user.UID] = g.people([]string{name})[0]
		}
	}
	if len(who) == 0 {
		return
	}
	having := make(map[int]int, len(who))
	for user := range g.good.Snapshot.Users() {
		if who[user.UID] != "" {
			having[user.UID]++
		}
	}
	if g.renamed == nil {
		g.renamed = make(map[int]string)
	}
	for uid, first := range who {
		if having[uid] == 1 {
			g.renamed[uid] = first
		}
	}
}
