package enforcer

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// account draws the conclusions of a look: a failed one is repeated, and what a person should know is said once, not at
// every look.
func (l *loop) account(ctx context.Context, f finished) {
	l.tellChanged(f)
	if f.acts {
		l.cleaned[f.user] = f.result.Account
	}
	if errors.Is(f.result.Err, ErrBraked) {
		l.brake()
	}
	if errors.Is(f.result.Err, errAbandoned) || errors.Is(f.result.Err, ErrBraked) && f.world != l.world {
		l.queue.add(f.user)
		return
	}
	switch {
	case f.result.Err == nil && !slices.ContainsFunc(f.result.Plans, Plan.Pressing):
		delete(l.failed, f.user)
	case errors.Is(f.result.Err, ErrUnsettled):
		l.waitFor(ctx, f.user)
		return
	default:
		l.repeat(ctx, f.user)
	}
	l.meter.look(f)
	if l.tell(f) && !f.acts && f.result.Err == nil {
		l.exert(ctx, f.user) // as a change would: where nothing is changed, each line of the log is what it costs
	}
	l.tellUnkept(f.result.Unkept)
}

// tellChanged says what was changed, but not a thousand times: the trail has each change of a user who was alerted of.
func (l *loop) tellChanged(f finished) {
	if l.rests[f.user].alerted() {
		return
	}
	for _, p := range f.result.Plans {
		if p.Done {
			l.Log.Info("file changed", zap.String("user", f.user), zap.String("file", p.Path()), zap.String("summary", p.Summary()))
		}
	}
}

// tellUnkept says once of a file that sshd may read it and that it is not kept, however many users it concerns.
func (l *loop) tellUnkept(list []homes.Unkept) {
	for _, u := range list {
		_, told := l.unkept[u]
		l.unkept[u] = time.Now()
		if !told {
			l.Log.Warn("sshd may read a file that is not kept", zap.String("file", u.Path), zap.String("why", u.Why))
		}
	}
}

// forgetUnkept drops files that no look has found for so long that two sweeps have passed: users may choose their names.
func (l *loop) forgetUnkept() {
	maps.DeleteFunc(l.unkept, func(_ homes.Unkept, found time.Time) bool { return time.Since(found) > 2*l.settings.Sweep })
}

// tellSwept says once that the daemon has seen every home.
func (l *loop) tellSwept() {
	if l.swept || l.running > 0 || !l.queue.idle() || !l.awake() {
		return
	}
	l.swept = true
	l.Log.Info("every home was looked at", zap.Int("homes", len(l.world.accounts)))
}

// repeat makes a user due again after a wait that doubles with every failure.
func (l *loop) repeat(ctx context.Context, user string) {
	wait := min(firstRetry<<min(l.failed[user], 10), lastRetry)
	l.failed[user]++
	after(ctx, wait, l.again, user)
}

// tell logs what a look found, and reports whether the last look at the same user found something else, or nothing. Of a user
// who was alerted of it logs nothing.
func (l *loop) tell(f finished) bool {
	var said []string
	warn := func(message string, fields ...zap.Field) func() {
		return func() { l.Log.Warn(message, append(fields, zap.String("user", f.user))...) }
	}
	var lines []func()
	if f.watch != nil {
		said, lines = append(said, "watch", f.watch.Error()), append(lines, warn("home is not watched: it waits for the sweep", zap.Error(f.watch)))
	}
	if f.result.Err != nil {
		said, lines = append(said, f.result.Err.Error()), append(lines, warn("home could not be kept in line", zap.Error(f.result.Err)))
	}
	if errors.Is(f.result.Err, homes.ErrStuck) {
		lines = append(lines, func() {
			l.Log.Error("somebody keeps a key file as it is by locks of the kernel's on the home that he does not give back; what is in it may log in",
				zap.String("user", f.user), zap.String("home", f.result.Account.Home))
		})
	}
	for _, p := range f.result.Plans {
		if p.Remark != "" {
			said, lines = append(said, p.Name, p.Remark), append(lines, warn("file is not safe where it is", zap.String("file", p.Path()), zap.String("why", p.Remark)))
		}
		switch {
		case p.Unresolved != "":
			said, lines = append(said, p.Name, p.Unresolved), append(lines, warn("file not decided", zap.String("file", p.Path()), zap.String("why", p.Unresolved)))
		case p.Change && !f.acts:
			said, lines = append(said, p.Name, string(p.After)), append(lines, warn("file would be changed", zap.String("file", p.Path()), zap.String("summary", p.Summary())))
		}
	}
	if len(said) == 0 {
		delete(l.told, f.user)
		return false
	}
	now := sha256.Sum256([]byte(strings.Join(said, "\x00")))
	if now == l.told[f.user] {
		return false
	}
	l.told[f.user] = now
	if !l.rests[f.user].alerted() {
		for _, line := range lines {
			line()
		}
	}
	return true
}
