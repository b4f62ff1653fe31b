package enforcer

import (
	"maps"
	"slices"
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
	// Past is a word that counts from now on, and is not in the brake's file yet; nil: there is none.
	Past *Past
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
	stays := m.stays(state, rules)
	former := m.Ledger.Former(held(stays, away))
	w := NewWorld(snapshot, grants, scope, m.gone()...)
	w.Grants = grants.Without(w.departed).WithFormer(former)
	w.braked, w.rules, w.stays, w.away, w.held = state, rules, stays, away, countHeld(nil, former)
	return w
}

// gone are those who left, and the names of those who have others.
func (m Memory) gone() []Gone { return append(m.Ledger.Departed(), m.Ledger.Renamed()...) }

// Amend is the World that would be made at the moment now of a snapshot that was derived from that of w, by the same rules and exceptions,
// at the cost of those users alone who differ or of whom time makes something else, and of others who are named because what is settled of
// them may be. They are named, in order; none is an empty list, not nil. Away is as for World. The ledger has learned of them, and that is
// told. Where the brake is on one user's loss may let another's keys be held, who is named then too.
//
// Of this host's accounts and of NSS it knows what w does, as long as nobody comes, goes or gets another uid or home.
func (m Memory) Amend(w *World, snapshot *registry.Snapshot, away bool, now time.Time, also ...string) (*World, []string, Accepted) {
	read := registry.Changed(w.Snapshot, snapshot)
	names := distinct(read, w.Grants.Due(now), also)
	before := m.losses(names)
	learned := m.Ledger.AcceptUsers(snapshot, now, names, read)
	for _, move := range learned.Moved {
		names = append(names, move.From, move.To)
	}
	names = distinct(names)
	with := *w
	with.Snapshot, with.braked, with.away = snapshot, m.Brakes.State(), away
	if len(also) > 0 || !with.braked.holdsAs(w.braked) || !slices.Equal(before, m.losses(names)) {
		with.stays = m.stays(with.braked, w.rules)
		names = distinct(names, differing(w.stays, with.stays))
	}
	if slices.ContainsFunc(read, func(name string) bool { return !sameAccount(w.Snapshot, snapshot, name) }) {
		with.household = keep(snapshot, w.scope, m.gone())
		for name := range w.departed {
			if _, still := with.departed[name]; !still {
				names = append(names, name)
			}
		}
		names = distinct(names, slices.Collect(maps.Keys(with.departed)))
	}
	former := m.Ledger.FormerOf(held(with.stays, away), names...)
	with.Grants = w.Grants.Graft(w.Grants.Again(snapshot, now, names...).Without(with.departed).WithFormer(former), names...)
	with.held = maps.Clone(w.held)
	for _, name := range names {
		delete(with.held, name)
	}
	with.held = countHeld(with.held, former)
	return &with, names, learned
}

// sameAccount reports whether a user is in two snapshots as the same account.
func sameAccount(a, b *registry.Snapshot, name string) bool {
	was, had := a.User(name)
	is, has := b.User(name)
	return had && has && was.UID == is.UID && was.GID == is.GID && was.Home == is.Home
}

// distinct is every name of some lists once, in order; never nil.
func distinct(lists ...[]string) []string {
	names := append([]string{}, slices.Concat(lists...)...)
	slices.Sort(names)
	return slices.Compact(names)
}

// countHeld adds to the numbers of held keys by user those of a list.
func countHeld(numbers map[string]int, former []policy.Former) map[string]int {
	for _, f := range former {
		if f.Held != "" {
			if numbers == nil {
				numbers = make(map[string]int)
			}
			numbers[f.User]++
		}
	}
	return numbers
}

// Foresee gives the state that the brake would have if the plans were carried out.
func (m Memory) Foresee(rules Brake, results []Result, now time.Time) BrakeState {
	state := m.Brakes.State()
	if m.Past != nil {
		state.Expected = append(slices.Clone(state.Expected), m.Past.Expected)
	}
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
