package enforcer

import (
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
)

// expectFor is how soon after an acceptance a loss is one that it named: over a weekend, for a host that was down.
const expectFor = 72 * time.Hour

// Expected are keys that the brake neither counts nor holds, since an administrator let them past it before the registry took them.
type Expected struct {
	At time.Time `json:"at"`
	// Keys are fingerprints, by the users who lose them.
	Keys map[string][]string `json:"keys"`
}

func (x Expected) equal(o Expected) bool {
	return x.At.Equal(o.At) && maps.EqualFunc(x.Keys, o.Keys, slices.Equal)
}

// covers reports whether a loss is one of those. The same key lost at another time, by another accident, is not.
func (x Expected) covers(loss Loss) bool {
	return !loss.Since.Before(x.At) && loss.Since.Sub(x.At) <= expectFor && slices.Contains(x.Keys[loss.User], loss.Key.Fingerprint())
}

// unexpected are the losses that count for the brake.
func (s BrakeState) unexpected(losses []Loss) []Loss {
	if len(s.Expected) == 0 {
		return losses
	}
	return slices.DeleteFunc(slices.Clone(losses), func(loss Loss) bool {
		return slices.ContainsFunc(s.Expected, func(x Expected) bool { return x.covers(loss) })
	})
}

// Expect lets the keys that people lose by the held reading past the brake, once the registry has taken them: exactly those, and of
// those people alone. It gives how many they are. It is for before [Enforcer.Accept]. Who and why are for the trail.
func (e *Enforcer) Expect(b *Brakes, v Verdict, who, why string) (keys int, err error) {
	x := Expected{Keys: make(map[string][]string)}
	for _, item := range v.Items {
		if list := x.Keys[item.User]; !item.Key.IsZero() && !slices.Contains(list, item.Key.Fingerprint()) {
			x.Keys[item.User] = append(list, item.Key.Fingerprint())
			keys++
		}
	}
	if keys == 0 {
		return 0, nil
	}
	err = e.changeBrake(b, func(state BrakeState, now time.Time) (BrakeState, []audit.Record, error) {
		x.At = now
		next := state
		// A home that was away may lose its keys long after the registry took them.
		next.Expected = slices.DeleteFunc(slices.Clone(state.Expected), func(o Expected) bool { return now.Sub(o.At) > 2*expectFor })
		next.Expected = append(next.Expected, x)
		return next, []audit.Record{{
			ID: rand.Text(), Action: audit.ReleaseBrake, UID: -1, File: b.path, Reason: string(ReasonBrake),
			Message: fmt.Sprintf("beforehand, for %d keys of %d people, by the loss %.16s, by %s: %s", keys, len(x.Keys), v.LossDigest, who, why),
		}}, nil
	})
	return keys, err
}
