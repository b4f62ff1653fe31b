package enforcer

import (
	"cmp"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
)

// The bounds of what is remembered of one user's former keys.
const (
	// ledgerKeys is how many are remembered whole, so that they can be held.
	ledgerKeys = 64
	// ledgerFaded is how many more are remembered by their sums alone, which is enough to refuse them: registering and withdrawing keys
	// must not be the way to have one forgotten that was revoked before.
	ledgerFaded = 4096
	// ledgerMended is of how many losses that were mended the times are remembered, and mendedAge how long: longer than any brake looks back.
	ledgerMended = 8
	mendedAge    = 31 * 24 * time.Hour
)

// faded is a former key that is held for nobody.
type faded struct {
	sum   authkeys.Sum
	since time.Time
	day   int
}

// renew compares the keys that count now with those that are known. A key that came to the end that the registry had given it was
// not taken: nobody wonders that it goes.
func (l *Ledger) renew(name string, m *enrolled, now []known, complete bool, at time.Time) {
	l.regain(m, now, at)
	m.date(now, at)
	if slices.Equal(m.keys, now) {
		return
	}
	keys := slices.Clone(now)
	for _, k := range m.keys {
		if slices.ContainsFunc(now, func(n known) bool { return n.key == k.key }) {
			if k.former() && !k.since.Equal(at) {
				m.mended = append(slices.Clone(m.mended[max(0, len(m.mended)-ledgerMended+1):]), k.since)
			}
			continue
		}
		switch {
		case !k.former():
			k.since, k.day = at, l.days
			k.settled = ended(k.end, at)
		case l.old(k.since, k.day, at):
			continue
		case complete:
			k.confirmed = true
		}
		keys = append(keys, k)
	}
	if slices.SortStableFunc(keys[len(now):], lastFirst); !slices.Equal(m.keys, keys) {
		m.keys = slices.Clip(keys)
		l.changed = true
	}
	l.fade(name, m, ledgerKeys)
}

func lastFirst(a, b known) int { return b.since.Compare(a.since) }

// regain forgets what is not remembered whole and is registered again, or long ago.
func (l *Ledger) regain(m *enrolled, now []known, at time.Time) {
	if n := len(m.mended); n > 0 && at.Sub(m.mended[n-1]).Abs() > mendedAge {
		m.mended, l.changed = nil, true
	}
	if forgotten := func(n name) bool { return at.Sub(n.since).Abs() > renamedAge }; slices.ContainsFunc(m.names, forgotten) {
		m.names, l.changed = slices.DeleteFunc(slices.Clone(m.names), forgotten), true
	}
	if len(m.faded) == 0 {
		return
	}
	registered := make(map[authkeys.Sum]bool, len(now))
	for _, k := range now {
		registered[k.key.Sum()] = true
	}
	gone := func(f faded) bool { return registered[f.sum] || l.old(f.since, f.day, at) }
	if slices.ContainsFunc(m.faded, gone) {
		m.faded, l.changed = slices.DeleteFunc(slices.Clone(m.faded), gone), true
	}
}

// fade leaves a number of former keys whole, those that are not settled before those that are, the last before earlier ones, and of the
// others their sums.
func (l *Ledger) fade(name string, m *enrolled, whole int) {
	first := slices.IndexFunc(m.keys, known.former)
	if first < 0 || len(m.keys)-first <= whole {
		return
	}
	former := slices.Clone(m.keys[first:])
	slices.SortStableFunc(former, func(a, b known) int {
		switch {
		case a.settled == b.settled:
			return lastFirst(a, b)
		case a.settled:
			return 1
		}
		return -1
	})
	list := slices.Clone(m.faded)
	for _, k := range former[whole:] {
		list = append(list, faded{k.key.Sum(), k.since, k.day})
	}
	former = former[:whole:whole]
	slices.SortStableFunc(former, lastFirst)
	m.keys = slices.Concat(m.keys[:first], former)
	l.remember(name, m, list)
}

