package enforcer

import (
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
)

// A key that somebody registers and puts into his file at once is removed if the registry was read last before he did; so is
// every registered key that a replica of the directory does not have yet. Such a key comes back when a reading shows it,
// within recallFor of its removal, since nobody else would put it back.
const (
	recallFor   = time.Hour
	recallLines = 16 // of one user
)

// recalled is a line that was removed from a file.
type recalled struct {
	name string // of its file, as in the plan
	line authkeys.Line
	at   time.Time
}

// old reports whether the line is too long gone to come back.
func (r recalled) old() bool { return time.Since(r.at) > recallFor }

// remember keeps the key lines that a look removed, and those that it could not bring back.
func (l *loop) remember(f finished) {
	if f.result.Err != nil {
		for name, lines := range f.bring {
			for _, line := range lines {
				l.recall[f.user] = append(l.recall[f.user], recalled{name: name, line: line, at: time.Now()})
			}
		}
	}
	for _, p := range f.result.Plans {
		if !p.Done {
			continue
		}
		kept := slices.DeleteFunc(l.recall[f.user], recalled.old)
		for _, d := range p.Remove {
			if d.Line.Kind != authkeys.Entry || d.Line.Options.CertAuthority() || d.Reason == ReasonDuplicate {
				continue
			}
			kept = slices.DeleteFunc(kept, func(r recalled) bool { return r.name == p.Name && r.line.Key == d.Line.Key })
			d.Line.Raw = "" // as long as the user likes, and not needed
			kept = append(kept, recalled{name: p.Name, line: d.Line, at: time.Now()})
		}
		if kept = kept[max(0, len(kept)-recallLines):]; len(kept) == 0 {
			delete(l.recall, f.user)
			continue
		}
		l.recall[f.user] = kept
	}
}

// back takes the lines of a user out of memory that are granted now.
func (l *loop) back(user string) map[string][]authkeys.Line {
	if len(l.recall[user]) == 0 {
		return nil
	}
	back := make(map[string][]authkeys.Line)
	var kept []recalled
	for _, r := range l.recall[user] {
		switch {
		case r.old():
		case l.world.Grants.Judge(user, r.line).Granted():
			back[r.name] = append(back[r.name], r.line)
		default:
			kept = append(kept, r)
		}
	}
	if l.recall[user] = kept; len(kept) == 0 {
		delete(l.recall, user)
	}
	return back
}

// forget drops lines that are too old to come back.
func (l *loop) forget() {
	for user := range l.recall {
		l.recall[user] = slices.DeleteFunc(l.recall[user], recalled.old)
		if len(l.recall[user]) == 0 {
			delete(l.recall, user)
		}
	}
}
