package enforcer

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/policy"
)

// Brakes is the file with the brake's state, which several processes share. It is safe for concurrent use.
type Brakes struct {
	lastGood[BrakeState]

	lost    error // why the file was written anew, until that is told
	renewed int
}

// OpenBrakes reads the file at path. One that is not there is that of a brake that has counted nobody. One that cannot be read is an
// error, since nobody knows then whether the brake holds something back.
func OpenBrakes(path string) (*Brakes, error) {
	b := &Brakes{lastGood: lastGood[BrakeState]{path: path, what: "the state of the brake", read: readBrake}}
	if _, err := b.Current(); err != nil {
		return nil, err
	}
	return b, nil
}

// State is what is known of the brake, without a look at the file. One of nil is not on.
func (b *Brakes) State() BrakeState {
	if b == nil {
		return BrakeState{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// Refresh reads the file again. One that was there and is gone, or cannot be read, is written anew as it was known last: without it no
// removal could be counted, and so no formerly registered key would go. Lost is why that was done since the last call, here or
// before a change; with err the file is still what it was found to be, and what was known stays in force.
func (b *Brakes) Refresh() (lost, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err = b.current(); err != nil {
		if lock, held := statefile.Lock(b.path + ".lock"); held != nil {
			err = errors.Join(err, held)
		} else {
			_, err = b.mend()
			err = errors.Join(err, lock.Close())
		}
	}
	lost, b.lost = b.lost, nil
	return lost, err
}

// Renewed is how often the file was written anew. Of nil it is never.
func (b *Brakes) Renewed() int {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.renewed
}

// mend reads the file, and writes it anew if that fails. Who has never seen one does not know what it said.
func (b *Brakes) mend() (BrakeState, error) {
	state, err := b.current()
	if err == nil || !b.seen {
		return state, err
	}
	if wrong := b.write(state); wrong != nil {
		return state, errors.Join(err, wrong)
	}
	b.lost, b.renewed = err, b.renewed+1
	return state, nil
}

// brakeBound is how many bytes the file may have.
const brakeBound = 4 << 20

// brakeDocument is the file's form.
type brakeDocument struct {
	versioned

	Counted  map[string]time.Time `json:"counted"`
	Persons  map[string]string    `json:"persons,omitempty"`
	Tripped  *time.Time           `json:"tripped,omitempty"`
	People   []string             `json:"people,omitempty"`
	Released *time.Time           `json:"released,omitempty"`
	Expected []Expected           `json:"expected,omitempty"`
}

const brakeVersion = 1

func readBrake(path string) (state BrakeState, found bool, err error) {
	var d brakeDocument
	if found, err := readDocument(path, brakeBound, brakeVersion, &d); err != nil || !found {
		return BrakeState{}, false, err
	}
	return BrakeState{Counted: d.Counted, Persons: d.Persons, Tripped: moment(d.Tripped), People: d.People, Released: moment(d.Released), Expected: d.Expected}, true, nil
}

func (b *Brakes) write(s BrakeState) error {
	d := brakeDocument{versioned: versioned{brakeVersion}, Counted: s.Counted, Persons: s.Persons, Tripped: stamp(s.Tripped), People: s.People, Released: stamp(s.Released), Expected: s.Expected}
	text, err := json.MarshalIndent(d, "", "  ")
	if err == nil && len(text) >= brakeBound {
		err = fmt.Errorf("%d bytes are more than %d", len(text), brakeBound)
	}
	if err == nil {
		err = statefile.Replace(filepath.Dir(b.path), filepath.Base(b.path), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the state of the brake: %w", err)
	}
	b.last, b.seen = s, true
	return nil
}

// ReasonBrake is the reason of records about the brake.
const ReasonBrake policy.Reason = "brake"

// ErrNotBraked is what Release says where there is nothing to release.
var ErrNotBraked = errors.New("the brake is not on")

// Admit counts a plan that is about to be carried out, by the losses of its user, and refuses it where the brake holds it back: the
// error wraps ErrBraked then. Any error keeps the plan from being carried out.
func (e *Enforcer) Admit(b *Brakes, rules Brake, p Plan, losses []Loss) error {
	lost := slices.DeleteFunc(p.lost(losses), func(l Loss) bool { return l.Settled })
	if len(lost) == 0 {
		return nil
	}
	var refused error
	err := e.changeBrake(b, func(state BrakeState, now time.Time) (next BrakeState, _ []audit.Record, _ error) {
		if next, refused = rules.Admit(state, p.Account.Name, lost, now); !next.On() || state.On() {
			return next, nil, nil
		}
		return next, brakeRecords(b, audit.TripBrake, next, fmt.Sprintf("more than %d people lost a registered key within %v", rules.People, rules.Window)), nil
	})
	if err != nil {
		return fmt.Errorf("%s of %s is not changed: %w", p.Name, p.Account.Name, err)
	}
	return refused
}

// Release lets the removal through that the brake holds back, and gives the state from before. Losses are those that are known;
// who and why are for the trail.
func (e *Enforcer) Release(b *Brakes, losses []Loss, who, why string) (before BrakeState, err error) {
	err = e.changeBrake(b, func(state BrakeState, now time.Time) (BrakeState, []audit.Record, error) {
		if !state.On() {
			return state, nil, ErrNotBraked
		}
		before = state
		return state.Release(losses, now), brakeRecords(b, audit.ReleaseBrake, state, fmt.Sprintf("by %s: %s", who, why)), nil
	})
	return before, err
}

// brakeRecords are one for each of the people who tripped the brake.
func brakeRecords(b *Brakes, action string, state BrakeState, message string) []audit.Record {
	id := rand.Text()
	records := make([]audit.Record, len(state.People))
	for i, user := range state.People {
		records[i] = audit.Record{ID: id, Action: action, User: user, UID: -1, File: b.path, Reason: string(ReasonBrake), Message: message}
	}
	return records
}

// The lock of the file is held for one change; who finds it taken waits that long.
const (
	brakeTries = 100
	brakePause = 20 * time.Millisecond
)

// changeBrake reads, changes and writes the file as one process alone. Records that edit gives are on the trail before, with the
// intent, and after.
func (e *Enforcer) changeBrake(b *Brakes, edit func(BrakeState, time.Time) (BrakeState, []audit.Record, error)) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lock, err := statefile.Lock(b.path + ".lock")
	for tries := 1; err != nil && tries < brakeTries; tries++ {
		time.Sleep(brakePause)
		lock, err = statefile.Lock(b.path + ".lock")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	state, err := b.mend()
	if err != nil {
		return err
	}
	next, records, err := edit(state, e.Now().UTC().Round(0)) // as it will be read back
	if err != nil || next.equal(state) {
		return err
	}
	if len(records) == 0 {
		return b.write(next)
	}
	if err := e.tell(audit.Intent, records); err != nil {
		return fmt.Errorf("the brake is left as it is: %w", err)
	}
	if err := b.write(next); err != nil {
		return errors.Join(err, e.tell(audit.Failure, records))
	}
	return e.tell(audit.Success, records)
}
