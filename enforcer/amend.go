package enforcer

import (
	"errors"
	"fmt"
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
	// Since is what Begin gave before he was read.
	Since uint64
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
// For Amendment.Since, whole readings that are taken from now on may be.
func (g *Gate) Begin() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.amended
}

var (
	// ErrLate says that a user was read before the last good reading was taken: which of both is newer is not known.
	ErrLate = errors.New("all of the registry was read meanwhile")
	// ErrWhole says that only a whole reading can decide.
	ErrWhole = errors.New("only a reading of all the registry can decide")
)

// Amend takes a user who was read alone into the last good reading, which stays as old as it was. The error wraps ErrWhole where
// there is none yet, or one is held, of which nothing is let through piece by piece either; or too many people have lost something
// within the hour. It wraps ErrLate where the user is to be read again.
func (g *Gate) Amend(a Amendment) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.good == nil || g.good.SourceID != a.SourceID:
		return fmt.Errorf("%w: there is none", ErrWhole)
	case g.held != nil:
		return fmt.Errorf("%w: one is held", ErrWhole)
	case a.Since < g.whole:
		return ErrLate
	}
	if was, there := g.good.Snapshot.User(a.Name); there == a.Found && was.Equal(a.User) {
		g.note(a) // the reading that is under way may have what was there in between
		return nil
	}
	if name := a.sameAs(g.good.Snapshot); name != "" {
		return fmt.Errorf("%w: %s, who is new, has the uid of %s, who may have been renamed", ErrWhole, a.Name, name)
	}
	derived, err := a.apply(g.good.Snapshot)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWhole, err)
	}
	now := time.Now()
	v := Verdict{
		Kept: Kept{Snapshot: derived, SourceID: a.SourceID, Read: g.good.Read, Amended: true, whole: g.good.whole},
		Loss: registry.CompareUser(a.Name, g.good.Snapshot, derived, now),
	}
	if age := now.Sub(g.counted.at); age < 0 || age >= censusFor {
		g.count(now)
	}
	if g.judge(&v, a.Hold, now); v.Held {
		return fmt.Errorf("%w: it lost too much: %s", ErrWhole, v.Summary())
	}
	g.lost(v, those(derived, []string{a.Name}), now)
	g.good, g.dirty.good, g.dirty.notes = &v.Kept, true, true
	g.note(a)
	return nil
}

// note keeps what was taken, for the readings that are under way.
func (g *Gate) note(a Amendment) {
	g.amended++
	if g.amendments == nil {
		g.amendments = make(map[string]amendment)
	}
	g.amendments[a.Name] = amendment{a, g.amended}
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
