package enforcer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
)

// Brake says how many people may lose registered keys in what time. It is pure; [Brakes] keeps its state.
//
// What it holds back is the removal of keys that the registry listed for their user until a moment ago, and of nothing else: a
// key that was never registered to him is removed whatever the brake says. So that nobody can use it to keep a key which was
// revoked, a person counts only when the registry has just taken a key of his, not for putting back one that went long ago,
// and only keys are held that went when many did.
type Brake struct {
	// People is how many distinct users may lose a registered key from their files within Window; the next one trips the brake.
	People int
	Window time.Duration
}

// Loss is a key that the registry listed for a user and no longer does.
type Loss struct {
	User string
	// Person is the same for all names that one person has had, and no other's; empty: the name says it.
	Person string
	// Key is none where the registry lists it again: that it was lost counts still, within the window.
	Key authkeys.Key
	// Since is the time of the first accepted reading without it.
	Since time.Time
	// Confirmed: a second complete reading did not have it either. Settled: the user's files were seen without it since, so
	// that whoever finds it there again finds what the user put back.
	Confirmed, Settled bool
}

func (l Loss) person() string { return cmp.Or(l.Person, l.User) }

// BrakeState is what the brake has counted.
type BrakeState struct {
	// Counted are the users who lost a registered key from their files, one for each person, and when.
	Counted map[string]time.Time
	// Persons says which persons they are; those who are not in it are told by their names.
	Persons map[string]string
	// Tripped is when the brake stopped removal; zero: it did not. People are those who tripped it, in the order of their names.
	Tripped time.Time
	People  []string
	// Released is when it was released last: what the registry had taken by then counts no more and is not held.
	Released time.Time
	// Expected are losses that an administrator named beforehand.
	Expected []Expected
}

// On reports whether removal is stopped.
func (s BrakeState) On() bool { return !s.Tripped.IsZero() }

func (s BrakeState) equal(o BrakeState) bool {
	return maps.Equal(s.Counted, o.Counted) && maps.Equal(s.Persons, o.Persons) && s.Tripped.Equal(o.Tripped) && slices.Equal(s.People, o.People) && s.Released.Equal(o.Released) &&
		slices.EqualFunc(s.Expected, o.Expected, Expected.equal)
}

// ErrBraked says that a plan is not carried out because of the brake. What else it would do is planned anew, without what is held.
var ErrBraked = errors.New("the brake holds registered keys that would go")

// registryTook lists the reasons for which a key goes because of what the registry says, not because of the key or the rules.
func registryTook(reason policy.Reason) bool {
	return reason.OfAccount() || slices.Contains([]policy.Reason{policy.ReasonFormer, policy.ReasonExpired, policy.ReasonNotYet}, reason)
}

// lost lists those losses of its user that a plan takes out of his file.
func (p Plan) lost(losses []Loss) (list []Loss) {
	for _, loss := range losses {
		if slices.ContainsFunc(p.Remove, func(d Decision) bool { return loginKey(d.Line, loss.Key) && registryTook(d.Reason) }) {
			list = append(list, loss)
		}
	}
	return list
}

// released reports whether a release has let a loss through. One of a clock that was ahead counts for what that clock has stamped
// alone: else no key would count any more until its time has come.
func (b Brake) released(s BrakeState, loss Loss, now time.Time) bool {
	return !loss.Since.After(s.Released) && (loss.Since.After(now) || s.Released.Sub(now) <= b.Window)
}

