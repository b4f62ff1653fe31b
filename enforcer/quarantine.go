package enforcer

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

// Quarantine is the folder in which the old content of every changed file is kept, for root alone: one folder for each
// user, one file for each change, named by time, file and change. A copy holds the bytes as they were read, up to
// homes.MaxSize of them.
//
// Each user has a budget, or one of them could fill the disk and so stop the daemon for everybody, who writes in a loop what is
// to be removed: when his copies have more bytes than that, the oldest go, and the trail says so.
type Quarantine struct {
	Dir string
	// Budget is how many bytes the copies of one user may have.
	Budget int64
}

// DefaultBudget holds some thousand usual files, or 64 of the largest.
const DefaultBudget = 16 << 20

// path names the copy of a plan's file; it is empty where there is no content to keep. A user's name has passed
// homes.Account.Check before any plan is made for him, so it is one harmless path element.
func (q Quarantine) path(p Plan, now time.Time, id string) string {
	if len(p.Original) == 0 {
		return ""
	}
	return filepath.Join(q.Dir, p.Account.Name, fmt.Sprintf("%s-%s-%s", now.UTC().Format("20060102T150405.000000Z"), p.Name, id))
}

// keep writes the copy and returns, when it is on disk, the names of older copies that had to go for it.
func (q Quarantine) keep(path string, p Plan) (dropped []string, err error) {
	if path == "" {
		return nil, nil
	}
	err = statefile.EnsureDir(filepath.Dir(path), 0o700)
	if err == nil {
		err = statefile.Create(filepath.Dir(path), filepath.Base(path), p.Original)
	}
	if err == nil {
		dropped, err = statefile.Trim(filepath.Dir(path), q.Budget)
	}
	if err != nil {
		return dropped, fmt.Errorf("keep a copy in quarantine: %w", err)
	}
	return dropped, nil
}
