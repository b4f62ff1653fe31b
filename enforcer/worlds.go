package enforcer

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// fetch is the state of reading the registry: one reading at a time counts, the last that was asked for.
type fetch struct {
	results chan fetched
	cancel  context.CancelFunc
	turn    int // of the reading that counts
	running int // readings that have not reported yet
	wait    time.Duration
}

type fetched struct {
	turn     int
	begun    time.Time
	snapshot *registry.Snapshot
	err      error
	verdict  Verdict
	trouble  error // with an acceptance
	unsaved  error // why the disk does not have it
}

// startFetch reads the registry in the background; a reading that is under way is given up.
func (l *loop) startFetch(ctx context.Context) {
	if l.fetch.cancel != nil {
		l.fetch.cancel()
	}
	ctx, l.fetch.cancel = context.WithCancel(ctx)
	l.fetch.turn++
	l.fetch.running++
	l.refresh.Stop()
	turn, settings := l.fetch.turn, l.settings
	go func() {
		f := offer(ctx, l.Gate, settings)
		f.turn = turn
		select {
		case l.fetch.results <- f:
		case <-l.gone:
		}
	}()
}

// take handles a reading that came to its end. A failed one changes nothing: the last good snapshot stays in force, that of an
// earlier daemon if there is no other.
func (l *loop) take(f fetched) {
	l.fetch.running--
	if f.turn != l.fetch.turn {
		return
	}
	l.fetch.cancel()
	l.fetch.cancel = nil
	if f.trouble != nil {
		l.Log.Error("the acceptance does not count", zap.Error(f.trouble))
	}
	l.tellUnsaved(f.unsaved)
	if f.err != nil {
		l.goOn()
		l.fetch.wait = min(max(2*l.fetch.wait, firstRetry), lastRetry, l.settings.Refresh)
		l.refresh.Reset(l.fetch.wait)
		instead := "no home is looked at before it was"
		if l.awake() {
			instead = "what it said last stays in force"
		}
		l.Log.Error("the registry could not be read; "+instead, zap.Error(f.err), zap.Duration("retry_in", l.fetch.wait))
		l.tellStale()
		return
	}
	l.tellContests(f.verdict.Contests)
	l.fetch.wait = 0
	l.refresh.Reset(l.settings.Refresh)
	if f.verdict.Held {
		l.tellHeld(f.verdict)
	} else {
		l.Log.Info("registry read", zap.String("source", f.snapshot.Source()), zap.Int("users", f.snapshot.Len()),
			zap.Int("keys", f.snapshot.Keys()), zap.Int("inactive_users", inactive(f.snapshot)), zap.Int("rejected_values", f.snapshot.Rejects()))
	}
	l.readings.contact = f.begun
	l.goOn()
	l.tellStale()
}

// goOn makes the gate's last good reading the world, and has sshd answered where that was the world already: a new one has done so.
func (l *loop) goOn() {
	before := l.world
	if l.catchUp(); l.world == before {
		l.tellSSHD()
	}
}

// inactive counts the accounts that do not count now.
func inactive(snapshot *registry.Snapshot) int {
	n, now := 0, time.Now()
	for user := range snapshot.Users() {
		if !user.Active(now) {
			n++
		}
	}
	return n
}

// enter makes a snapshot, judged by the present rules and time, the present world.
func (l *loop) enter(snapshot *registry.Snapshot) {
	l.moves.snapshot = nil
	l.readBrake()
	grants := l.settings.Policy.Evaluate(snapshot, time.Now(), l.exceptions()...)
	l.begin(l.Memory.World(snapshot, grants, l.settings.Scope, l.settings.Brake, l.away), nil)
}

// begin makes a world the present one, and makes those users due for whom that changes something. Among names those of whom something
// may be different; nil: anybody.
func (l *loop) begin(world *World, among []string) {
	old, woken := l.world, l.asleep
	l.world, l.asleep = world, false
	if l.settings.Entered != nil {
		l.settings.Entered(l.world)
	}
	l.resetTurn()
	l.tellWorld(old, among)
	l.tellExceptions(old)
	l.tellBrake(old)
	l.tellSSHD()
	changed := l.world.changed(old, among)
	for _, user := range changed {
		l.queue.ask(user, old != nil)
	}
	if woken {
		l.all()
	}
	if old == nil {
		l.beginRound()
		l.recollectAway()
		l.Ready()
		return
	}
	left := l.world.left(old)
	l.abandon(slices.DeleteFunc(changed, func(user string) bool { return l.outlasts(old, user) })...)
	l.abandon(left...)
	for _, user := range left {
		l.Unwatch(user)
		delete(l.told, user)
		delete(l.failed, user)
		delete(l.cleaned, user)
		delete(l.heard, user)
		l.meter.forget(user)
		l.round.seen(user)
		l.Log.Warn("account left: its home is left alone from now on", zap.String("user", user))
	}
}

