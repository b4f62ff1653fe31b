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
type Quarantine struct {
	Dir string
}

// path names the copy of a plan's file; it is empty where there is no content to keep. A user's name has passed
// homes.Account.Check before any plan is made for him, so it is one harmless path element.
func (q Quarantine) path(p Plan, now time.Time, id string) string {
	if len(p.Original) == 0 {
		return ""
	}
	return filepath.Join(q.Dir, p.Account.Name, fmt.Sprintf("%s-%s-%s", now.UTC().Format("20060102T150405.000000Z"), p.Name, id))
}

// keep writes the copy and returns when it is on disk.
func (q Quarantine) keep(path string, p Plan) error {
	if path == "" {
		return nil
	}
	err := statefile.EnsureDir(filepath.Dir(path), 0o700)
	if err == nil {
		err = statefile.Create(filepath.Dir(path), filepath.Base(path), p.Original)
	}
	if err != nil {
		return fmt.Errorf("keep a copy in quarantine: %w", err)
	}
	return nil
}
