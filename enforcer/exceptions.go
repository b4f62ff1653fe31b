package enforcer

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/policy"
)

// Exceptions is the file that holds the policy's exceptions, written by this program for root alone. It is safe for concurrent
// use.
type Exceptions struct {
	lastGood[[]policy.Exception]
}

// OpenExceptions reads the file at path. One that is not there holds no exception; one that cannot be read is an error, since
// with the exceptions unknown neither a file that is changed nor one that is left alone would be right.
func OpenExceptions(path string) (*Exceptions, error) {
	x := &Exceptions{lastGood[[]policy.Exception]{path: path, what: "the exceptions", read: readExceptions}}
	if _, err := x.Current(); err != nil {
		return nil, err
	}
	return x, nil
}

// exceptionsBound is how many bytes the file may have: some thousand exceptions.
const exceptionsBound = 4 << 20

// exceptionsDocument is the file's form.
type exceptionsDocument struct {
	versioned

	Exceptions []exceptionEntry `json:"exceptions"`
}

type exceptionEntry struct {
	ID     string    `json:"id"`
	User   string    `json:"user"`
	Line   string    `json:"line"` // options, key and comment, as in a key file
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Copy   string    `json:"copy"`
}

const exceptionsVersion = 1

// readExceptions reads all of the file or nothing.
func readExceptions(path string) (list []policy.Exception, found bool, err error) {
	var d exceptionsDocument
	if found, err := readDocument(path, exceptionsBound, exceptionsVersion, &d); err != nil || !found {
		return nil, false, err
	}
	for i, entry := range d.Exceptions {
		e, err := entry.exception()
		if err != nil {
			return nil, false, fmt.Errorf("%s: exception %d: %w", path, i+1, err)
		}
		list = append(list, e)
	}
	return list, true, nil
}

func (entry exceptionEntry) exception() (policy.Exception, error) {
	line, err := authkeys.ParseValue([]byte(entry.Line))
	if err != nil {
		return policy.Exception{}, err
	}
	e := policy.Exception{
		ID: entry.ID, User: entry.User, Key: line.Key, Options: line.Options, Comment: line.Comment,
		Owner: entry.Owner, Reason: entry.Reason, Since: entry.Since, Until: entry.Until, Copy: entry.Copy,
	}
	return e, e.Check()
}

// write makes the file one of these exceptions.
func (x *Exceptions) write(list []policy.Exception) error {
	d := exceptionsDocument{versioned: versioned{exceptionsVersion}, Exceptions: []exceptionEntry{}}
	for _, e := range list {
		line := authkeys.Line{Kind: authkeys.Entry, Key: e.Key, Options: e.Options, Comment: e.Comment}
		d.Exceptions = append(d.Exceptions, exceptionEntry{
			ID: e.ID, User: e.User, Line: strings.TrimSuffix(string(line.AppendTo(nil)), "\n"),
			Owner: e.Owner, Reason: e.Reason, Since: e.Since, Until: e.Until, Copy: e.Copy,
		})
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err == nil && len(text) >= exceptionsBound {
		err = fmt.Errorf("%s would have more than %d bytes", x.path, exceptionsBound)
	}
	if err != nil {
		return err
	}
	return statefile.Replace(filepath.Dir(x.path), filepath.Base(x.path), append(text, '\n'))
}

// The reasons of records about exceptions, beside those for which a key was refused.
const (
	// ReasonRevoked: an administrator ended an exception.
	ReasonRevoked policy.Reason = "revoked"
	// ReasonReplaced: a newer exception for the same key of the same user took its place.
	ReasonReplaced policy.Reason = "replaced"
)

// Excepted is an exception that is to be made, and why the key needs one.
type Excepted struct {
	policy.Exception
	UID     int
	Refused policy.Reason
}

// Except makes exceptions, on disk and in the trail. One that is in force for the same key of the same user ends.
func (e *Enforcer) Except(x *Exceptions, made []Excepted) error {
	return e.changeExceptions(x, func(list []policy.Exception, now time.Time) ([]policy.Exception, []audit.Record, error) {
		var records []audit.Record
		for _, m := range made {
			for i, old := range list {
				if old.User == m.User && old.Key == m.Key && old.Until.After(now) {
					list[i].Until = end(old, now)
					records = append(records, exceptionRecord(x, audit.EndException, ReasonReplaced, m.UID, list[i]))
				}
			}
			list = append(list, m.Exception)
			records = append(records, exceptionRecord(x, audit.AddException, m.Refused, m.UID, m.Exception))
		}
		return list, records, nil
	})
}

// Revoke ends an exception that is in force.
func (e *Enforcer) Revoke(x *Exceptions, id string) (revoked policy.Exception, err error) {
	err = e.changeExceptions(x, func(list []policy.Exception, now time.Time) ([]policy.Exception, []audit.Record, error) {
		i := slices.IndexFunc(list, func(old policy.Exception) bool { return old.ID == id && old.Until.After(now) })
		if i < 0 {
			return nil, nil, fmt.Errorf("no exception %q is in force", id)
		}
		list[i].Until = end(list[i], now)
		revoked = list[i]
		return list, []audit.Record{exceptionRecord(x, audit.EndException, ReasonRevoked, -1, revoked)}, nil
	})
	return revoked, err
}

// end is now, but not before the exception began, which another clock may have said.
func end(e policy.Exception, now time.Time) time.Time {
	if now.Before(e.Since) {
		return e.Since
	}
	return now
}

// changeExceptions reads, changes and writes the file as one process alone: the trail has the intent before, and the outcome
// after. Exceptions that ended long ago leave the file; the trail has them.
func (e *Enforcer) changeExceptions(
	x *Exceptions, edit func([]policy.Exception, time.Time) ([]policy.Exception, []audit.Record, error),
) (err error) {
	lock, err := statefile.Lock(x.path + ".lock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	current, err := x.Current()
	if err != nil {
		return err
	}
	now := e.Now().UTC().Truncate(time.Second)
	list := slices.DeleteFunc(slices.Clone(current), func(old policy.Exception) bool { return !now.Before(old.Until.Add(policy.ExceptionShown)) })
	list, records, err := edit(list, now)
	if err != nil {
		return err
	}
	if err := e.tell(audit.Intent, records); err != nil {
		return fmt.Errorf("the exceptions are not changed: %w", err)
	}
	if err := x.write(list); err != nil {
		return errors.Join(fmt.Errorf("change the exceptions: %w", err), e.tell(audit.Failure, records))
	}
	return e.tell(audit.Success, records)
}

func exceptionRecord(x *Exceptions, action string, reason policy.Reason, uid int, e policy.Exception) audit.Record {
	return audit.Record{
		ID: e.ID, Action: action, User: e.User, UID: uid, File: x.path, Reason: string(reason), Key: e.Key, Comment: e.Comment,
		Message: fmt.Sprintf("exception until %s, owner %s: %s", e.Until.Format(time.RFC3339), e.Owner, e.Reason),
	}
}
