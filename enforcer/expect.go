package enforcer

import (
	"crypto/rand"
	"encoding/json"
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

// Past is a word of an administrator beside his acceptance: keys that people lose by the held reading may go past the brake, exactly those,
// and of those people alone. It counts from when the reading is taken for which it was given, and is void with the acceptance.
type Past struct {
	Expected

	Digest string `json:"digest"` // of the loss
	Who    string `json:"who"`
	Why    string `json:"why"`
}

// PastBrake is the word for a held reading; nil where nobody loses a key by it.
func (e *Enforcer) PastBrake(v Verdict, who, why string) *Past {
	p := Past{Expected: Expected{At: e.Now().UTC().Round(0), Keys: make(map[string][]string)}, Digest: v.LossDigest, Who: who, Why: why}
	for _, item := range v.Items {
		if list := p.Keys[item.User]; !item.Key.IsZero() && !slices.Contains(list, item.Key.Fingerprint()) {
			p.Keys[item.User] = append(list, item.Key.Fingerprint())
		}
	}
	if len(p.Keys) == 0 {
		return nil
	}
	return &p
}

// Count is how many keys they are.
func (p *Past) Count() int {
	n := 0
	if p != nil {
		for _, keys := range p.Keys {
			n += len(keys)
		}
	}
	return n
}

func (p *Past) String() string {
	return fmt.Sprintf("beforehand, for %d keys of %d people, by the loss %.16s, by %s: %s", p.Count(), len(p.Keys), p.Digest, p.Who, p.Why)
}

// check refuses more than the file of the brake has room for, beside what it holds.
func (p *Past) check() error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err == nil && len(text) > brakeBound/2 {
		err = fmt.Errorf("%d keys are more than can be let past the brake at once", p.Count())
	}
	return err
}

// Expect lets keys past the brake: it is for [Gate.Past].
func (e *Enforcer) Expect(b *Brakes, p Past) error {
	return e.changeBrake(b, func(state BrakeState, now time.Time) (BrakeState, []audit.Record, error) {
		if slices.ContainsFunc(state.Expected, p.equal) {
			return state, nil, nil // it was taken before, and what it was given for was not
		}
		next := state
		// A home that was away may lose its keys long after the registry took them.
		next.Expected = slices.DeleteFunc(slices.Clone(state.Expected), func(o Expected) bool { return now.Sub(o.At) > 2*expectFor })
		next.Expected = append(next.Expected, p.Expected)
		return next, []audit.Record{{ID: rand.Text(), Action: audit.ReleaseBrake, UID: -1, File: b.path, Reason: string(ReasonBrake), Message: p.String()}}, nil
	})
}