// Admit counts what a user is about to lose at the moment now, and gives the state with it. The error wraps ErrBraked when it
// is not to be carried out; the state is the new one then too.
func (b Brake) Admit(s BrakeState, user string, losses []Loss, now time.Time) (BrakeState, error) {
	fresh, person := false, user
	for _, loss := range s.unexpected(losses) {
		person = loss.person()
		switch {
		case loss.Settled, b.released(s, loss, now):
		case s.On() && b.before(s, loss):
			return s, fmt.Errorf("%s: %w since %s", user, ErrBraked, s.Tripped.UTC().Format(time.RFC3339))
		case now.Sub(loss.Since) <= b.Window:
			fresh = true
		}
	}
	if !fresh || s.On() || s.counted(user, person, now, b.Window) {
		return s, nil
	}
	s.Counted, s.Persons = maps.Clone(s.Counted), maps.Clone(s.Persons)
	maps.DeleteFunc(s.Counted, func(_ string, at time.Time) bool { return now.Sub(at).Abs() > b.Window })
	maps.DeleteFunc(s.Persons, func(name, _ string) bool { return s.Counted[name].IsZero() })
	if len(s.Counted) < b.People {
		if s.Counted == nil {
			s.Counted = make(map[string]time.Time)
		}
		if s.Persons == nil {
			s.Persons = make(map[string]string)
		}
		s.Counted[user], s.Persons[user] = now, person
		return s, nil
	}
	s.Tripped, s.People = now, slices.Sorted(maps.Keys(s.Counted))
	s.People = append(s.People, user)
	slices.Sort(s.People)
	return s, fmt.Errorf("%s: %w: more than %d people within %v", user, ErrBraked, b.People, b.Window)
}

// counted reports whether a person has been counted within the window, by whatever name.
func (s BrakeState) counted(user, person string, now time.Time, window time.Duration) bool {
	for name, at := range s.Counted {
		who, known := s.Persons[name]
		if now.Sub(at).Abs() <= window && (known && who == person || !known && name == user) {
			return true
		}
	}
	return false
}

// before reports whether a key went within the window before the brake tripped.
func (b Brake) before(s BrakeState, loss Loss) bool {
	return !loss.Since.After(s.Tripped) && s.Tripped.Sub(loss.Since) <= b.Window
}

// Holds lists those of all losses whose removal waits for the release of the brake: what went within the window before it
// tripped, and, after that, what went together with keys of more people than may lose some. A single key that is revoked while
// nobody releases the brake goes. Of a brake that tripped by a clock that was ahead nobody knows what came after it.
func (b Brake) Holds(s BrakeState, losses []Loss, now time.Time) (held []Loss) {
	if !s.On() {
		return nil
	}
	losses = s.unexpected(losses)
	var recent []Loss
	for _, loss := range losses {
		if over := loss.Key.IsZero() && now.Sub(loss.Since).Abs() > b.Window; !over && !b.released(s, loss, now) {
			recent = append(recent, loss)
		}
	}
	slices.SortFunc(recent, func(a, c Loss) int { return a.Since.Compare(c.Since) })
	people := make(map[string]int) // those who lost a key within the window before the one that is looked at
	first, next := 0, 0
	for _, loss := range recent {
		for ; next < len(recent) && !recent[next].Since.After(loss.Since); next++ {
			people[recent[next].person()]++
		}
		for ; loss.Since.Sub(recent[first].Since) > b.Window; first++ {
			if people[recent[first].person()]--; people[recent[first].person()] == 0 {
				delete(people, recent[first].person())
			}
		}
		after := loss.Since.After(s.Tripped) || s.Tripped.After(now)
		if !loss.Settled && (b.before(s, loss) || after && len(people) > b.People) {
			held = append(held, loss)
		}
	}
	return held
}

// Crowds lists the losses that came within the window together with those of more people than may lose some, whether the brake is on or not:
// all but what was released or settled.
func (b Brake) Crowds(s BrakeState, losses []Loss, now time.Time) []Loss {
	s.Tripped = time.Unix(0, 0) // as if it had always been on
	return b.Holds(s, losses, now)
}

// Release lets the removal through of everything that the registry has taken so far. Losses are those that are known.
func (s BrakeState) Release(losses []Loss, now time.Time) BrakeState {
	// A clock that was put back must not keep held what is known already.
	for _, loss := range losses {
		if loss.Since.After(now) {
			now = loss.Since
		}
	}
	return BrakeState{Released: now, Expected: s.Expected}
}
