package enforcer

import (
	"errors"
	"time"
)

// Observation is what the loop knows of the whole at one moment, for whoever measures it.
type Observation struct {
	// Homes is how many homes are kept, Silent how many of them do not answer, or wait for their file server to answer.
	Homes, Silent int
	// Unresolved counts the files by which somebody may get in (Plan.Pressing) and of which nothing could be decided at the last
	// look, and those that could not be read or changed, or are not kept; a silent home counts as one.
	Unresolved int
	// Braked says that the brake is on, HeldKeys how many keys stay that are no longer registered, by the brake or because the
	// registry cannot be read.
	Braked   bool
	HeldKeys int
	// BrakeRenewed is how often the file of the brake's state was lost and written anew.
	BrakeRenewed int
	// Registry is when the registry was last read whole and believed, also by an earlier daemon; zero before that.
	Registry time.Time
	// Reachable says that the last attempt to read it succeeded, Stale that the last good reading is too old, Held that the last one is
	// held; LostUsers and LostKeys are the people who would lose something by that.
	Reachable, Stale, Held bool
	LostUsers, LostKeys    int
}

// meter keeps what an observation is made of. It belongs to the loop's goroutine.
type meter struct {
	files map[string]int // unresolved ones by user, of whom there are some
	all   int
	told  Observation
}

// look counts what a look has left unresolved.
func (m *meter) look(user string, result Result) {
	n := len(joined(result.Err)) + len(result.Unkept)
	for _, p := range result.Plans {
		if p.Pressing() {
			n++
		}
	}
	m.set(user, n)
}

func (m *meter) set(user string, n int) {
	m.all += n - m.files[user]
	if m.files[user] = n; n == 0 {
		delete(m.files, user)
	}
}

// joined are the errors that a result's one was joined of, one for each file.
func joined(err error) []error {
	list, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	if !ok {
		return nil
	}
	return list.Unwrap()
}

// observe tells Observe what has changed.
func (l *loop) observe() {
	silent := l.dog.all + len(l.dog.parked)
	now := Observation{Silent: silent, Unresolved: l.meter.all + silent, BrakeRenewed: l.Memory.Brakes.Renewed()}
	l.readings.observe(&now)
	if l.world != nil {
		now.Homes, now.Braked, now.HeldKeys = len(l.world.accounts), l.world.braked.On(), l.world.heldKeys()
	}
	if now != l.meter.told {
		l.meter.told = now
		l.Observe(now)
	}
}
