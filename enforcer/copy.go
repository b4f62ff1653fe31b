package enforcer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/policy"
)

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
	// Version is what stat(2) said of the file, or of the link in its place; zero where nothing could be asked.
	Version homes.Stamp `json:"version,omitzero"`
	// Reason and Detail are why the whole file was replaced, if it was; Lines are those that went or got another form.
	Reason policy.Reason `json:"reason,omitempty"`
	Detail string        `json:"detail,omitempty"`
	Lines  []CopyLine    `json:"lines"` // the first hundred of each kind
	// Content is what was read of the file: all of it, or its first homes.MaxSize bytes; Missing is how many bytes more it had.
	Content []byte `json:"content,omitempty"`
	Missing uint64 `json:"missing_bytes,omitempty"`
}

// CopyLine is a line of a copy that did not stay as it was.
type CopyLine struct {
	Line        int           `json:"line"`
	Action      string        `json:"action"` // audit.RemoveLine or audit.RewriteLine
	Reason      policy.Reason `json:"reason"`
	Detail      string        `json:"detail,omitempty"`
	Fingerprint string        `json:"fingerprint,omitempty"`
}

// newCopy makes the copy of a plan's file.
func newCopy(p Plan, now time.Time, id string) Copy {
	c := Copy{
		ID: id, Time: now.UTC(), User: p.Account.Name, UID: p.Account.UID, Name: p.Name, Path: p.Path(),
		State: p.State.String(), Version: p.Before.Stamp(), Reason: p.Whole.Reason, Detail: p.Whole.Detail,
		Lines: slices.Concat(copyLines(audit.RemoveLine, p.Remove), copyLines(audit.RewriteLine, p.Rewrite)), Content: p.Original,
	}
	slices.SortStableFunc(c.Lines, func(a, b CopyLine) int { return a.Line - b.Line })
	if read := uint64(len(c.Content)); p.State == homes.Oversize && c.Version.Size > read {
		c.Missing = c.Version.Size - read
	}
	return c
}

// copyLines is what a copy tells of lines: of all of them, as a rule.
func copyLines(action string, lines []Decision) []CopyLine {
	list := []CopyLine{}
	for _, d := range lines[:min(len(lines), recordBound)] {
		list = append(list, CopyLine{Line: d.Line.N, Action: action, Reason: d.Reason, Detail: d.told(), Fingerprint: d.Line.Key.Fingerprint()})
	}
	return list
}

// Line is the bytes of one line of the copy, counted from 1.
func (c Copy) Line(n int) ([]byte, bool) {
	lines := authkeys.Parse(c.Content)
	if n < 1 || n > len(lines) {
		return nil, false
	}
	return []byte(lines[n-1].Raw), true
}

// nameTime is how the name of a copy begins: names in their order are copies in theirs.
const nameTime = "20060102T150405.000000Z"

// path names the copy of a plan's file; it is empty where there is no content to keep. A user's name has passed
// homes.Account.Check before any plan is made for him, so it is one harmless path element; of the file's path the last one is
// there for people, as far as it is plain and short.
func (q *Quarantine) path(p Plan, now time.Time, id string) string {
	if len(p.Original) == 0 {
		return ""
	}
	return filepath.Join(q.Dir, p.Account.Name, fmt.Sprintf("%s-%s-%s", now.UTC().Format(nameTime), plainName(filepath.Base(p.Name)), id))
}

// plainName makes a name that a user chose (homes.Door.Glob) fit for a part of another one.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(homes.GlobCharacters, r) {
			return '_'
		}
		return r
	}, name[:min(len(name), 128)])
}

// pathTime is when a copy was made, by its name.
func pathTime(path string) (time.Time, error) {
	name := filepath.Base(path)
	return time.Parse(nameTime, name[:min(len(name), len(nameTime))])
}

// copyBound is above the largest copy on disk: the content in base64, and the facts.
const copyBound = 2 * homes.MaxSize

