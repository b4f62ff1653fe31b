package enforcer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

// clockName is the file in the quarantine that says how its clock went.
const clockName = "clock.json"

// steadyFor is how long a clock must have gone on without a leap before copies go by their age, or MaxAge where that is less. A pass once
// a month is no leap.
const steadyFor = 40 * 24 * time.Hour

// clock is what the trims of a quarantine have seen of the time.
type clock struct {
	Since time.Time `json:"since"` // without a leap
	Last  time.Time `json:"last"`
}

// steady reports whether copies may go by their age, and notes the time. A clock that is years ahead once makes all of them old: so
// one that has gone back, or forth by more than steadyFor between two trims, is believed when it has gone on for as long. Where the
// note is gone or damaged, that begins anew: nothing goes too early for that.
func (q *Quarantine) steady(now time.Time) (bool, error) {
	if q.MaxAge <= 0 {
		return false, nil
	}
	path, most := filepath.Join(q.Dir, clockName), min(q.MaxAge, steadyFor)
	var c clock
	text, err := statefile.Read(path, 4096)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if gone := now.Sub(c.Last); err != nil || gone < 0 || gone > most {
		c.Since = now
	}
	c.Last = now
	if text, err = json.Marshal(c); err == nil {
		err = statefile.Replace(q.Dir, clockName, append(text, '\n'))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // there is no copy yet
	}
	if err != nil {
		return false, fmt.Errorf("note the time of the quarantine: %w", err)
	}
	return now.Sub(c.Since) >= most, nil
}
