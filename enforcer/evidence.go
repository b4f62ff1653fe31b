package enforcer

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/policy"
)

// ErrNoCopy says that there is no copy in quarantine, and hence no change.
var ErrNoCopy = errors.New("keep a copy in quarantine")

// evidence keeps the copy of a plan's file. If there is no room for it, and the centre wants removal all the same, the trail says
// that there is none; any other error stops the change.
func (e *Enforcer) evidence(p Plan, path string, now time.Time, id string) error {
	if path == "" {
		return nil
	}
	err := e.keep(path, newCopy(p, now, id))
	if err == nil || !e.Quarantine.RemoveIfFull || !errors.Is(err, ErrQuarantineFull) {
		return err
	}
	return e.Trail(p.record(audit.Record{
		Time: e.Now(), ID: id, Action: audit.KeepCopy, Outcome: audit.Failure, Reason: string(ReasonQuarantineFull),
		Quarantine: path, Message: "no copy is kept: " + err.Error(),
	}))
}

// displaced records and keeps what went aside that no look had seen, after the fact, since nobody knew of it before; the error is that of
// the change itself too.
func (e *Enforcer) displaced(p Plan, late *homes.Displaced) error {
	now, id := e.Now(), rand.Text()
	seen := Plan{
		Account: p.Account, Name: p.Name, State: homes.Regular, Before: late.Version, Original: late.Data,
		Whole: policy.Verdict{Reason: ReasonUnsteady, Detail: "put in its place after the last look; aside as " + late.Name},
	}
	if late.Version.Stamp().Size > uint64(len(late.Data)) {
		seen.State = homes.Oversize
	}
	path := e.Quarantine.path(seen, now, id)
	err := e.Trail(seen.record(audit.Record{
		Time: now, ID: id, Action: audit.ReplaceFile, Outcome: audit.Success, Quarantine: path, Message: seen.Whole.Detail,
	}))
	if err == nil {
		err = e.evidence(seen, path, now, id)
	}
	return errors.Join(late.Err, err)
}

// dropBatch is how many copies go between two syncs of the trail.
const dropBatch = 256

// drop removes copies: on the trail before they go, and after. One that cannot be removed is no error but the quarantine's to tell; all
// reports whether there was none.
func (e *Enforcer) drop(list []victim) (all bool, err error) {
	all = true
	for batch := range slices.Chunk(list, dropBatch) {
		records := make([]audit.Record, len(batch))
		for i, v := range batch {
			records[i] = audit.Record{
				ID: rand.Text(), Action: audit.DropCopy, User: filepath.Base(filepath.Dir(v.path)), UID: -1, Reason: string(v.reason), Quarantine: v.path,
			}
			if c, err := readCopy(v.path); err == nil { // else its name has to do
				records[i].UID, records[i].File, records[i].Message = c.UID, c.Path, "a copy of "+c.Time.Format(time.RFC3339)
			}
		}
		if err := e.tell(audit.Intent, records); err != nil {
			return false, fmt.Errorf("drop old copies from quarantine: %w", err)
		}
		for i, v := range batch {
			records[i].Outcome = audit.Success
			if err := statefile.Remove(v.path); err != nil {
				e.Quarantine.keeps(v.path, err)
				all, records[i].Outcome, records[i].Message = false, audit.Failure, err.Error()
			}
		}
		if err := e.tell("", records); err != nil {
			return false, err
		}
	}
	return all, nil
}

// tell writes records, with one outcome or their own.
func (e *Enforcer) tell(outcome string, records []audit.Record) error {
	for i := range records {
		records[i].Time, records[i].Outcome = e.Now(), cmp.Or(outcome, records[i].Outcome)
	}
	return e.Trail(records...)
}

// TrimQuarantine counts the quarantine and drops what has to go, above all the copies that are too old.
func (e *Enforcer) TrimQuarantine() error {
	list, wrong := e.Quarantine.trim(e.Now())
	all, err := e.drop(list)
	e.Quarantine.gone(list, all)
	return errors.Join(wrong, err, e.Quarantine.Stuck())
}

// keep writes the copy of a plan's file, and drops older ones that have to go for it: as far as it can, for the new one is on disk. Only
// what the trail does not take stops the change.
func (e *Enforcer) keep(path string, c Copy) error {
	if err := e.Quarantine.store(path, c); err != nil {
		return fmt.Errorf("%w: %w", ErrNoCopy, err)
	}
	list, err := e.Quarantine.room(c.User, path)
	if err != nil {
		e.Quarantine.keeps("", err)
	}
	all, err := e.drop(list)
	e.Quarantine.gone(list, all)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoCopy, err)
	}
	return nil
}
