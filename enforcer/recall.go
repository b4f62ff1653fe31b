package enforcer

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/policy"
)

// A key that somebody registers and puts into his file at once is removed if the registry was read last before he did; so is
// every registered key that a replica of the directory does not have yet. Such a key comes back when a reading shows it,
// within recallFor of its removal, since nobody else would put it back. Over a restart the copies in quarantine remember it;
// they do not know what came back since, so a key that its owner took out himself then may come back once more.
//
// It is the same account that gets it back: a name that is another person's by now has another uid. A home may move.
const (
	recallFor   = time.Hour
	recallLines = 16 // of one user
)

// recalled is a line that was removed from a file.
type recalled struct {
	name string // of its file, as in the plan
	uid  int    // of the account
	line authkeys.Line
	at   time.Time
	away bool // it went with the rights of its account
}

// old reports whether the line is too long gone to come back.
func (r recalled) old() bool { return !r.away && time.Since(r.at) > recallFor }

// remember keeps the key lines that a look removed or may have removed, and of those that were to come back all that no file was seen to have: one that
// could not be changed, or is not there at the moment, as on a home that is not mounted, gets them later.
func (l *loop) remember(f finished) {
	var gone []recalled
	for _, r := range f.taken {
		if f.acts && slices.ContainsFunc(f.result.Plans, func(p Plan) bool { return p.Name == r.name && p.has(r.line.Key) }) {
			continue
		}
		if f.acts {
			r.at = time.Now()
		}
		gone = append(gone, r)
	}
	for _, p := range f.result.Tried {
		for _, d := range p.Remove {
			if d.Reason != ReasonDuplicate {
				gone = append(gone, recalled{name: p.Name, uid: p.Account.UID, line: d.Line, at: time.Now(), away: d.Reason.OfAccount()})
			}
		}
	}
	l.mind(f.user, gone)
}

// has reports whether a login key is in the file, as the plan found it or left it.
func (p Plan) has(key authkeys.Key) bool {
	in := func(d Decision) bool { return loginKey(d.Line, key) }
	return slices.ContainsFunc(p.Keep, in) || p.Done && (slices.ContainsFunc(p.Rewrite, in) ||
		slices.ContainsFunc(p.Back, func(line authkeys.Line) bool { return line.Key == key }) ||
		slices.ContainsFunc(p.Add, func(g policy.Grant) bool { return g.Key == key }))
}

// mind takes lines of a user that went into memory.
func (l *loop) mind(user string, gone []recalled) {
	if kept := merge(l.recall[user], gone); len(kept) > 0 {
		l.recall[user] = kept
	}
}

// merge adds lines that went, of those that may come back: each key once for a file, as it was last, and not too many.
func merge(kept, gone []recalled) []recalled {
	for _, r := range gone {
		if r.line.Kind != authkeys.Entry || r.line.Options.CertAuthority() {
			continue
		}
		same := func(other recalled) bool { return other.name == r.name && other.line.Key == r.line.Key }
		if slices.ContainsFunc(kept, func(other recalled) bool { return same(other) && other.at.After(r.at) }) {
			continue
		}
		kept = append(slices.DeleteFunc(kept, func(other recalled) bool { return same(other) || other.old() }), r)
		slices.SortStableFunc(kept, func(a, b recalled) int { return a.at.Compare(b.at) })
		kept = kept[max(0, len(kept)-recallLines):]
	}
	for i, r := range kept {
		if r.line.Raw != "" {
			// Read anew, it holds its own bytes alone; the parts of a line hold those of its whole file.
			kept[i].line = authkeys.Parse(r.line.AppendTo(nil))[0]
			kept[i].line.Raw = ""
		}
	}
	return kept
}

// passed are lines that an earlier daemon removed from a user's files.
type passed struct {
	user  string
	lines []recalled
}

// recollect reads the quarantine in the background, for what an earlier daemon removed not long ago.
func (l *loop) recollect() {
	began := time.Now()
	go l.collect("", began.Add(-recallFor), began, func(r recalled) bool { return !r.old() })
}

// recollectAway does so, at the first reading of the registry, for the keys of accounts that do not count, however long they are gone.
func (l *loop) recollectAway() {
	var names []string
	for _, account := range l.world.order {
		if l.world.Grants.Away(account.Name).Reason != "" {
			names = append(names, account.Name)
		}
	}
	began := time.Now()
	go func() {
		for _, name := range names {
			l.collect(name, time.Time{}, began, func(r recalled) bool { return r.away })
		}
	}()
}

// collect takes lines into memory that went between two moments.
func (l *loop) collect(user string, since, began time.Time, wanted func(recalled) bool) {
	var wrong error
	var p passed
	tell := func() {
		if len(p.lines) > 0 {
			select {
			case l.copies <- p:
			case <-l.gone:
			}
		}
	}
	for c, err := range l.Copies(user, since) {
		switch {
		case err != nil:
			wrong = err
			continue
		case c.Time.After(began) && !c.Time.After(time.Now()):
			continue // it is of a look of ours; what is ahead even now, of a clock that was
		case c.User != p.user:
			tell() // all of his together, since the first line of a key that is told comes back
			p = passed{user: c.User}
		}
		if c.Time.After(began) {
			c.Time = began
		}
		p.lines = merge(p.lines, slices.DeleteFunc(went(c), func(r recalled) bool { return !wanted(r) }))
	}
	tell()
	if wrong != nil {
		l.Log.Warn("not all of what an earlier daemon removed is known: it does not come back by itself", zap.Error(wrong))
	}
}

// went lists the lines that went with a change.
func went(c Copy) (list []recalled) {
	lines := authkeys.Parse(c.Content)
	for _, line := range c.Lines {
		if line.Action == audit.RemoveLine && line.Reason != ReasonDuplicate && line.Line > 0 && line.Line <= len(lines) {
			list = append(list, recalled{name: c.Name, uid: c.UID, line: lines[line.Line-1], at: c.Time, away: line.Reason.OfAccount()})
		}
	}
	return list
}

// back takes the lines of a user out of memory that are granted now, and those of somebody else who had his name.
func (l *loop) back(user string) (back []recalled) {
	var kept []recalled
	account, _ := l.world.Account(user)
	for _, r := range l.recall[user] {
		switch {
		case r.old(), r.uid != account.UID:
		case l.world.Grants.Judge(user, r.line).Granted():
			back = append(back, r)
		default:
			kept = append(kept, r)
		}
	}
	if l.recall[user] = kept; len(kept) == 0 {
		delete(l.recall, user)
	}
	return back
}

// byFile sorts lines by the names of their files.
func byFile(list []recalled) map[string][]authkeys.Line {
	lines := make(map[string][]authkeys.Line)
	for _, r := range list {
		lines[r.name] = append(lines[r.name], r.line)
	}
	return lines
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
