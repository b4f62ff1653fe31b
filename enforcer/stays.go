package enforcer

import (
	"fmt"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
)

// stay is a former key of a user.
type stay struct {
	user string
	key  authkeys.Key
}

// stays lists what the brake holds. It goes over everybody's losses, of which one may let another be held.
func (m Memory) stays(state BrakeState, rules Brake) map[stay]bool {
	if !state.On() {
		return nil
	}
	return keysOf(rules.Holds(state, m.Ledger.AllLosses(), time.Now()))
}

// keysOf are the keys of losses.
func keysOf(losses []Loss) map[stay]bool {
	keys := make(map[stay]bool, len(losses))
	for _, loss := range losses {
		keys[stay{loss.User, loss.Key}] = true
	}
	return keys
}

// holdsAs reports whether two states hold the same of the same losses.
func (s BrakeState) holdsAs(o BrakeState) bool {
	return !s.On() && !o.On() ||
		s.Tripped.Equal(o.Tripped) && s.Released.Equal(o.Released) && slices.EqualFunc(s.Expected, o.Expected, Expected.equal)
}

// differing names the users of whom not the same keys are held.
func differing(a, b map[stay]bool) (names []string) {
	for k := range a {
		if !b[k] {
			names = append(names, k.user)
		}
	}
	for k := range b {
		if !a[k] {
			names = append(names, k.user)
		}
	}
	return names
}

// losses lists those of some users.
func (m Memory) losses(names []string) (list []Loss) {
	for _, name := range names {
		list = append(list, m.Ledger.Losses(name)...)
	}
	return list
}

// held says which former keys stay for the time being, and until when: those that the brake holds, and while the registry is away those
// that one reading alone did not have.
func held(stays map[stay]bool, away bool) func(Loss) string {
	return func(loss Loss) string {
		var until string
		switch {
		case stays[stay{loss.User, loss.Key}]:
			until = "the brake is released"
		case away && !loss.Confirmed && !loss.Settled:
			until = "the registry can be read again"
		default:
			return ""
		}
		return fmt.Sprintf("it is no longer registered since %s, and stays until %s", loss.Since.Format(time.RFC3339), until)
	}
}
