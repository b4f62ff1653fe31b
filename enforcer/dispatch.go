package enforcer

import (
	"errors"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// errAbandoned ends a look before it acts by what is no longer so.
var errAbandoned = errors.New("the registry or the rules changed during the look")

// abandon keeps the looks at some users, which are under way, from acting. Who is not named goes on: what he is looked at by holds
// in the new world too, and somebody who has the world made anew again and again does not keep others from being decided.
func (l *loop) abandon(users ...string) {
	for _, user := range users {
		if look := l.dog.looks[user]; look != nil {
			look.stale.Store(true)
		}
	}
}

// finished is a look that came to its end.
type finished struct {
	user   string
	world  *World // by which it was made
	result Result
	watch  error
	acts   bool       // the look was one that carries plans out
	taken  []recalled // what was to come back
	heard  time.Time  // of the event that asked for it; zero if there was none
}

// dispatch gives waiting users to free workers.
func (l *loop) dispatch() {
	for l.awake() && l.running < l.Workers {
		user, ok := l.queue.next()
		if !ok {
			return
		}
		account, kept := l.world.Account(user)
		if !kept {
			delete(l.heard, user)
		}
		if !kept || !l.rested(user) || l.park(account) {
			l.queue.done(user)
			l.round.seen(user)
			continue
		}
		l.running++
		under := l.dog.begin(account)
		under.heard = l.heard[user]
		delete(l.heard, user)
		look := l.world.Looker(l.Homes)
		look.Files, look.Install = l.settings.Files, l.settings.Install
		look.Patient, look.Clean = l.patient(user), l.cleaned[user] != account
		note := l.settings.Note
		f, act, looked := finished{user: user, world: l.world, taken: l.back(user), heard: under.heard}, l.present(under), l.settings.Looked
		go func() {
			f.watch = l.Watch(account)
			if look.Act = act(account); look.Act != nil {
				// A look that changes nothing brings nothing back, and would have another day to tell of each day.
				f.acts, look.Bring, look.Note = true, byFile(f.taken), note.At(time.Now())
			}
			f.result = look.Look(account)
			if !f.acts && looked != nil {
				looked(f.result)
			}
			select {
			case l.done <- f:
			case <-l.gone:
			}
		}()
	}
}

// present is the settings' Act for a look, which acts only as long as that is not abandoned.
func (l *loop) present(under *look) func(homes.Account) func(Plan) error {
	act, rules := l.settings.Act, l.settings.Brake
	return func(account homes.Account) func(Plan) error {
		if act == nil {
			return nil
		}
		carry := act(account)
		if carry == nil {
			return nil
		}
		return func(p Plan) error {
			if under.stale.Load() {
				return errAbandoned
			}
			if err := l.Memory.Admit(rules, p); err != nil {
				return err
			}
			err := carry(p)
			if !under.heard.IsZero() && len(p.Remove) > 0 && (err == nil || errors.Is(err, ErrUntold)) && l.Removed != nil {
				l.Removed(time.Since(under.heard))
			}
			return err
		}
	}
}
