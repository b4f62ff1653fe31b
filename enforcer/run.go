package enforcer

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// The bounds of waiting after a failure, of the registry or of a home.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	// farewell is how long Run waits for looks that have begun when it is told to end.
	farewell = 10 * time.Second
	// lostPause is the least time between two sweeps because of lost hints.
	lostPause = 5 * time.Second
	// turnCheck bounds how long a change of the wall clock can delay the end of a registration.
	turnCheck = time.Minute
)

// loop is the state of one Run; only its goroutine touches it.
type loop struct {
	*Runner
	settings Settings
	// world is nil until the registry was read: nothing is looked at then.
	world *World
	// asleep is set while another registry was configured and not read yet: nothing is looked at then either.
	asleep bool
	// away is set while the last attempt to read the registry has failed.
	away bool
	// gone is closed when Run returns, so that a look or a reading that hangs does not wait for a listener for ever.
	gone chan struct{}

	queue   *queue
	dog     *watchdog
	running int // looks that have a worker
	done    chan finished
	again   chan string
	recall  map[string][]recalled
	copies  chan passed
	rests   map[string]*rest
	waited  map[string]time.Time // when patience with a user began
	woken   chan string
	told    map[string][sha256.Size]byte // what was last said of a user
	unkept  map[homes.Unkept]time.Time   // files that were told of: when a look last found them
	cleaned map[string]homes.Account     // by user: cleaned of what a crash left, since the start
	failed  map[string]int               // looks of a user that failed in a row
	swept   bool                         // every home was looked at since the start
	meter   meter
	round   round
	heard   map[string]time.Time // by user: the first event that no look has answered yet

	fetch                   fetch
	readings                readings
	notices                 notices
	lastLost                time.Time
	refresh, sweep, due, at *time.Timer
	lost                    *time.Timer
	store                   *time.Timer // until the ledger is written
	stored                  chan error
	storing, unsaved        bool // the ledger's file waits to be written, or could not be
	settling                settling
	moves                   moves
}

// Run keeps homes in line until ctx ends, and returns when the looks that had begun are over.
func (r *Runner) Run(ctx context.Context, settings Settings) error {
	l := &loop{
		Runner: r, settings: settings, queue: newQueue(), dog: newWatchdog(r.Server), done: make(chan finished), again: make(chan string),
		recall: make(map[string][]recalled), copies: make(chan passed), rests: make(map[string]*rest), waited: make(map[string]time.Time), woken: make(chan string),
		gone: make(chan struct{}), told: make(map[string][sha256.Size]byte), failed: make(map[string]int), unkept: make(map[homes.Unkept]time.Time),
		cleaned: make(map[string]homes.Account),
		notices: newNotices(),
		meter:   newMeter(), heard: make(map[string]time.Time),
		refresh: stopped(), sweep: stopped(), due: stopped(), at: stopped(), lost: stopped(), store: stopped(), stored: make(chan error),
		settling: settling{due: stopped()}, moves: moves{due: stopped()},
	}
	l.fetch.results = make(chan fetched)
	defer close(l.gone)
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	l.recollect()
	l.resume()
	l.startFetch(inner)
	l.resetTimers()
	for {
		l.dispatch()
		select {
		case <-ctx.Done():
			cancel()
			return errors.Join(l.finish(), l.Memory.Ledger.Save())
		default:
			l.step(inner)
			l.observe()
		}
	}
}

// stopped makes a timer that fires only after a Reset.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (l *loop) resetTimers() {
	l.sweep.Reset(l.settings.Sweep)
	if l.settings.FastCheck > 0 {
		l.due.Reset(l.settings.FastCheck)
	} else {
		l.due.Stop()
	}
}

