package enforcer

import (
	"cmp"
	"slices"
	"time"
)

// The bounds of what is remembered of all that is not registered any more. What is registered is bounded by the source: both together are
// well below what OpenLedger reads.
const (
	ledgerLeft = 200_000   // users
	ledgerPast = 128 << 20 // bytes
	// ledgerNames is how many of those who left are remembered of one uid. It is reached only where several had it side by side, or by
	// entries without one.
	ledgerNames = 64
)

// thin forgets those who left first, of uids of which too many have.
func (l *Ledger) thin(a *Accepted) {
	gone := make(map[int][]string)
	for name, m := range l.members {
		if !m.left.IsZero() {
			gone[m.uid] = append(gone[m.uid], name)
		}
	}
	for _, names := range gone {
		if len(names) <= ledgerNames {
			continue
		}
		l.sortByAge(names)
		for _, name := range names[:len(names)-ledgerNames] {
			l.strike(name)
			a.Forgotten = append(a.Forgotten, name)
		}
	}
}

// sortByAge sorts names by what happened last, the longest ago first.
func (l *Ledger) sortByAge(names []string) {
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(l.members[a].at().Compare(l.members[b].at()), cmp.Compare(a, b)) })
}

// at is when somebody left, or else lost a key last; zero: never.
func (m *enrolled) at() time.Time {
	at := m.left
	if len(m.faded) > 0 && m.faded[0].since.After(at) {
		at = m.faded[0].since
	}
	for _, k := range m.keys {
		if k.since.After(at) {
			at = k.since
		}
	}
	return at
}

// weight is about how many bytes of the file are of what is not registered any more.
func (m *enrolled) weight() (n int) {
	if !m.left.IsZero() {
		n = 160 + len(m.home)
	}
	for _, k := range m.keys {
		if k.former() {
			n += 160 + 2*len(k.options.String()) + len(k.key.String()) // a quote takes two bytes, or four
		}
	}
	return n + 50*len(m.faded) + 40*len(m.mended)
}

// fit brings what is remembered within its bounds: of what is settled sums are enough, then of what happened longest ago, and then that is
// forgotten, and told.
func (l *Ledger) fit(left, bytes int) {
	var names []string
	weight, gone := 0, 0
	for name, m := range l.members {
		if w := m.weight(); w > 0 {
			names, weight = append(names, name), weight+w
		}
		if !m.left.IsZero() {
			gone++
		}
	}
	if gone <= left && weight <= bytes {
		return
	}
	l.sortByAge(names)
	for _, whole := range []func(*enrolled) int{(*enrolled).unsettled, func(*enrolled) int { return 0 }} {
		for _, name := range names {
			if m := l.members[name]; weight > bytes {
				weight -= m.weight()
				l.fade(name, m, whole(m))
				weight += m.weight()
			}
		}
	}
	for _, name := range names {
		m := l.members[name]
		if weight <= bytes && (gone <= left || m.left.IsZero()) {
			continue
		}
		weight -= m.weight()
		l.dropped = append(l.dropped, name)
		if m.faded, m.mended = nil, nil; m.left.IsZero() {
			l.mark(name, m)
		} else {
			l.strike(name)
			gone--
		}
	}
}

// unsettled is how many former keys are not settled.
func (m *enrolled) unsettled() (n int) {
	for _, k := range m.keys {
		if k.former() && !k.settled {
			n++
		}
	}
	return n
}
