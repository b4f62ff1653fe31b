package enforcer

import (
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/registry"
)

// An entry that comes, goes or gets another uid or home has whose homes are kept worked out anew from all entries, which stops the
// loop: for 0.14 s with 20,000 users, for 0.7 s with 100,000. So that a few who move again and again do not use it up, what the
// registry says of such accounts waits until householdPause has passed since the last time, and counts for all of them together then.
// The keys do not wait: what such an entry takes from its user goes at once, what it gives him comes with the account. Nobody else waits.

// householdPause is the least time between two worlds for which whose homes are kept is worked out anew because of single users.
const householdPause = 5 * time.Second

// moves are accounts that wait.
type moves struct {
	snapshot *registry.Snapshot // with them; nil: nobody waits
	last     time.Time          // when the last ones were taken
	due      *time.Timer
}

// latest is the last good snapshot; the present world lacks the accounts that wait.
func (l *loop) latest() *registry.Snapshot {
	if l.moves.snapshot != nil {
		return l.moves.snapshot
	}
	return l.world.Snapshot
}

// derive makes a snapshot that was derived from the latest one, or that one as time has changed it, the present world, at the cost of
// those users alone who differ, and of others who are named.
func (l *loop) derive(snapshot *registry.Snapshot, also ...string) {
	now := time.Now()
	l.moves.snapshot = nil
	if held := l.world.standing(snapshot); held != nil {
		if wait := l.moves.last.Add(householdPause).Sub(now); wait > 0 {
			l.moves.snapshot, snapshot = snapshot, held
			l.moves.due.Reset(wait)
		} else {
			l.moves.last = now
		}
	}
	world, users, learned := l.Memory.Amend(l.world, snapshot, l.away, now, also...)
	l.tellAccepted(learned)
	l.begin(world, users)
}

// move takes the accounts that have waited.
func (l *loop) move() {
	if l.awake() && l.moves.snapshot != nil {
		l.derive(l.moves.snapshot)
	}
}

// standing is a snapshot in which the accounts are still those of the present world, but with what its users have lost; nil where they are
// the same ones anyway.
func (w *World) standing(snapshot *registry.Snapshot) *registry.Snapshot {
	names := registry.Changed(w.Snapshot, snapshot)
	if !slices.ContainsFunc(names, func(name string) bool { return !sameAccount(w.Snapshot, snapshot, name) }) {
		return nil
	}
	stand := w.Snapshot
	for _, name := range names {
		was, had := w.Snapshot.User(name)
		is, has := snapshot.User(name)
		switch {
		case !had:
			continue
		case !has:
			is = was
			is.Records = nil
		case !sameAccount(w.Snapshot, snapshot, name):
			is.UID, is.GID, is.Home = was.UID, was.GID, was.Home
			is.Records = registry.Remaining(was.Records, is.Records)
		}
		next, err := stand.With(is)
		if err != nil {
			return nil // no name that was in a snapshot is refused
		}
		stand = next
	}
	return stand
}

// overtake is the latest snapshot for a world that is made of all: the ledger learns of the accounts that have waited.
func (l *loop) overtake() *registry.Snapshot {
	snapshot := l.latest()
	if l.moves.snapshot != nil {
		l.tellAccepted(l.Memory.Ledger.AcceptUsers(snapshot, time.Now(), nil, registry.Changed(l.world.Snapshot, snapshot)))
	}
	return snapshot
}

// settled makes a world in which what looks found to be gone is held no longer.
func (l *loop) settled() {
	names := slices.Compact(slices.Sorted(slices.Values(l.settling.users)))
	l.settling.users = nil
	if l.awake() {
		l.derive(l.latest(), names...)
	}
}
