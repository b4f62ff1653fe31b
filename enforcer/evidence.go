package enforcer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

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

// dropBatch is how many copies go between two syncs of the trail.
const dropBatch = 256

// drop removes copies: on the trail before they go, and after.
func (e *Enforcer) drop(list []victim) error {
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
		err := e.tell(audit.Intent, records)
		for _, v := range batch {
			if err == nil {
				err = statefile.Remove(v.path)
			}
		}
		if err != nil {
			return fmt.Errorf("drop old copies from quarantine: %w", err)
		}
		if err := e.tell(audit.Success, records); err != nil {
			return err
		}
	}
	return nil
}

// tell writes records with one outcome.
func (e *Enforcer) tell(outcome string, records []audit.Record) error {
	for i := range records {
		records[i].Time, records[i].Outcome = e.Now(), outcome
	}
	return e.Trail(records...)
}

// TrimQuarantine counts the quarantine and drops what has to go, above all the copies that are too old.
func (e *Enforcer) TrimQuarantine() error {
	list, err := e.Quarantine.trim(e.Now())
	if err == nil {
		err = e.drop(list)
	}
	e.Quarantine.gone(list, err)
	return err
}

// keep writes the copy of a plan's file, and drops older ones that have to go for it.
func (e *Enforcer) keep(path string, c Copy) error {
	list, err := e.Quarantine.store(path, c)
	if err == nil {
		err = e.drop(list)
	}
	e.Quarantine.gone(list, err)
	if err != nil {
		return fmt.Errorf("keep a copy in quarantine: %w", err)
	}
	return nil
}