// stays reports whether the account of a look that came back is kept still. One that left meanwhile is forgotten already, but for the
// watch that the look has set.
func (l *loop) stays(user string) bool {
	_, kept := l.world.Account(user)
	if !kept {
		l.Unwatch(user)
	}
	return kept
}

// reconsider judges the latest snapshot by the exceptions as they are now.
func (l *loop) reconsider() {
	if l.awake() {
		l.enter(l.overtake())
	}
}

// exceptions reads the exceptions. What cannot be read leaves the last good ones in force: it lets in nobody new, and takes
// no key away before its end.
func (l *loop) exceptions() []policy.Exception {
	list, err := l.Exceptions()
	if err != nil {
		l.Log.Error("the exceptions could not be read; those that were known stay in force", zap.Error(err), zap.Int("known", len(list)))
	}
	return list
}

// tellExceptions logs each exception once, and once more when it ends.
func (l *loop) tellExceptions(old *World) {
	known := make(map[string]bool)
	if old != nil {
		for _, e := range old.Exceptions() {
			known[e.ID+e.Idle] = true
		}
	}
	for _, e := range l.world.Exceptions() {
		if !known[e.ID+e.Idle] {
			l.Log.Warn("exception", zap.String("user", e.User), zap.String("key", e.Key.Fingerprint()), zap.String("owner", e.Owner),
				zap.String("reason", e.Reason), zap.Time("until", e.Until), zap.String("idle", e.Idle), zap.String("id", e.ID))
		}
	}
}

// tellWorld logs the accounts that are left alone and the registry values that are not used, each once.
func (l *loop) tellWorld(old *World, among []string) {
	if old == nil || old.household != l.world.household {
		l.tellSkips(old)
	}
	if among == nil {
		for user := range l.world.Snapshot.Users() {
			l.tellUser(old, user)
		}
		return
	}
	for _, name := range among {
		if user, there := l.world.Snapshot.User(name); there {
			l.tellUser(old, user)
		}
	}
}

func (l *loop) tellSkips(old *World) {
	known := make(map[Skip]bool)
	if old != nil {
		for _, s := range old.Skips() {
			known[s] = true
		}
	}
	for _, s := range l.world.Skips() {
		if !known[s] {
			l.Log.Warn("account left alone", zap.String("user", s.User), zap.String("why", s.Why))
		}
	}
}

func (l *loop) tellUser(old *World, user registry.User) {
	if old != nil {
		l.tellAway(user.Name, old.Grants.Away(user.Name), l.world.Grants.Away(user.Name))
		if before, ok := old.Snapshot.User(user.Name); ok && slices.Equal(before.Rejects, user.Rejects) {
			return
		}
	}
	for _, reject := range user.Rejects {
		l.Log.Warn("registry value not used", zap.String("user", user.Name), zap.String("code", reject.Code),
			zap.String("entry", reject.Origin), zap.String("why", reject.Detail))
	}
}

// tellAway logs that an account has no keys any more, or has them again. At the start nobody is told of: a registry of many hosts
// may hold thousands of accounts that are for others of them.
func (l *loop) tellAway(user string, before, now policy.Verdict) {
	switch {
	case before.Reason == now.Reason:
	case now.Reason == "":
		l.Log.Info("account counts again", zap.String("user", user))
	default:
		l.Log.Warn("account has no keys", zap.String("user", user), zap.String("reason", string(now.Reason)), zap.String("why", now.Detail))
	}
}

// resetTurn sets the timer for the next moment at which time alone changes a grant.
func (l *loop) resetTurn() {
	next := l.world.Grants.Next()
	if next.IsZero() {
		l.at.Stop()
		return
	}
	l.at.Reset(min(max(time.Until(next), 0), turnCheck))
}

// turn judges those users anew whose moment has come.
func (l *loop) turn() {
	if !l.awake() {
		return
	}
	if time.Now().Before(l.world.Grants.Next()) {
		l.resetTurn()
		return
	}
	l.derive(l.latest())
}

// adopt takes new settings. The present snapshot is judged by them at once, unless they name another registry: then
// nothing is decided until that was read.
func (l *loop) adopt(ctx context.Context, settings Settings) {
	other := settings.SourceID != l.settings.SourceID
	l.settings = settings
	for _, look := range l.dog.looks {
		look.stale.Store(true)
	}
	l.resetTimers()
	switch {
	case l.world == nil:
	case other || l.asleep:
		l.Log.Info("another registry: nothing is decided until it was read")
		l.asleep, l.readings.good, l.readings.contact = true, nil, time.Time{}
	default:
		l.enter(l.overtake())
		l.all()
	}
	l.fetch.wait = 0
	l.startFetch(ctx)
}
