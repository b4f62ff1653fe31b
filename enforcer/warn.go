package enforcer

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
)

// Warner tells the trail what would be changed in files that are only looked at: each finding once, as long as it stays in its
// file. It is safe for concurrent use, by one at a time for each account.
type Warner struct {
	Trail Trail
	Now   func() time.Time
	// Allowance bounds the records of each user. What goes beyond it is told of later, if it is still there.
	Allowance *Allowance

	mu    sync.Mutex
	known map[string]map[finding]bool // by the path of the file
}

// NewWarner is one that has told of nothing yet.
func NewWarner(trail Trail, now func() time.Time) *Warner {
	return &Warner{Trail: trail, Now: now, Allowance: NewAllowance(), known: make(map[string]map[finding]bool)}
}

// finding tells the findings of one file apart. It is a digest, cut short: a file may have thousands.
type finding [16]byte

// Warn writes a record of every finding of a plan that it did not tell of before. When it returns, they are on disk.
func (w *Warner) Warn(p Plan) error {
	now, with := make(map[finding]bool), audit.Record{Time: w.Now(), ID: rand.Text(), Outcome: audit.Success}
	before := w.swap(p, nil)
	isNew := func(reason, raw string) bool {
		sum := sha256.Sum256([]byte(reason + "\x00" + raw))
		f := finding(sum[:len(finding{})])
		told := now[f] || before[f]
		now[f] = true
		return !told
	}
	var records []audit.Record
	if p.Change {
		if reason := string(p.Whole.Reason); reason != "" && isNew(reason, "") {
			whole := with
			whole.Action, whole.Message = audit.WarnFile, p.Summary()
			records = append(records, p.record(whole))
		}
		lines := slices.DeleteFunc(slices.Concat(p.Remove, p.Rewrite), func(d Decision) bool { return !isNew(string(d.Reason), d.Line.Raw) })
		records = append(records, p.lineRecords(with, audit.WarnLine, lines)...)
	}
	if !w.Allowance.take(p.Account.Name, len(records), with.Time) {
		now = before
	} else if err := w.Trail(records...); err != nil {
		w.swap(p, before)
		return err
	}
	w.swap(p, now)
	return nil
}

// swap puts what is known of a plan's file in place of what was.
func (w *Warner) swap(p Plan, now map[finding]bool) (before map[finding]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before = w.known[p.Path()]
	if w.known[p.Path()] = now; len(now) == 0 {
		delete(w.known, p.Path())
	}
	return before
}
