package enforcer

import (
	"cmp"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Sighting is what the ledger knows of one key of one user.
type Sighting struct {
	User string
	UID  int
	Key  authkeys.Key
	// Seen is the time of the first reading in which the key counted; zero: that was before the ledger noted such times. Since is that of
	// the first one in which it no longer did; zero: it counts.
	Seen, Since time.Time
	// Left is the time of the first reading without the user; zero: the last one has him.
	Left time.Time
}

// Sightings finds keys, of whomever they are or were, in the order of users' names.
func (l *Ledger) Sightings(wanted func(authkeys.Key) bool) (list []Sighting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for user, m := range l.members {
		for i, k := range m.keys {
			if wanted(k.key) && !slices.ContainsFunc(m.keys[:i], func(o known) bool { return o.key == k.key }) { // once for all of its options
				list = append(list, Sighting{User: user, UID: m.uid, Key: k.key, Seen: k.seen, Since: k.since, Left: m.left})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Sighting) int { return cmp.Compare(a.User, b.User) })
	return list
}