// remember takes sums of former keys, each once, the last ones.
func (l *Ledger) remember(name string, m *enrolled, list []faded) {
	slices.SortStableFunc(list, func(a, b faded) int { return b.since.Compare(a.since) })
	seen := make(map[authkeys.Sum]bool, len(list))
	list = slices.DeleteFunc(list, func(f faded) bool {
		again := seen[f.sum]
		seen[f.sum] = true
		return again
	})
	if len(list) > ledgerFaded {
		list = list[:ledgerFaded]
		l.dropped = append(l.dropped, name)
	}
	m.faded, l.changed = slices.Clip(list), true
}

// Losses lists what the registry does not list any more of one user's keys.
func (l *Ledger) Losses(user string) []Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.members[user]; m != nil {
		return m.losses(user)
	}
	return nil
}

func (m *enrolled) losses(user string) (list []Loss) {
	person := m.person()
	for i, k := range m.keys {
		if k.former() && !slices.ContainsFunc(m.keys[:i], func(o known) bool { return o.key == k.key }) { // once for all of its options
			list = append(list, Loss{User: user, Person: person, Key: k.key, Since: k.since, Confirmed: k.confirmed, Settled: k.settled})
		}
	}
	return list
}

// AllLosses lists those of all users, in the order of their names. Who has a key again that was lost counts for a while: in its place there is a
// loss without a key, so that the rest of a crowd that is mended one by one stays one.
func (l *Ledger) AllLosses() []Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.allLosses()
}

// past lists them, and the sums of those that are not remembered whole.
func (l *Ledger) past() (losses []Loss, sums map[authkeys.Sum]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sums = make(map[authkeys.Sum]bool)
	for _, m := range l.lossy {
		for _, f := range m.faded {
			sums[f.sum] = true
		}
	}
	return l.allLosses(), sums
}

func (l *Ledger) allLosses() (list []Loss) {
	for user, m := range l.lossy {
		list = append(list, m.losses(user)...)
		for _, since := range m.mended {
			list = append(list, Loss{User: user, Person: m.person(), Since: since, Confirmed: true, Settled: true})
		}
	}
	slices.SortStableFunc(list, func(a, b Loss) int { return cmp.Compare(a.User, b.User) })
	return list
}

// Former lists the former keys for the policy. Held says why a key is to stay; empty: it is not.
func (l *Ledger) Former(held func(Loss) string) (list []policy.Former) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for user, m := range l.lossy {
		list = m.former(list, user, held)
	}
	return list
}

// FormerOf lists those of some users.
func (l *Ledger) FormerOf(held func(Loss) string, names ...string) (list []policy.Former) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range names {
		if m := l.members[name]; m != nil {
			list = m.former(list, name, held)
		}
	}
	return list
}

func (m *enrolled) former(list []policy.Former, user string, held func(Loss) string) []policy.Former {
	person := m.person()
	for _, k := range m.keys {
		if !k.former() {
			continue
		}
		list = append(list, policy.Former{User: user, Since: k.since, Grant: policy.Grant{
			Key: k.key, Options: k.options,
			Held: held(Loss{User: user, Person: person, Key: k.key, Since: k.since, Confirmed: k.confirmed, Settled: k.settled}),
		}})
	}
	for _, f := range m.faded {
		list = append(list, policy.Former{User: user, Since: f.since, Sum: f.sum})
	}
	return list
}

// Settle notes that a user's files were seen without some of his former keys: all but those that are still there. It reports whether
// that is news.
func (l *Ledger) Settle(user string, there func(authkeys.Key) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.members[user]
	if m == nil {
		return false
	}
	keys := slices.Clone(m.keys)
	for i, k := range keys {
		keys[i].settled = k.settled || k.former() && !there(k.key)
	}
	if slices.Equal(m.keys, keys) {
		return false
	}
	m.keys, l.changed = keys, true
	return true
}
