package enforcer

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/registry"
)

// What is counted and remembered is meant for persons, and a user may be able to write his own name in the directory. A person is whoever has a
// uid: what was known by a name that is gone moves to the one name that has its uid now. A uid may also be somebody else's by then, whom
// that must neither cost nor give anything: what moves is former and settled, so that it is refused and never held, but for what the
// registry lists for the new name as well.

// Move is one name for another. Taken says that the old one is somebody else's now, and that who had it left.
type Move struct {
	From, To string
	Taken    bool
}

// seat is one of those who have a uid side by side: each of them is a person.
type seat struct{ uid, n int }

// person tells people apart in what is counted.
func (m *enrolled) person() string {
	text := "uid " + strconv.Itoa(m.uid)
	if m.seat > 0 {
		text += "/" + strconv.Itoa(m.seat)
	}
	return text
}

// sit gives a user who comes, or comes back, or gets another uid, the seat that he had, or else the first that is free. So people who come
// and go by one name after the other are no more than were there at once.
func (l *Ledger) sit(m *enrolled, uid int) {
	if l.seats == nil {
		l.seats = make(map[seat]bool)
		for _, other := range l.members {
			if other != m && other.left.IsZero() {
				l.seats[seat{other.uid, other.seat}] = true
			}
		}
	}
	at := seat{uid, 0}
	if m.uid == uid {
		at.n = m.seat
	}
	for n := 0; l.seats[at]; n++ {
		at.n = n
	}
	l.seats[at] = true
	m.seat, l.changed = at.n, true
}

// seatAll gives seats of their own to those who are there: a ledger of version 1 has none.
func (l *Ledger) seatAll() {
	taken := make(map[seat]bool, len(l.members))
	for _, name := range slices.Sorted(maps.Keys(l.members)) {
		m := l.members[name]
		for m.left.IsZero() && taken[seat{m.uid, m.seat}] {
			m.seat++
		}
		if m.left.IsZero() {
			taken[seat{m.uid, m.seat}] = true
		}
	}
}

// follow moves what is known of those who have other names by a snapshot to these, before that is taken in. Somebody who left, and whose
// name is another's now, gets one of his own: his account stays known.
func (l *Ledger) follow(snapshot *registry.Snapshot, users iter.Seq[registry.User], now time.Time, a *Accepted) {
	var come []registry.User
	having := make(map[int]int) // how many have their uids
	for user := range users {
		if m := l.members[user.Name]; user.UID >= 0 && (m == nil || m.uid != user.UID) {
			come, having[user.UID] = append(come, user), 0
		}
	}
	if len(come) == 0 || len(l.members) == 0 {
		return
	}
	for user := range snapshot.Users() {
		if n, asked := having[user.UID]; asked {
			having[user.UID] = n + 1
		}
	}
	was := make(map[int][]string)
	for name, m := range l.members {
		if user, there := snapshot.User(name); having[m.uid] == 1 && (!there || user.UID >= 0 && user.UID != m.uid) {
			was[m.uid] = append(was[m.uid], name)
		}
	}
	moved := make(map[int]*enrolled, len(was)) // all are out before anyone is in: two may have exchanged their names
	for _, user := range come {
		if names := was[user.UID]; len(names) > 0 && moved[user.UID] == nil && l.onePerson(names) {
			moved[user.UID] = l.unite(names, user, now)
			for _, name := range names {
				a.Moved = append(a.Moved, Move{From: name, To: user.Name})
			}
		}
	}
	for _, user := range come {
		m, to := l.members[user.Name], moved[user.UID]
		if m != nil && m.uid >= 0 && (to != nil || !m.left.IsZero()) {
			l.rename(snapshot, user.Name, a)
		} else if m != nil && to != nil { // the name was nobody's account
			to.keys, to.faded = slices.Concat(to.keys, m.keys), slices.Concat(to.faded, m.faded)
		}
		if to != nil {
			l.members[user.Name] = to
		}
	}
	slices.SortFunc(a.Moved, func(a, b Move) int { return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To)) })
}

// name is one that somebody had.
type name struct {
	name  string
	since time.Time
}

// ledgerRenamed is how many of them are remembered of one person, and renamedAge how long: they may be the names of accounts that the registry does not
// have, who are refused meanwhile.
const (
	ledgerRenamed = 8
	renamedAge    = 7 * 24 * time.Hour
)

// callNo notes the names that a user has no more. NSS may know an account by them for as long as it keeps answers (sssd: 90 minutes), and
// another program beside keyreeve-keys with it.
func (m *enrolled) callNo(names []string, now time.Time) {
	for _, one := range names {
		m.names = append(m.names, name{one, now})
	}
	slices.SortStableFunc(m.names, func(a, b name) int { return b.since.Compare(a.since) })
	m.names = m.names[:min(len(m.names), ledgerRenamed)]
}

// Renamed lists the names of those who have others by now, the last ones last, but for names that are somebody's again.
func (l *Ledger) Renamed() (list []Gone) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.members {
		for _, n := range m.names {
			if l.members[n.name] == nil {
				list = append(list, Gone{m.account(n.name), n.since, true})
			}
		}
	}
	slices.SortFunc(list, func(a, b Gone) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.UID, b.UID)) })
	return list
}

// onePerson reports whether names were never there at once.
func (l *Ledger) onePerson(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return l.members[name].seat != l.members[names[0]].seat })
}

// unite takes all names that one user has had out of the ledger, and makes one of them, of whose keys none is registered yet.
func (l *Ledger) unite(names []string, user registry.User, now time.Time) *enrolled {
	one := &enrolled{uid: user.UID, seat: l.members[names[0]].seat}
	var list []faded
	slices.Sort(names)
	for _, name := range names {
		m := l.members[name]
		l.strike(name)
		l.renew(name, m, nil, false, now)
		for _, k := range m.keys {
			k.settled, k.confirmed = true, true
			one.keys = append(one.keys, k)
		}
		list, one.mended = slices.Concat(list, m.faded), slices.Concat(one.mended, m.mended)
		one.names = slices.Concat(one.names, m.names)
	}
	slices.SortFunc(one.mended, time.Time.Compare)
	one.mended = one.mended[max(0, len(one.mended)-ledgerMended):]
	one.callNo(names, now)
	l.remember(user.Name, one, list)
	return one
}

// nameBound is how many bytes a login name may have (internal/homes).
const nameBound = 32

// rename gives who left, and whose name is another's now, one that nobody has.
func (l *Ledger) rename(snapshot *registry.Snapshot, name string, a *Accepted) {
	m := l.members[name]
	l.strike(name)
	for n := range len(l.members) + snapshot.Len() + 1 {
		tail := "." + strconv.Itoa(m.uid)
		if n > 0 {
			tail += "." + strconv.Itoa(n)
		}
		to := strings.TrimSuffix(name, "$")
		to = to[:min(len(to), nameBound-len(tail))] + tail
		if _, there := snapshot.User(to); !there && l.members[to] == nil {
			l.members[to] = m
			l.mark(to, m)
			a.Moved = append(a.Moved, Move{From: name, To: to, Taken: true})
			return
		}
	}
}
