package enforcer

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/policy"
)

// A user who has his file changed once a second, with two hundred lines in each of two files, makes 40 GB of records a day
// (measured), and with the disk of the trail full nothing is removed any more from anybody's file. So many lines of one user
// are told of one by one within an hour, those that he is given included, and the rest by number: some hundred MB a day.
const (
	allowedLines = 2000
	allowedIn    = time.Hour
)

// ReasonRecordBudget says that only the copy in quarantine tells which lines they are.
const ReasonRecordBudget policy.Reason = "record-budget"

// Allowance is how much the trail tells of each user's lines. It is safe for concurrent use.
type Allowance struct {
	mu   sync.Mutex
	told map[string]*told
}

type told struct {
	lines int
	since time.Time
}

// over reports whether the hour of what was told is over, or the clock was set back.
func (t *told) over(now time.Time) bool { return now.Sub(t.since) >= allowedIn || now.Before(t.since) }

// NewAllowance is one of which nothing was taken yet.
func NewAllowance() *Allowance { return &Allowance{told: make(map[string]*told)} }

// take reports whether a number of records may tell of the lines of a change.
func (a *Allowance) take(user string, lines int, now time.Time) bool {
	if a == nil || lines == 0 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.told[user]
	if t == nil || t.over(now) {
		maps.DeleteFunc(a.told, func(_ string, t *told) bool { return t.over(now) }) // of others too, who may never come again
		t = &told{since: now}
		a.told[user] = t
	}
	if t.lines >= allowedLines {
		return false
	}
	t.lines += lines
	return true
}

// sumRecord tells of lines by their number alone.
func (p Plan) sumRecord(r audit.Record, action string, lines []Decision) []audit.Record {
	if len(lines) == 0 {
		return nil
	}
	r.Action, r.Reason = action, string(ReasonRecordBudget)
	r.Message = fmt.Sprintf("%d lines; of more than %d of this user within an hour only the copy in quarantine tells one by one", len(lines), allowedLines)
	if action == audit.AddKey {
		r.Message = fmt.Sprintf("%d lines; more than %d of this user within an hour are not told of one by one", len(lines), allowedLines)
	}
	return []audit.Record{p.record(r)}
}
