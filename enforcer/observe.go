package enforcer

import (
	"errors"
	"slices"
	"time"
)

// Observation is what the loop knows of the whole at one moment, for whoever measures it.
type Observation struct {
	// Homes is how many homes are kept, Silent how many of them do not answer, or wait for their file server to answer, and Unwatched
	// how many could not be watched at the last look: what happens there waits for the sweep.
	Homes, Silent, Unwatched int
	// Unresolved counts the files by which somebody may get in (Plan.Pressing) and of which nothing could be decided at the last
	// look, and those that could not be read or changed, or are not kept; a silent home counts as one. They are in UnresolvedHomes homes,
	// of which Troubles has some.
	Unresolved, UnresolvedHomes int
	Troubles                    [MaxTroubles]Trouble
	// Waiting is how many users are to be looked at, Looking at how many somebody looks.
	Waiting, Looking int
	// Rounds is how many looks at every home came to their end, the last one at RoundEnded, after RoundTook.
	Rounds     int
	RoundEnded time.Time
	RoundTook  time.Duration
	// Braked says that the brake is on, HeldKeys how many keys stay that are no longer registered, by the brake or because the
	// registry cannot be read.
	Braked   bool
	HeldKeys int
	// BrakeRenewed is how often the file of the brake's state was lost and written anew.
	BrakeRenewed int
	// Registry is when the registry was last read whole and believed, also by an earlier daemon; zero before that. Users and Keys are
	// how many it had, Source is where they came from.
	Registry    time.Time
	Users, Keys int
	Source      string
	// Reachable says that the last attempt to read it succeeded; since when that, or the opposite, is so, and what the first attempt that
	// failed said. Stale says that the last good reading is too old, Held that the last one is held; LostUsers and LostKeys are the people
	// who would lose something by that.
	Reachable, Stale, Held bool
	Since                  time.Time
	Error                  string
	LostUsers, LostKeys    int
}

// MaxTroubles is how many unresolved homes an observation names.
const MaxTroubles = 20

// Trouble is a home that is not resolved, and the first of what is wrong with it.
type Trouble struct{ User, Why string }

// meter keeps what an observation is made of. It belongs to the loop's goroutine.
type meter struct {
	homes     map[string]unresolved // of which something is
	all       int                   // files
	unwatched map[string]bool
	troubles  []string // users of homes, MaxTroubles if there are so many
	told      Observation
}

// unresolved is what a home has of that.
type unresolved struct {
	files  int
	silent bool
	why    string
}

func newMeter() meter {
	return meter{homes: make(map[string]unresolved), unwatched: make(map[string]bool)}
}

// look counts what a look has left unresolved.
func (m *meter) look(f finished) {
	if delete(m.unwatched, f.user); f.watch != nil {
		m.unwatched[f.user] = true
	}
	wrong := joined(f.result.Err)
	n, why := len(wrong)+len(f.result.Unkept), ""
	for _, p := range slices.Backward(f.result.Plans) {
		if p.Pressing() {
			n, why = n+1, p.Path()+": "+p.Unresolved
		}
	}
	switch {
	case len(wrong) > 0:
		why = wrong[0].Error()
	case why == "" && n > 0:
		why = f.result.Unkept[0].Path + ": " + f.result.Unkept[0].Why
	}
	m.set(f.user, unresolved{files: n, silent: m.homes[f.user].silent, why: why})
}

// silence notes whether a home answers.
func (m *meter) silence(user string, silent bool) {
	u := m.homes[user]
	u.silent = silent
	m.set(user, u)
}

// forget drops a user who has left. Whether his home answers is known until it does.
func (m *meter) forget(user string) {
	delete(m.unwatched, user)
	m.set(user, unresolved{silent: m.homes[user].silent})
}

func (m *meter) set(user string, u unresolved) {
	before := m.homes[user]
	m.all += u.files - before.files
	if u.files > 0 || u.silent {
		m.homes[user] = u
		if before == (unresolved{}) && len(m.troubles) < MaxTroubles {
			m.troubles = append(m.troubles, user)
		}
		return
	}
	delete(m.homes, user)
	at := slices.Index(m.troubles, user)
	if at < 0 {
		return
	}
	m.troubles = slices.Delete(m.troubles, at, at+1)
	for other := range m.homes { // any other takes the place
		if !slices.Contains(m.troubles, other) {
			m.troubles = append(m.troubles, other)
			break
		}
	}
}

// name fills in the homes that an observation names.
func (m *meter) name(o *Observation) {
	for i, user := range m.troubles {
		u := m.homes[user]
		if o.Troubles[i] = (Trouble{user, u.why}); u.silent {
			o.Troubles[i].Why = "its home does not answer"
		}
	}
}

// joined are the errors that a result's one was joined of, one for each file; one of the whole account is one.
func joined(err error) []error {
	list, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	switch {
	case ok:
		return list.Unwrap()
	case err != nil:
		return []error{err}
	}
	return nil
}

// observe tells Observe what has changed.
func (l *loop) observe() {
	silent := l.dog.all + len(l.dog.parked)
	now := Observation{
		Silent: silent, Unwatched: len(l.meter.unwatched), Unresolved: l.meter.all + silent, UnresolvedHomes: len(l.meter.homes),
		Waiting: len(l.queue.waiting), Looking: l.running,
		Rounds: l.round.count, RoundEnded: l.round.ended, RoundTook: l.round.took, BrakeRenewed: l.Memory.Brakes.Renewed(),
	}
	l.meter.name(&now)
	l.readings.observe(&now)
	if l.world != nil {
		now.Homes, now.Braked, now.HeldKeys = len(l.world.accounts), l.world.braked.On(), l.world.heldKeys()
		now.Users, now.Keys, now.Source = l.world.Snapshot.Len(), l.world.Snapshot.Keys(), l.world.Snapshot.Source()
	}
	if now != l.meter.told {
		l.meter.told = now
		l.Observe(now)
	}
}
