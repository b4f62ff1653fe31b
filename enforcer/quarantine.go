package enforcer

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/policy"
)

// Quarantine is the folder in which the old content of every changed file is kept, for root alone: one folder for each
// user, one file for each change, named by time, file and change, which holds a [Copy] as JSON.
//
// Each user has a budget, or one of them could fill the disk and so stop the daemon for everybody, who writes in a loop what is
// to be removed: when his copies have more bytes than that, the oldest go, and the trail says so.
type Quarantine struct {
	Dir string
	// Budget is how many bytes the copies of one user may have on disk.
	Budget int64
}

// DefaultBudget holds some thousand usual files, or 48 of the largest.
const DefaultBudget = 16 << 20

// Copy is a file as it was before a change, and why it was changed.
type Copy struct {
	// ID is that of the change in the audit trail (event.id).
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	User string    `json:"user"`
	UID  int       `json:"uid"`
	// Name is the file's path as in the plan, Path its whole path at that time.
	Name string `json:"name"`
	Path string `json:"path"`
	// State says how the file was found, such as "regular" or "oversize".
	State string `json:"state"`
	// Reason is why the whole file was replaced, if it was; Lines are those that went or got another form.
	Reason policy.Reason `json:"reason,omitempty"`
	Lines  []CopyLine    `json:"lines"` // the first hundred of each kind
	// Content is what was read of the file: all of it, or its first homes.MaxSize bytes.
	Content []byte `json:"content"`
}

// CopyLine is a line of a copy that did not stay as it was.
type CopyLine struct {
	Line        int           `json:"line"`
	Reason      policy.Reason `json:"reason"`
	Fingerprint string        `json:"fingerprint,omitempty"`
}

// newCopy makes the copy of a plan's file.
func newCopy(p Plan, now time.Time, id string) Copy {
	c := Copy{
		ID: id, Time: now.UTC(), User: p.Account.Name, UID: p.Account.UID, Name: p.Name, Path: p.Path(),
		State: p.State.String(), Reason: p.Whole.Reason, Lines: []CopyLine{}, Content: p.Original,
	}
	for _, d := range slices.Concat(head(p.Remove), head(p.Rewrite)) {
		line := CopyLine{Line: d.Line.N, Reason: d.Reason}
		if !d.Line.Key.IsZero() {
			line.Fingerprint = d.Line.Key.Fingerprint()
		}
		c.Lines = append(c.Lines, line)
	}
	slices.SortStableFunc(c.Lines, func(a, b CopyLine) int { return a.Line - b.Line })
	return c
}

// head is the lines that a copy tells of: all of them, as a rule.
func head(lines []Decision) []Decision { return lines[:min(len(lines), recordBound)] }

// path names the copy of a plan's file; it is empty where there is no content to keep. A user's name has passed
// homes.Account.Check before any plan is made for him, so it is one harmless path element; of the file's path the last one is
// there for people.
func (q Quarantine) path(p Plan, now time.Time, id string) string {
	if len(p.Original) == 0 {
		return ""
	}
	return filepath.Join(q.Dir, p.Account.Name, fmt.Sprintf("%s-%s-%s", now.UTC().Format("20060102T150405.000000Z"), filepath.Base(p.Name), id))
}

// keep writes the copy and returns, when it is on disk, the names of older copies that had to go for it.
func (q Quarantine) keep(path string, c Copy) (dropped []string, err error) {
	if path == "" {
		return nil, nil
	}
	text, err := json.Marshal(c)
	if err == nil {
		err = statefile.EnsureDir(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = statefile.Create(filepath.Dir(path), filepath.Base(path), append(text, '\n'))
	}
	if err == nil {
		dropped, err = statefile.Trim(filepath.Dir(path), q.Budget)
	}
	if err != nil {
		return dropped, fmt.Errorf("keep a copy in quarantine: %w", err)
	}
	return dropped, nil
}

// copyBound is above the largest copy on disk: the content in base64, and the facts.
const copyBound = 2 * homes.MaxSize

// List returns the copies of a user, or of everybody where no user is named, the oldest first.
func (q Quarantine) List(user string) ([]Copy, error) {
	pattern := "*"
	if user != "" {
		if user != filepath.Base(user) || user == "." || user == ".." {
			return nil, fmt.Errorf("%q is not the name of a user", user)
		}
		pattern = user
	}
	return q.read(filepath.Join(pattern, "*"))
}

// Find returns the copy of one change.
func (q Quarantine) Find(id string) (Copy, error) {
	for _, r := range id {
		if (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return Copy{}, fmt.Errorf("%q is not the identifier of a change", id)
		}
	}
	list, err := q.read(filepath.Join("*", "*-"+id))
	if err != nil {
		return Copy{}, err
	}
	if id == "" || len(list) != 1 {
		return Copy{}, fmt.Errorf("quarantine holds no copy %q", id)
	}
	return list[0], nil
}

// read reads the copies whose names match. No name in the folder holds a character that filepath.Glob expands.
func (q Quarantine) read(pattern string) ([]Copy, error) {
	paths, err := filepath.Glob(filepath.Join(q.Dir, pattern))
	if err != nil {
		return nil, fmt.Errorf("look into quarantine: %w", err)
	}
	list := make([]Copy, 0, len(paths))
	for _, path := range paths {
		if filepath.Base(path)[0] == '.' {
			continue // cut off by a crash; its file was not changed yet
		}
		text, err := statefile.Read(path, copyBound)
		if err != nil {
			return nil, fmt.Errorf("read a copy in quarantine: %w", err)
		}
		var c Copy
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("read a copy in quarantine: %s: %w", path, err)
		}
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b Copy) int { return a.Time.Compare(b.Time) })
	return list, nil
}
