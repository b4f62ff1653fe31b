package enforcer

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// The bounds of silent looks, which do not come back: a home on a dead file server holds its thread for as long as the server is
// silent. Such a look loses its worker after lookLimit, so that others are not kept waiting, and its user is not looked at
// again before it returns. (Below the home a call is given up earlier, see homes.ErrSilent, so it is the home itself as a rule.) Each one costs a thread, hence the bounds: on homes that hang together, since one server has them, and
// on all. When many hang, a server of which one home does gets no further thread, so that several dead servers do not
// use up what the others need. A disk of this host is no such server: it fails with an error, or the whole host with it, and many
// homes on one that are silent are the doing of somebody who may list them, who must not blind the others with that. They count for themselves.
const (
	lookLimit    = 5 * time.Second
	silentBeside = 64
	silentMany   = 256
	silentInAll  = 512
	silentLocal  = 2048 // on all disks; the unit's TasksMax= leaves room for these, beside the calls that homes gave up
)

// look is one that has begun.
type look struct {
	home   string
	serve  string // what serves the home
	began  time.Time
	silent bool
	// stale: what it was begun by is no longer so, and it does not act. Its worker asks.
	stale atomic.Bool
	heard time.Time // of the event that asked for the look
}

// watchdog keeps count of looks. It belongs to one goroutine, as the loop's.
type watchdog struct {
	looks  map[string]*look // by user
	server func(home string) string
	beside map[string]int // silent looks by what serves their homes
	all    int
	local  int // of all: on disks of this host
	// parked are the users who wait for a silent look of their server to return.
	parked map[string]bool
	check  *time.Timer
}

func newWatchdog(server func(home string) string) *watchdog {
	return &watchdog{
		server: server, looks: make(map[string]*look), beside: make(map[string]int), parked: make(map[string]bool), check: stopped(),
	}
}

// park reports whether one more silent look could be one too many; the user waits then.
func (w *watchdog) park(account homes.Account) bool {
	server := w.server(account.Home)
	beside, remote := w.beside[server], w.all-w.local
	full := beside >= silentBeside || remote >= silentMany && beside > 0 || remote >= silentInAll
	if homes.Local(server) {
		full = w.local >= silentLocal
	}
	if full {
		w.parked[account.Name] = true
	}
	return full
}

func (w *watchdog) begin(account homes.Account) *look {
	if len(w.looks) == w.all {
		w.check.Reset(lookLimit)
	}
	began := &look{home: account.Home, serve: w.server(account.Home), began: time.Now()}
	w.looks[account.Name] = began
	return began
}

// end forgets a look and reports whether it was silent.
func (w *watchdog) end(user string) bool {
	ended := w.looks[user]
	delete(w.looks, user)
	if !ended.silent {
		return false
	}
	w.all--
	if homes.Local(ended.serve) {
		w.local--
	}
	if w.beside[ended.serve]--; w.beside[ended.serve] == 0 {
		delete(w.beside, ended.serve)
	}
	return true
}

// unpark gives back the users that wait.
func (w *watchdog) unpark() map[string]bool {
	parked := w.parked
	w.parked = make(map[string]bool)
	return parked
}

// patrol counts looks that do not come back as silent, and tells of each.
func (w *watchdog) patrol(tell func(user string, look *look)) {
	moving := false
	for user, look := range w.looks {
		switch {
		case look.silent:
		case time.Since(look.began) < lookLimit:
			moving = true
		default:
			look.silent = true
			w.all++
			if homes.Local(look.serve) {
				w.local++
			}
			w.beside[look.serve]++
			tell(user, look)
		}
	}
	if moving {
		w.check.Reset(lookLimit / 4)
	}
}

// patrol takes the workers of looks that do not come back, and says whose homes they are.
func (l *loop) patrol() {
	l.dog.patrol(func(user string, look *look) {
		l.running--
		l.meter.silence(user, true)
		l.round.seen(user)
		l.Log.Error("home does not answer; it is not looked at until it does",
			zap.String("user", user), zap.String("home", look.home), zap.String("server", look.serve), zap.Duration("since", time.Since(look.began)))
		if l.dog.beside[look.serve] == silentBeside && !homes.Local(look.serve) {
			l.Log.Error("file server does not answer; none of its homes is looked at until one answers", zap.String("server", look.serve))
		}
	})
}

// park is the watchdog's: a user who waits is in a home that does not answer.
func (l *loop) park(account homes.Account) bool {
	if !l.dog.park(account) {
		return false
	}
	l.meter.silence(account.Name, true)
	return true
}

// comeBack ends a look: its worker is free, unless it lost that one long ago.
func (l *loop) comeBack(user string) {
	l.queue.done(user)
	if !l.dog.end(user) {
		l.running--
		return
	}
	l.meter.silence(user, false)
	l.Log.Info("home answers again", zap.String("user", user))
	for parked := range l.dog.unpark() {
		l.meter.silence(parked, false)
		l.queue.later(parked)
	}
}
