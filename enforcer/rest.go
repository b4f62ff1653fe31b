package enforcer

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// A user whose file had to be changed often in a short time, because a program of his puts back what goes, or because he
// wants the daemon to be busy, rests between two looks. That bounds what he costs in records, copies and writes; a key of his
// that should not be there lives no longer than a rest.
const (
	restAfter  = 10               // changes
	restWithin = 10 * time.Second // of each other
	restFor    = time.Second
)

// rest is what is known of a user's last changes, of his file or of his entry.
type rest struct {
	changes int
	last    time.Time
	resting bool
	wanted  bool // a look, or a reading, was asked for while he rests
	over    bool // the rest of his entry is over when the look at him is
}

// alerted reports whether a log line has told that the user keeps changing his file; no line of its own tells of further
// changes then.
func (r *rest) alerted() bool { return r != nil && r.changes > restAfter }

// past reports whether the last change is so long ago that the next one is the first again.
func (r *rest) past() bool { return r == nil || time.Since(r.last) > restWithin }

// rested reports whether a user may be looked at now; if not, he is as soon as he has rested.
func (l *loop) rested(user string) bool {
	r := l.rests[user]
	if r == nil || !r.resting {
		return true
	}
	r.wanted = true
	return false
}

// tire counts a look that changed something, or failed: a change that fails, as of an immutable file, raises events of its own,
// and would be tried again at once, with a record and a copy each time.
func (l *loop) tire(ctx context.Context, f finished) {
	if f.result.Changed() || f.result.Err != nil {
		l.exert(ctx, f.user)
	}
}

// exert counts what a user has cost, and lets him rest when it was often.
func (l *loop) exert(ctx context.Context, user string) {
	r := l.rests[user]
	if r.past() {
		l.calm(user, r)
		r = &rest{}
		l.rests[user] = r
	}
	if !r.tire() {
		return
	}
	if r.changes == restAfter {
		l.Log.Warn("the user's file is changed again and again; from now on he is looked at once a second", zap.String("user", user))
	}
	after(ctx, restFor, l.woken, user)
}

// tire counts a change, and reports whether its user rests from now on.
func (r *rest) tire() bool {
	r.last = time.Now()
	r.changes++
	r.resting = r.changes >= restAfter
	return r.resting
}

// after gives a user to a channel of the loop's after a wait.
func after(ctx context.Context, wait time.Duration, to chan<- string, user string) {
	time.AfterFunc(wait, func() {
		select {
		case to <- user:
		case <-ctx.Done():
		}
	})
}

// wake ends a rest.
func (l *loop) wake(user string) {
	r := l.rests[user]
	r.resting = false
	if r.wanted {
		r.wanted = false
		l.queue.add(user)
	}
}

// forgetRests drops what is known of users who keep still, so that the memory of it is bounded by those who do not.
func (l *loop) forgetRests() {
	for user, r := range l.rests {
		if !r.resting && r.past() {
			l.calm(user, r)
			delete(l.rests, user)
		}
	}
}

// calm says that an alert is over. What is found of the user then is told of again.
func (l *loop) calm(user string, r *rest) {
	if r.alerted() {
		delete(l.told, user)
		l.Log.Info("the user's file keeps still again", zap.String("user", user), zap.Int("changes", r.changes), zap.Time("last", r.last))
	}
}
