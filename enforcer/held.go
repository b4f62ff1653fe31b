package enforcer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// readings is what the loop knows of the registry beside the world.
type readings struct {
	// good is what the world was made of, before anything else changed it; nil before that.
	good    *Kept
	learned uint64 // the whole reading beneath the last one that the ledger has
	held    *Verdict
	// contact is when the last complete reading began, which may be held.
	contact time.Time
	reach   Reach
	stale   bool // it was told
	// contests is what was told of names that several entries have.
	contests []string
}

// tellContests raises an alarm when it changes who has a name that others claim.
func (l *loop) tellContests(contests []string) {
	for _, one := range contests {
		if !slices.Contains(l.readings.contests, one) {
			l.Log.Error("several entries of the registry have one user's name", zap.String("decided", one))
		}
	}
	if len(contests) == 0 && len(l.readings.contests) > 0 {
		l.Log.Info("no user's name in the registry is several entries' any more")
	}
	l.readings.contests = contests
}

// Stale reports whether what was read at a moment is too old to be believed without a word.
func (s Settings) Stale(read, now time.Time) bool { return now.Sub(read) > s.MaxStale }

// offer reads the registry and offers the reading to the gate, outside of the loop: a large one takes a second to compare and to
// bring to the disk.
func offer(ctx context.Context, gate *Gate, settings Settings) (f fetched) {
	f.begun = time.Now()
	since := gate.Begin()
	f.snapshot, f.err = settings.Source.Fetch(ctx)
	switch {
	case ctx.Err() != nil:
		return f // nobody asks for it any more
	case f.err == nil:
		f.verdict, f.trouble = gate.Offer(Reading{Snapshot: f.snapshot, SourceID: settings.SourceID, Hold: settings.Hold, Since: since})
	default:
		gate.Failed(f.err)
	}
	f.unsaved = gate.Commit()
	return f
}

// past lets keys past the brake.
func (l *loop) past(p Past) error {
	if l.Memory.Brakes == nil {
		return nil
	}
	return l.Memory.Hand.Expect(l.Memory.Brakes, p)
}

// resume learns what the last daemon knew, holds what it held, and raises the alarm again.
func (l *loop) resume() {
	l.Gate.Past = l.past
	good := l.Gate.Good(l.settings.SourceID)
	learned, lost := l.Memory.Ledger.Seed(good, time.Now())
	if lost {
		l.Log.Error("the ledger was lost", zap.String("instead", "who and what was registered is taken from the last good reading; who left before that is unknown, and left alone"),
			zap.Time("read", good.Read))
	}
	l.tellAccepted(learned)
	held, err := l.Gate.Resume(l.settings.Hold)
	if err != nil {
		l.Log.Error("the reading that was held cannot be used", zap.Error(err))
	}
	if held != nil {
		again := *held
		again.Fresh = true
		l.tellHeld(again)
	}
	l.readings.held = held
}

// Accepted says that an administrator may have accepted the held reading.
func (r *Runner) Accepted() { ask(r.accepted) }

// tellSSHD has sshd answered by the present world, which a reading may only have confirmed. A registry that answers is not away, although what it
// says is held: that alarm is another one, and to shut everybody out would be the loss that was held.
func (l *loop) tellSSHD() {
	if l.Answer == nil || !l.awake() {
		return
	}
	var end time.Time
	if good := l.readings.good; l.settings.Refuse && good != nil {
		end = good.Read.Add(l.settings.MaxStale)
		if held := l.readings.contact.Add(l.settings.MaxStale); held.After(end) {
			end = held
		}
	}
	l.Answer(l.world, end)
}

// accept takes the held reading, if it is the one that was accepted.
func (l *loop) accept() {
	if err := l.Gate.Accepted(); err != nil {
		l.Log.Error("the acceptance does not count", zap.Error(err))
	}
	l.tellUnsaved(l.Gate.Commit())
	l.catchUp()
}

func (l *loop) tellUnsaved(err error) {
	if err != nil {
		l.Log.Error("the last good reading could not be kept: a restart begins with an older one", zap.Error(err))
	}
}

// catchUp makes the gate's last good reading the world, unless it is already.
func (l *loop) catchUp() {
	l.readings.reach, l.readings.held = l.Gate.Reach(), l.Gate.Held()
	// A reading that is held confirms as little of the one before as none at all.
	good, away := l.Gate.Good(l.settings.SourceID), !l.readings.reach.OK || l.readings.held != nil
	switch {
	case good != nil && good != l.readings.good && good.Amended && good.whole == l.readings.learned && l.awake() && away == l.away:
		l.readings.good = good
		l.derive(good.Snapshot)
	case good != nil && good != l.readings.good:
		switch { // the ledger has what an earlier daemon has read (resume)
		case l.awake() || l.readings.reach.OK && !away:
			l.learn(good)
		case !l.readings.reach.OK:
			l.Log.Warn("homes are kept by the last good reading until the registry answers", zap.String("source", good.Snapshot.Source()),
				zap.Time("read", good.Read), zap.Duration("age", time.Since(good.Read).Round(time.Second)))
		}
		l.readings.good, l.away = good, away
		l.enter(good.Snapshot)
	case away:
		l.lose()
	case l.away:
		l.away = false
		l.reconsider()
	}
}

// tellHeld raises the alarm of a reading that is held, once.
func (l *loop) tellHeld(v Verdict) {
	if !v.Fresh {
		return
	}
	l.Log.Error("what was read of the registry is held: it lost too much; what it said before stays in force until it recovers or an administrator accepts this",
		zap.String("source", v.Snapshot.Source()), zap.String("digest", v.LossDigest), zap.String("lost", v.Summary()),
		zap.String("users", firstNames(v.Loss.Users, alarmNames)), zap.String("people_without_keys_they_had", firstNames(v.Loss.Keys, alarmNames)))
}

// alarmNames is how many names an alarm has of each kind.
const alarmNames = 10

// tellStale says once that the last good reading is too old.
func (l *loop) tellStale() {
	good := l.readings.good
	stale := good != nil && l.awake() && l.settings.Stale(good.Read, time.Now())
	if stale && !l.readings.stale {
		l.Log.Error("the last good reading of the registry is stale; homes are kept by it all the same",
			zap.Time("read", good.Read), zap.Duration("max_stale", l.settings.MaxStale))
	}
	l.readings.stale = stale
}

func (r readings) observe(o *Observation) {
	o.Reachable, o.Stale, o.Since, o.Error = r.reach.OK, r.stale, r.reach.Since, r.reach.Error
	if r.good != nil {
		o.Registry = r.good.Read
	}
	if r.held != nil {
		o.Held, o.LostUsers, o.LostKeys = true, r.held.Users, r.held.Keys
	}
}

// firstNames are some names of a list, for a message.
func firstNames(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
