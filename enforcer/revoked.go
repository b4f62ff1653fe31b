package enforcer

import (
	"cmp"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
)

// MaxRevoked is how many keys sshd is told at most to refuse: it reads the list anew for each key that is offered, and so
// many cost a login 13 ms of its time (docs/sshd.md); ten times as many cost seconds.
const MaxRevoked = 10_000

// Revoked lists the keys that sshd is to refuse everybody in this world: those that were registered and are nobody's now. What was lost
// together with keys of more people than the brake lets lose some is not among them, until that is released or their files were seen without
// it. Of more than MaxRevoked keys the older ones of whoever lost most are left out, so that nobody's many push out another's few.
//
// The ledger may be ahead of the world: what it does not know as lost any more is not listed, by whatever world.
func (m Memory) Revoked(w *World, now time.Time) (keys []authkeys.Sum, leftOut int) {
	losses, faded := m.Ledger.past()
	lost, crowd := keysOf(losses), keysOf(w.rules.Crowds(m.Brakes.State(), losses, now))
	type ranked struct {
		policy.Former

		rank int
	}
	var list []ranked
	ranks := make(map[string]int)
	for _, f := range w.Grants.Revoked() {
		if at := (stay{f.User, f.Key}); lost[at] && !crowd[at] || faded[f.Sum] {
			list = append(list, ranked{f, ranks[f.User]})
			ranks[f.User]++
		}
	}
	slices.SortFunc(list, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), b.Since.Compare(a.Since), cmp.Compare(a.User, b.User))
	})
	seen := make(map[authkeys.Sum]bool, len(list))
	for _, r := range list {
		if id := r.ID(); !seen[id] {
			seen[id] = true
			keys = append(keys, id)
		}
	}
	most := min(len(keys), MaxRevoked)
	return keys[:most], len(keys) - most
}
