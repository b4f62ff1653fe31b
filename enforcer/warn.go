package enforcer

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
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

	mu     sync.Mutex
	known  map[string]warned // by the path of the file
	tidied time.Time
}

// warned is what was told of a file.
type warned struct {
	findings map[finding]bool
	looked   time.Time
}

// knownFor is how long the findings of a file are known that is not looked at, as of an account that has left: one that is kept is
// looked at once an hour at least (homes.sweep).
const knownFor = 2 * time.Hour

// NewWarner is one that has told of nothing yet.
func NewWarner(trail Trail, now func() time.Time) *Warner {
	return &Warner{Trail: trail, Now: now, Allowance: NewAllowance(), known: make(map[string]warned)}
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
func (w *Warner) swap(p Plan, now map[finding]bool) map[finding]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, at := w.known[p.Path()].findings, w.Now()
	if w.known[p.Path()] = (warned{now, at}); len(now) == 0 {
		delete(w.known, p.Path())
	}
	if at.Sub(w.tidied) > knownFor {
		maps.DeleteFunc(w.known, func(_ string, k warned) bool { return at.Sub(k.looked) > knownFor })
		w.tidied = at
	}
	return before
}
