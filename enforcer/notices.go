package enforcer

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/registry"
)

// UserSource is a Source that reads one user alone. Any error means that only a whole reading can tell.
type UserSource interface {
	Source
	FetchUser(ctx context.Context, name string) (user registry.User, found bool, err error)
}

const (
	// rereads is how many users are read at once, each over a connection of its own.
	rereads = 4
	// mostNoticed is how many may wait for that; more of them are read with all the others.
	mostNoticed = 100
	// noticePause is the least time between two whole readings because of notices.
	noticePause = 5 * time.Second
	// amendPause is how long the disk may be behind an amended reading.
	amendPause = time.Second
)

// notices is what the loop was told of the registry, and has not read yet.
type notices struct {
	due     map[string]bool
	reading map[string]bool
	results chan reread
	// whole: all of the registry is due, when the reading that is under way came to its end.
	whole bool
	last  time.Time   // when all of it was read because of notices
	again *time.Timer // until it may be once more
	store *time.Timer // until the disk is due; nil while it is not
	// rests are those of users whose entries change again and again, woken has the users whose rest may be over.
	rests map[string]*rest
	woken chan string
}

func newNotices() notices {
	return notices{
		due: make(map[string]bool), reading: make(map[string]bool), results: make(chan reread), again: stopped(), rests: make(map[string]*rest), woken: make(chan string),
	}
}

// reread is a user who was read alone.
type reread struct {
	user string
	took time.Duration
	err  error // why it was not taken into the last good reading
}

// notice makes a user due, of whom the registry has something new, or all of them where that is not known.
func (l *loop) notice(ctx context.Context, user string) {
	if _, able := l.settings.Source.(UserSource); user == "" || !able || !l.awake() {
		l.noticeAll(ctx)
		return
	}
	if l.entryRests(user) {
		return
	}
	if l.notices.due[user] = true; len(l.notices.due) > mostNoticed {
		clear(l.notices.due)
		l.noticeAll(ctx)
		return
	}
	l.reread(ctx)
}

// noticeAll reads the whole registry: at once, unless that was done for the same reason a moment ago, or when the reading that is
// under way has ended, which may have passed what is new. Where readings fail, the next attempt is to come anyway.
func (l *loop) noticeAll(ctx context.Context) {
	n := &l.notices
	switch wait := time.Until(n.last.Add(noticePause)); {
	case l.fetch.cancel != nil:
		n.whole = true
	case l.fetch.wait > 0:
	case wait > 0:
		n.again.Reset(wait)
	default:
		n.again.Stop()
		n.last = time.Now()
		l.startFetch(ctx)
	}
}

// noticedAll is called when a whole reading has ended.
func (l *loop) noticedAll(ctx context.Context) {
	if l.notices.whole {
		l.notices.whole = false
		l.noticeAll(ctx)
	}
}

// reread reads users who are due, each by one reading at a time.
func (l *loop) reread(ctx context.Context) {
	source, able := l.settings.Source.(UserSource)
	n, settings := &l.notices, l.settings
	for user := range n.due {
		if !able || len(n.reading) == rereads {
			return
		}
		if n.reading[user] {
			continue
		}
		delete(n.due, user)
		n.reading[user] = true
		go func() {
			r := reread{user: user}
			a := Amendment{SourceID: settings.SourceID, Name: user, Hold: settings.Hold, Since: l.Gate.Begin()}
			began := time.Now()
			a.User, a.Found, r.err = source.FetchUser(ctx, user)
			if r.took = time.Since(began); r.err == nil {
				settings.Policy.Examine(a.User) // before the loop has to
				r.err = l.Gate.Amend(a)
			}
			select {
			case n.results <- r:
			case <-l.gone:
			}
		}()
	}
}

// amend goes on by what became of one user's reading.
func (l *loop) amend(ctx context.Context, r reread) {
	n := &l.notices
	delete(n.reading, r.user)
	l.strain(ctx, r)
	switch {
	case ctx.Err() != nil:
	case errors.Is(r.err, ErrLate):
		n.due[r.user] = true
	case r.err == nil:
		before := l.readings.good
		if l.catchUp(); l.readings.good != before {
			if !n.rests[r.user].alerted() {
				l.Log.Info("user of the registry read again", zap.String("user", r.user))
			}
			l.storeSoon()
		}
	default:
		l.Log.Warn("a user who changed in the registry cannot be decided alone: all of it is read", zap.String("user", r.user), zap.Error(r.err))
		l.noticeAll(ctx)
	}
	l.reread(ctx)
}

// storeSoon brings the amended reading to the disk, not for each amendment.
func (l *loop) storeSoon() {
	if l.notices.store == nil {
		l.notices.store = time.AfterFunc(amendPause, func() { ask(l.amended) })
	}
}
