package enforcer

import (
	"time"

	"github.com/keyreeve/keyreeve/registry"
)

// Amendment is one user who was read again alone, after a whole reading.
type Amendment struct {
	// SourceID is that of the settings by which it was read.
	SourceID string
	// Name is the user's; Found says that the registry has him, as User.
	Name  string
	User  registry.User
	Found bool
	Hold  Hold
}

// amendment is one that was taken.
type amendment struct {
	Amendment

	n uint64
}

func (a Amendment) apply(s *registry.Snapshot) (*registry.Snapshot, error) {
	if a.Found {
		return s.With(a.User)
	}
	return s.Without(a.Name)
}

// censusFor is how old a census may be by which amendments are judged: it goes over all users, and within that time they lose and
// gain no more than a few.
const censusFor = time.Minute

// Begin is called before a reading begins, for Reading.Since: amendments that are taken from now on are newer than it.
func (g *Gate) Begin() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.amended
}

// Amend takes a user who was read alone into the last good reading, which stays as old as it was. It reports false where only a
// whole reading can decide: there is none yet, or one is held, of which nothing is let through piece by piece either; or too many
// people have lost something within the hour.
func (g *Gate) Amend(a Amendment) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.good == nil || g.good.SourceID != a.SourceID || g.held != nil {
		return false
	}
	if was, there := g.good.Snapshot.User(a.Name); there == a.Found && was.Equal(a.User) {
		return true
	}
	derived, err := a.apply(g.good.Snapshot)
	if err != nil {
		return false
	}
	now := time.Now()
	v := Verdict{
		Kept: Kept{Snapshot: derived, SourceID: a.SourceID, Read: g.good.Read, Amended: true},
		Loss: registry.CompareUser(a.Name, g.good.Snapshot, derived, now),
	}
	if age := now.Sub(g.counted.at); age < 0 || age >= censusFor {
		g.count(now)
	}
	if g.judge(&v, a.Hold, now); v.Held {
		return false
	}
	g.lost(v.Loss, now)
	g.good, g.dirty.good, g.dirty.notes = &v.Kept, true, true
	g.amended++
	if g.amendments == nil {
		g.amendments = make(map[string]amendment)
	}
	g.amendments[a.Name] = amendment{a, g.amended}
	return true
}

// newer puts into a reading what was amended since it began, and forgets what is older.
func (g *Gate) newer(r Reading) *registry.Snapshot {
	snapshot := r.Snapshot
	for name, a := range g.amendments {
		if a.n <= r.Since || a.SourceID != r.SourceID {
			delete(g.amendments, name)
			continue
		}
		if derived, err := a.apply(snapshot); err == nil { // one user never empties the registry
			snapshot = derived
		}
	}
	return snapshot
}
