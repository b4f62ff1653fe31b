package enforcer

import (
	"fmt"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// Memory is what a decision rests on beside the registry as it is and the rules: who and what was registered before, and
// whether the brake is on.
type Memory struct {
	Ledger *Ledger
	// Brakes is nil where nobody needs a brake.
	Brakes *Brakes
	// Hand writes records about the brake.
	Hand *Enforcer
}

// Admit says whether a plan may be carried out. Any error keeps it from that; one that wraps ErrBraked asks for a new world.
func (m Memory) Admit(rules Brake, p Plan) error {
	if m.Brakes == nil {
		return nil
	}
	return m.Hand.Admit(m.Brakes, rules, p, m.Ledger.Losses(p.Account.Name))
}

// World judges a snapshot in the light of the past. Away says that the registry cannot be read at the moment: keys that only the last
// reading did not have are held then.
func (m Memory) World(snapshot *registry.Snapshot, grants *policy.Grants, scope Scope, rules Brake, away bool) *World {
	state := m.Brakes.State()
	type id struct {
		user string
		key  authkeys.Key
	}
	braked := make(map[id]bool)
	if state.On() {
		for _, loss := range rules.Holds(state, m.Ledger.AllLosses(), time.Now()) {
			braked[id{loss.User, loss.Key}] = true
		}
	}
	former := m.Ledger.Former(func(loss Loss) string {
		var until string
		switch {
		case braked[id{loss.User, loss.Key}]:
			until = "the brake is released"
		case away && !loss.Confirmed && !loss.Settled:
			until = "the registry can be read again"
		default:
			return ""
		}
		return fmt.Sprintf("it is no longer registered since %s, and stays until %s", loss.Since.Format(time.RFC3339), until)
	})
	w := NewWorld(snapshot, grants, scope, m.Ledger.Departed()...)
	w.Grants = grants.Without(w.departed).WithFormer(former)
	w.braked = state
	for _, f := range former {
		if f.Held != "" {
			w.held++
		}
	}
	return w
}

// Foresee gives the state that the brake would have if the plans were carried out.
func (m Memory) Foresee(rules Brake, results []Result, now time.Time) BrakeState {
	state := m.Brakes.State()
	for _, result := range results {
		for _, p := range result.Plans {
			if p.Change {
				state, _ = rules.Admit(state, p.Account.Name, p.lost(m.Ledger.Losses(p.Account.Name)), now)
			}
		}
	}
	return state
}

// Settle notes which former keys of a user are not in his files any more, after a look that saw all of them, and reports whether
// that is news.
func (m Memory) Settle(result Result) bool {
	if result.Err != nil || result.NoHome {
		return false
	}
	there := make(map[authkeys.Key]bool)
	for _, p := range result.Plans {
		if p.Unresolved != "" && !p.Harmless || p.Change && !p.Done && p.State != homes.Regular {
			return false // what is in the file is not known
		}
		lists := [][]Decision{p.Keep, p.Rewrite}
		if !p.Done {
			lists = append(lists, p.Remove)
		}
		for _, list := range lists {
			for _, d := range list {
				there[d.Line.Key] = true
			}
		}
	}
	return m.Ledger.Settle(result.Account.Name, func(key authkeys.Key) bool { return there[key] })
}