// step waits for one thing to happen and handles it.
func (l *loop) step(ctx context.Context) {
	select {
	case <-ctx.Done():
	case user := <-l.Hints:
		l.hint(user)
	case user := <-l.again:
		l.queue.add(user)
	case user := <-l.woken:
		l.wake(user)
	case f := <-l.done:
		l.comeBack(f.user)
		l.lookEnded(ctx, f.user)
		l.remember(f)
		if l.stays(f.user) {
			l.tire(ctx, f)
			l.settle(f.result)
			l.account(ctx, f)
		}
		l.answered(f)
		l.round.seen(f.user)
		l.tellSwept()
	case result := <-l.fetch.results:
		l.take(result)
		l.noticedAll(ctx)
	case user := <-l.Changes:
		l.notice(ctx, user)
	case r := <-l.notices.results:
		l.amend(ctx, r)
	case user := <-l.notices.woken:
		l.wakeEntry(ctx, user)
	case <-l.notices.again.C:
		l.noticeAll(ctx)
	case <-l.amended:
		l.notices.store = nil
		go func() { l.tellUnsaved(l.Gate.Commit()) }()
	case <-l.refresh.C:
		l.startFetch(ctx)
	case <-l.poke:
		l.startFetch(ctx)
	case <-l.every:
		l.all()
	case <-l.excepted:
		l.reconsider()
	case <-l.braked:
		l.reconsider()
	case <-l.settling.due.C:
		l.settled()
	case <-l.moves.due.C:
		l.move()
	case <-l.store.C:
		l.save()
	case err := <-l.stored:
		l.saved(err)
	case <-l.accepted:
		l.accept()
	case <-l.sweep.C:
		l.sweep.Reset(l.settings.Sweep)
		l.forgetRests()
		l.notices.forgetRests()
		l.forgetWaits()
		l.forgetUnkept()
		l.forget()
		l.reconsider()
		l.all()
	case <-l.due.C:
		l.due.Reset(l.settings.FastCheck)
		l.active()
	case <-l.at.C:
		l.turn()
	case <-l.lost.C:
		l.lostHints()
	case <-l.dog.check.C:
		l.patrol()
		l.looksSilent(ctx)
	case p := <-l.copies:
		l.mind(p.user, p.lines)
		l.queue.add(p.user)
	case settings := <-l.reload:
		l.adopt(ctx, settings)
	case <-l.alive:
	}
}

func (l *loop) hint(user string) {
	if user != "" {
		l.hear(user)
		l.queue.add(user)
		return
	}
	// One user alone can make hints be lost, as often as he likes.
	if wait := time.Until(l.lastLost.Add(lostPause)); wait > 0 {
		l.lost.Reset(wait)
		return
	}
	l.lostHints()
}

func (l *loop) lostHints() {
	l.lastLost = time.Now()
	l.lost.Stop()
	l.Log.Warn("hints were lost: looking at every home")
	l.all()
}

// awake reports whether there is something to decide by.
func (l *loop) awake() bool { return l.world != nil && !l.asleep }

// all makes every home due.
func (l *loop) all() {
	if !l.awake() {
		return
	}
	for _, account := range l.world.Accounts() {
		l.queue.later(account.Name)
	}
	l.beginRound()
}

// active makes the homes due of users who have a process here: they alone can write through a mapping, of which no
// event tells.
func (l *loop) active() {
	if !l.awake() {
		return
	}
	active, err := l.Active()
	if err != nil {
		l.Log.Warn("active users are not known: their homes wait for the sweep", zap.Error(err))
		return
	}
	for _, account := range l.world.Accounts() {
		if active(account.UID) {
			l.queue.add(account.Name)
		}
	}
}

// finish waits for the looks that have begun, so that no change is cut off after its intent was recorded.
func (l *loop) finish() error {
	for _, t := range []*time.Timer{l.refresh, l.sweep, l.due, l.at, l.lost, l.store, l.notices.again, l.dog.check, l.settling.due, l.moves.due} {
		t.Stop()
	}
	limit := time.After(farewell)
	for l.running > 0 || l.fetch.running > 0 || len(l.notices.reading) > 0 {
		select {
		case r := <-l.notices.results:
			delete(l.notices.reading, r.user)
		case f := <-l.done:
			l.comeBack(f.user)
		case <-l.fetch.results:
			l.fetch.running--
		case <-limit:
			return errors.New("a home or the registry did not answer while the daemon was ending")
		}
	}
	l.tellUnsaved(l.Gate.Commit())
	return nil
}
