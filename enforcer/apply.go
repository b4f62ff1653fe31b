package enforcer

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// Homes reads and replaces the files of users; homes.Door is the real one.
type Homes interface {
	Read(account homes.Account, file string) (homes.File, error)
	Replace(account homes.Account, file string, before homes.Version, after []byte, others ...string) error
	Seize(account homes.Account, file string, after []byte, others ...string) error
	Renew(account homes.Account, file string, after []byte, anyway bool, others ...string) error
	SameHome(a, b homes.Account) (bool, error)
	Clean(account homes.Account, files ...string)
}

// Trail takes audit records; it returns when all of them are on disk.
type Trail func(...audit.Record) error

// Enforcer carries plans out.
type Enforcer struct {
	Homes      Homes
	Trail      Trail
	Quarantine *Quarantine
	Now        func() time.Time
	// Allowance bounds the records of lines. Nil: it does not.
	Allowance *Allowance
}

// ErrUntold says that a file was changed, and that the trail has the intent alone.
var ErrUntold = errors.New("it is changed, and the trail does not say so")

// Apply carries out a plan that has a change: intent on disk, copy in quarantine, replacement, outcome on disk. The error wraps
// homes.ErrChanged when the file is not the version that the plan was made from, or not what was written: then a new plan is due. It
// wraps ErrUntold when the outcome of a change that was made is not on disk.
func (e *Enforcer) Apply(p Plan) error {
	if !p.Change {
		return nil
	}
	now, id := e.Now(), rand.Text()
	intents := e.records(p, audit.Record{Time: now, ID: id, Outcome: audit.Intent})
	copyPath := e.Quarantine.path(p, now, id)
	if copyPath != "" {
		for i := range intents {
			intents[i].Quarantine = copyPath
		}
	}
	if err := e.Trail(intents...); err != nil {
		return fmt.Errorf("%s of %s is not changed: %w", p.Name, p.Account.Name, err)
	}
	err := e.evidence(p, copyPath, now, id)
	if err == nil {
		err = e.change(p)
	}
	outcome := p.record(audit.Record{Time: e.Now(), ID: id, Action: audit.ReplaceFile, Outcome: audit.Success, Message: p.Summary()})
	if err != nil {
		outcome.Outcome, outcome.Message = audit.Failure, err.Error()
		err = fmt.Errorf("change %s of %s: %w", p.Name, p.Account.Name, err)
	}
	untold := e.Trail(outcome)
	if err == nil && untold != nil {
		return fmt.Errorf("change %s of %s: %w: %w", p.Name, p.Account.Name, ErrUntold, untold)
	}
	return errors.Join(err, untold)
}

// change carries a plan out.
func (e *Enforcer) change(p Plan) error {
	err := e.replace(p)
	if late, found := errors.AsType[*homes.Displaced](err); found {
		return e.displaced(p, late)
	}
	return err
}

// replace is the one place where a file changes.
func (e *Enforcer) replace(p Plan) error {
	switch {
	case p.Renew:
		return e.Homes.Renew(p.Account, p.Name, p.After, p.Seize, p.Others...)
	case p.Seize:
		return e.Homes.Seize(p.Account, p.Name, p.After, p.Others...)
	}
	return e.Homes.Replace(p.Account, p.Name, p.Before, p.After, p.Others...)
}

// Pressing reports that somebody may get in by a file of which nothing could be decided, or which could not be changed.
func (p Plan) Pressing() bool { return p.Unresolved != "" && !p.Harmless }

// Path is where the plan's file lies.
func (p Plan) Path() string {
	if filepath.IsAbs(p.Name) {
		return p.Name
	}
	return filepath.Join(p.Account.Home, p.Name)
}

// record completes a record of the whole file.
func (p Plan) record(r audit.Record) audit.Record {
	r.User, r.UID = p.Account.Name, p.Account.UID
	r.File = p.Path()
	if r.Reason == "" {
		r.Reason = string(p.Whole.Reason)
	}
	return r
}

// recordBound is how many lines of one change the trail and the copy tell of one by one. A file of homes.MaxSize holds a
// hundred thousand, which a user could write once a second.
const recordBound = 100

// records lists what the plan is going to do: the file first, then line by line, and, where there are too many lines, a record
// for the rest of each reason. Of the lines of who is told of without end there is one record for each action: he can have keys
// of his own added again and again as well.
func (e *Enforcer) records(p Plan, with audit.Record) []audit.Record {
	whole := with
	whole.Action, whole.Message = audit.ReplaceFile, p.Summary()
	list := []audit.Record{p.record(whole)}
	added := p.added()
	tell := p.lineRecords
	if n := min(len(p.Remove), recordBound) + min(len(p.Rewrite), recordBound) + min(len(added), recordBound); !e.Allowance.take(p.Account.Name, n, with.Time) {
		tell = p.sumRecord
	}
	list = append(list, tell(with, audit.RemoveLine, p.Remove)...)
	list = append(list, tell(with, audit.RewriteLine, p.Rewrite)...)
	return append(list, tell(with, audit.AddKey, added)...)
}

// added are the lines that the file did not have.
func (p Plan) added() []Decision {
	var list []Decision
	for _, g := range p.Add {
		list = append(list, Decision{g.Line(), policy.Verdict{Reason: policy.ReasonGranted}})
	}
	for _, line := range p.Back {
		line.N, line.Raw = 0, ""
		list = append(list, Decision{line, policy.Verdict{Reason: ReasonRestored}})
	}
	return list
}

// lineRecords tells of lines. Those that have a key come first, so that junk does not keep them out.
func (p Plan) lineRecords(with audit.Record, action string, lines []Decision) []audit.Record {
	var list []audit.Record
	more := make(map[policy.Reason]int)
	for _, keyed := range []bool{true, false} {
		for _, d := range lines {
			switch {
			case (d.Line.Kind == authkeys.Entry) != keyed:
			case len(list) >= recordBound:
				more[d.Reason]++
			default:
				list = append(list, p.record(lineRecord(with, action, d)))
			}
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(more)) {
		r := with
		r.Action, r.Reason, r.Message = action, string(reason), fmt.Sprintf("%d more lines like this", more[reason])
		list = append(list, p.record(r))
	}
	return list
}

func lineRecord(r audit.Record, action string, d Decision) audit.Record {
	r.Action, r.Reason, r.Message = action, string(d.Reason), d.told()
	r.Line, r.Key, r.Comment, r.Raw = d.Line.N, d.Line.Key, d.Line.Comment, d.Line.Raw
	return r
}

// told is the sentence for the trail and for lists of copies.
func (d Decision) told() string {
	if d.Line.Kind == authkeys.Malformed {
		return "no plain key line" // the verdict quotes the line, which may hold a secret that was pasted
	}
	return d.Detail
}

// Summary says in one line of plain text what the plan does to its file.
func (p Plan) Summary() string {
	switch {
	case p.Unresolved != "":
		return "not decided: " + p.Unresolved
	case !p.Change:
		return "nothing to do"
	}
	text := fmt.Sprintf("%d lines removed, %d rewritten, %d added, %d kept", len(p.Remove), len(p.Rewrite), len(p.Add)+len(p.Back), len(p.Keep))
	if p.Noted {
		text += "; its user is told at the top"
	}
	if p.Whole.Reason != "" {
		text += fmt.Sprintf("; %s: %s", p.Whole.Reason, p.Whole.Detail)
	}
	return text
}