// readCopy reads one copy.
func readCopy(path string) (c Copy, err error) {
	text, err := statefile.Read(path, copyBound)
	if err != nil {
		return Copy{}, fmt.Errorf("read a copy in quarantine: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return Copy{}, fmt.Errorf("read a copy in quarantine: %s: %w", path, err)
	}
	return c, nil
}

// List returns the copies of a user, or of everybody where no user is named, the oldest first, and without their content: all
// of it may not fit into memory. With an error the list has those that could be read.
func (q *Quarantine) List(user string) ([]Copy, error) {
	if user != "" && (user != filepath.Base(user) || user == "." || user == "..") {
		return nil, fmt.Errorf("%q is not the name of a user", user)
	}
	var list []Copy
	var wrong []error
	for c, err := range q.Since(user, time.Time{}) {
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		c.Content = nil
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b Copy) int { return a.Time.Compare(b.Time) })
	return list, errors.Join(wrong...)
}

// Since yields the copies of a user, of all where the name is empty, that were put there since a time: the oldest of each user first,
// one in memory at a time. One that cannot be read is an error, and the next one follows.
func (q *Quarantine) Since(user string, t time.Time) iter.Seq2[Copy, error] {
	return func(yield func(Copy, error) bool) {
		paths, err := q.paths(user, "")
		if err != nil && !yield(Copy{}, err) {
			return
		}
		for _, path := range paths {
			if at, err := pathTime(path); err == nil && at.Before(t) {
				continue
			}
			c, err := readCopy(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it went in the meantime, by one of the bounds
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

// Find returns the copy of one change.
func (q *Quarantine) Find(id string) (Copy, error) {
	for _, r := range id {
		if (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return Copy{}, fmt.Errorf("%q is not the identifier of a change", id)
		}
	}
	paths, err := q.paths("", "-"+id)
	switch {
	case id != "" && len(paths) == 1:
		return readCopy(paths[0])
	case err != nil: // where not all could be read it may be there
		return Copy{}, fmt.Errorf("find the copy %q: %w", id, err)
	}
	return Copy{}, fmt.Errorf("quarantine holds no copy %q", id)
}

// paths lists the copies of a user, of all where there is none, whose names have an ending; with an error those in folders that could
// be read. (filepath.Glob takes a folder that it cannot read for an empty one.)
func (q *Quarantine) paths(user, ending string) (list []string, err error) {
	users := []string{user}
	if user == "" {
		users, err = statefile.Folders(q.Dir)
	}
	for _, user := range users {
		files, wrong := statefile.Entries(filepath.Join(q.Dir, user))
		err = errors.Join(err, wrong)
		for _, file := range files {
			if strings.HasSuffix(file.Name, ending) {
				list = append(list, filepath.Join(q.Dir, user, file.Name))
			}
		}
	}
	if err != nil {
		err = fmt.Errorf("look into quarantine: %w", err)
	}
	return list, err
}

// Recent are the names of the last n copies of a user, the oldest first. A copy is never changed: the same names hold the same.
func (q *Quarantine) Recent(user string, n int) (names []string, err error) {
	files, err := statefile.Entries(filepath.Join(q.Dir, user))
	if err != nil {
		return nil, err
	}
	for _, file := range files[max(0, len(files)-n):] {
		names = append(names, file.Name)
	}
	return names, nil
}

// Newest returns the last copies of a user, at most n, without their content: the oldest of them first.
func (q *Quarantine) Newest(user string, n int) (list []Copy, err error) {
	names, err := q.Recent(user, n)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		c, wrong := readCopy(filepath.Join(q.Dir, user, name))
		if errors.Is(wrong, fs.ErrNotExist) {
			continue // it had to go meanwhile
		}
		if wrong != nil {
			err = errors.Join(err, wrong)
			continue
		}
		c.Content = nil
		list = append(list, c)
	}
	return list, err
}
