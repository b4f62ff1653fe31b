package enforcer

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
)

// The form of a note. Each of its lines begins with noteMark, by which alone it is known again: whatever its user has put in between, moved or
// deleted, no rest of an old one stays beside a new one. sshd passes over lines that begin with "#" (auth_check_authkeys_file in OpenSSH's auth2-pubkeyfile.c).
const (
	noteMark = "# keyreeve: "
	noteHead = noteMark + "removed on "
	noteDay  = " (UTC):"
	noteEnd  = "You may delete these lines. They go by themselves in time."
	// noteWidth is how many characters stand behind the mark, so that a line has 76; noteEntries how many losses are named.
	noteWidth   = 76 - len(noteMark)
	noteEntries = 3
)

// ReasonNote says that a line of an earlier note is out of date.
const ReasonNote policy.Reason = "note"

// NoteRules say what users are told at the top of their files. The zero value has notes left as the comments that they are.
type NoteRules struct {
	// Write asks for a note when something is removed.
	Write bool
	// Text are lines of the centre's, such as where a key is registered: printable, and narrow enough (config.Notify).
	Text []string
	// Keep is how long a note stays, in whole days.
	Keep time.Duration
}

// Note is what a plan may put at the top of a file: what was removed, on which day, and why. Nothing in it tells one node from another, and no
// plan changes one because of the day but to take it away: so of two nodes that share a home the second finds nothing to do. It is made
// anew only when something is removed again; until then it is its user's to edit or delete.
type Note struct {
	NoteRules

	// Day is today, in UTC; empty: there are no notes. Oldest is the day of the oldest note that stays.
	Day, Oldest string
}

// At are the rules on the day of a moment.
func (r NoteRules) At(now time.Time) Note {
	if r.Keep <= 0 {
		return Note{}
	}
	now = now.UTC()
	return Note{NoteRules: r, Day: now.Format(time.DateOnly), Oldest: now.Add(-r.Keep).Format(time.DateOnly)}
}

// Gone are the losses that the user of the plan's file should know of: the whole file, if it is replaced whatever its lines, as a decision without a
// line, and the removed lines that have a key or may have been meant to, those with a key first. A line that stands in the file once more is none.
func (p Plan) Gone() []Decision {
	var list []Decision
	if r := p.Whole.Reason; r != "" && r != ReasonUntidy && r != ReasonRestored {
		list = append(list, Decision{Verdict: policy.Verdict{Reason: p.Whole.Reason, Detail: "the whole file was replaced"}})
	}
	for _, kind := range []authkeys.Kind{authkeys.Entry, authkeys.Malformed} {
		for _, d := range p.Remove {
			if d.Line.Kind == kind && d.Reason != ReasonDuplicate {
				d.Detail = d.told()
				list = append(list, d)
			}
		}
	}
	return list
}

// note puts a note at the top of the file from which something goes, or takes one away that is out of date. Files outside of homes have none: nobody
// looks for it there, and what root has in a directory for all is changed in place, where nothing may move.
func (p *Plan) note(in Input) {
	if in.Note.Day == "" || filepath.IsAbs(in.Name) || p.Unresolved != "" {
		return
	}
	gone := p.Gone()
	switch {
	case p.Change && len(gone) > 0:
		p.dropNote()
		if text := in.Note.about(gone); in.Note.Write && p.fits(in.File, text) {
			p.After, p.Noted = append(text, p.After...), true
		}
	case len(p.Back) > 0, in.File.State == homes.Regular && in.File.Barred == homes.Free && stale(p.After, in.Note.Oldest):
		p.dropNote()
	}
	p.Change = p.Change || in.File.State == homes.Regular && !bytes.Equal(p.After, in.File.Data)
}

// fits reports whether a note makes no file that would be read as another one, or that needs more room than it has: on a full disk it is overwritten where it
// is, and must not go aside for a comment's sake.
func (p *Plan) fits(file homes.File, text []byte) bool {
	size := len(text) + len(p.After)
	room := file.State != homes.Regular || uint64(size) <= max(file.Room, uint64(len(file.Data)))
	return room && size <= homes.MaxSize && bytes.Count(text, []byte("\n"))+bytes.Count(p.After, []byte("\n")) <= maxLines
}

// dropNote takes the lines of notes out of the planned file.
func (p *Plan) dropNote() {
	var rest []byte
	for line := range bytes.Lines(p.After) {
		if !isNote(line) {
			rest = append(rest, line...)
		}
	}
	p.After = rest
	own := func(d Decision) bool { return isNote([]byte(d.Line.Raw)) }
	for _, d := range p.Keep {
		if own(d) {
			p.Rewrite = append(p.Rewrite, d)
		}
	}
	p.Keep = slices.DeleteFunc(p.Keep, own)
	for i, d := range p.Rewrite {
		if own(d) {
			p.Rewrite[i].Verdict = policy.Verdict{Reason: ReasonNote, Detail: "keyreeve's own note is out of date"}
		}
	}
	slices.SortStableFunc(p.Rewrite, func(a, b Decision) int { return cmp.Compare(a.Line.N, b.Line.N) })
}

func isNote(line []byte) bool { return bytes.HasPrefix(line, []byte(noteMark)) }

// stale reports whether the newest note in a text is older than a day. One whose day its user took away is a comment of his.
func stale(text []byte, oldest string) bool {
	newest := ""
	for line := range strings.Lines(string(text)) {
		head, found := strings.CutPrefix(line, noteHead)
		day, whole := strings.CutSuffix(head, noteDay+"\n")
		if _, err := time.Parse(time.DateOnly, day); found && whole && err == nil {
			newest = max(newest, day)
		}
	}
	return newest != "" && newest < oldest
}

// about is the note of what has gone.
func (n Note) about(gone []Decision) []byte {
	text := []byte(noteHead + n.Day + noteDay + "\n")
	say := func(line string) {
		if line = plain.Text(line); len(line) > noteWidth {
			line = line[:noteWidth-3] + "..."
		}
		text = append(append(append(text, noteMark...), line...), '\n')
	}
	for _, d := range gone[:min(len(gone), noteEntries)] {
		why := fmt.Sprintf("- %s: %s", d.Reason, d.Detail)
		if at := strings.LastIndexByte(why[:min(len(why), noteWidth)], ' '); len(why) > noteWidth && at > 0 {
			say(why[:at])
			why = " " + why[at:]
		}
		say(why)
		if !d.Line.Key.IsZero() {
			say("  " + d.Line.Key.Fingerprint())
			say("  " + d.Line.Key.Type() + " " + d.Line.Comment)
		}
	}
	if more := len(gone) - noteEntries; more > 0 {
		say(fmt.Sprintf("- and %d more", more))
	}
	for _, line := range n.Text {
		text = append(append(append(text, noteMark...), line...), '\n') // as the centre wrote it, in its own language
	}
	say(noteEnd)
	return text
}
