package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/internal/notify"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/registry"
)

// templateBound is far above any template of a mail.
const templateBound = 64 << 10

// channels are those by which users are told of what was removed; nil: they are not told so.
type channels struct{ exec, mail notify.Tell }

// channelsOf makes of a configuration what tells users, or says why it cannot be used.
func channelsOf(n config.Notify) (w channels, err error) {
	if len(n.Exec) == 0 && n.Mail.Program == "" {
		return channels{}, nil
	}
	hook := host.Hook{Patience: n.Timeout}
	if hook.UID, hook.GID, err = rightsOf(n.User); err != nil {
		return channels{}, fmt.Errorf("notify.user: %w", err)
	}
	var wrong []error
	if len(n.Exec) > 0 {
		hook := hook
		hook.Words = n.Exec
		if err := hook.Check(); err != nil {
			wrong = append(wrong, fmt.Errorf("notify.exec: %w", err))
		}
		w.exec = func(ctx context.Context, e notify.Event) error {
			text, err := e.JSON()
			if err != nil {
				return err
			}
			return hook.Run(ctx, text)
		}
	}
	if n.Mail.Program != "" {
		if w.mail, err = post(n.Mail, hook); err != nil {
			wrong = append(wrong, fmt.Errorf("notify.mail: %w", err))
		}
	}
	return w, errors.Join(wrong...)
}

// rightsOf are those of the account that tells users: root's would be a way from what a user writes to root.
func rightsOf(name string) (uid, gid int, err error) {
	if os.Geteuid() != 0 {
		return os.Geteuid(), os.Getegid(), nil
	}
	account, err := lookup(name)
	switch {
	case err != nil:
		return 0, 0, withHint(err, "systemd/keyreeve.sysusers makes the account, or \"useradd --system --shell /usr/sbin/nologin %s\"", name)
	case account.UID == 0 || account.GID == 0:
		return 0, 0, fmt.Errorf("%s has rights of root's", name)
	}
	return account.UID, account.GID, nil
}

// post sends mail by a program that has the flags of sendmail(8).
func post(m config.Mail, hook host.Hook) (notify.Tell, error) {
	hook.Words = []string{m.Program}
	if err := hook.Check(); err != nil {
		return nil, err
	}
	var text []byte
	if m.Template != "" {
		var err error
		if text, err = statefile.Read(m.Template, templateBound); err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
	}
	letter, err := notify.NewLetter(m.From, string(text))
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return func(ctx context.Context, e notify.Event) error {
		text, to, err := letter.Make(e, time.Now())
		if err != nil {
			return err
		}
		hook := hook
		hook.Words = []string{m.Program, "-i"} // a line of one dot does not end the mail
		if m.From != "" {
			hook.Words = append(hook.Words, "-f", m.From)
		}
		hook.Words = append(hook.Words, "--", to)
		return hook.Run(ctx, text)
	}, nil
}

// tellers have users told by each of the channels, neither waiting for the other.
type tellers struct{ exec, mail *notify.Teller }

// newTellers makes them; trouble hears of one by its key in the configuration.
func newTellers(w channels, every time.Duration, trouble func(way string, err error, failed int)) tellers {
	one := func(way string, tell notify.Tell) *notify.Teller {
		return notify.NewTeller(tell, every, func(err error, failed int) { trouble(way, err, failed) })
	}
	return tellers{one("notify.exec", w.exec), one("notify.mail", w.mail)}
}

// set has users told by other channels from now on.
func (t tellers) set(w channels, every time.Duration) {
	t.exec.Set(w.exec, every)
	t.mail.Set(w.mail, every)
}

// note has the user of a plan told that was carried out. It waits for nothing.
func (t tellers) note(p enforcer.Plan, err error, text []string, snapshot *registry.Snapshot) {
	gone, changes := p.Gone(), 1
	switch {
	case len(gone) == 0:
		return
	case err == nil, errors.Is(err, enforcer.ErrUntold):
	case errors.Is(err, homes.ErrChanged):
		changes = 0 // its user wrote meanwhile: the lines are gone all the same, or go with the plan that follows, which says them again
	default:
		return
	}
	now := time.Now().UTC()
	e := notify.Event{User: p.Account.Name, UID: p.Account.UID, First: now, Last: now, Changes: changes, Text: text}
	e.Host, _ = os.Hostname() // without it the word is still one
	if snapshot != nil {
		user, _ := snapshot.User(p.Account.Name)
		e.Mail = user.Mail
	}
	for _, d := range gone {
		e.Removed = append(e.Removed, notify.Loss{
			File: p.Path(), Reason: string(d.Reason), Detail: d.Detail, Type: d.Line.Key.Type(), Fingerprint: d.Line.Key.Fingerprint(), Comment: d.Line.Comment,
		}.Plain())
	}
	t.exec.Note(e)
	t.mail.Note(e)
}

// tellers are those of a command that runs once.
func (one *pass) tellers(p process) (tellers, error) {
	c := one.config.Notify
	told, err := channelsOf(c)
	return newTellers(told, c.Every, func(way string, err error, _ int) {
		if err != nil {
			p.warn(fmt.Errorf("%s: %w", way, err))
		}
	}), err
}

// telling is an act that has users told.
func (one *pass) telling(t tellers, act func(enforcer.Plan) error) func(enforcer.Plan) error {
	return func(p enforcer.Plan) error {
		err := act(p)
		t.note(p, err, one.config.Notify.Text, one.world.Snapshot)
		return err
	}
}

// last tells all who wait, and warns of those who were not told.
func (t tellers) last(ctx context.Context, p process) {
	if left := t.exec.Flush(ctx) + t.mail.Flush(ctx); left > 0 {
		p.warn(fmt.Errorf("words to users that were not said: %d; the trail has what was removed", left))
	}
}

// tellTrouble logs that users are not told.
func (s *service) tellTrouble(way string, err error, failed int) {
	if err != nil {
		s.log.Error("users are not told of what was removed; the trail has it", zap.String("way", way), zap.Error(err))
		return
	}
	s.log.Info("users are told again of what was removed", zap.String("way", way), zap.Int("failed", failed))
}

// tell has users told until it is told to end; then those who wait are told at once, as far as that takes no more than some seconds.
func (s *service) tell(ctx context.Context) (end func()) {
	// What is changed while the daemon ends counts too.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	left := make(chan int)
	for _, t := range []*notify.Teller{s.tellers.exec, s.tellers.mail} {
		go func() { left <- t.Run(ctx) }()
	}
	return func() {
		cancel()
		if n := <-left + <-left; n > 0 {
			s.log.Warn("users are not told of what was removed, since the daemon ends; the trail has it", zap.Int("users", n))
		}
	}
}
