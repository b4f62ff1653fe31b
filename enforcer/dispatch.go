package enforcer

import (
	"errors"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// errAbandoned ends a look whose world is no longer the current one, before it acts by it.
var errAbandoned = errors.New("the registry or the rules changed during the look")

// finished is a look that came to its end.
type finished struct {
	user   string
	world  *World // by which it was made
	result Result
	watch  error
	acts   bool       // the look was one that carries plans out
	taken  []recalled // what was to come back
}

// dispatch gives waiting users to free workers.
func (l *loop) dispatch() {
	for l.awake() && l.running < l.Workers {
		user, ok := l.queue.next()
		if !ok {
			return
		}
		account, kept := l.world.Account(user)
		if !kept || !l.rested(user) || l.dog.park(account) {
			l.queue.done(user)
			continue
		}
		l.running++
		l.dog.begin(account)
		look := l.world.Looker(l.Homes)
		look.Files, look.Install = l.settings.Files, l.settings.Install
		look.Patient, look.Clean = l.patient(user), l.cleaned[user] != account
		f, act, looked := finished{user: user, world: l.world, taken: l.back(user)}, l.present(), l.settings.Looked
		go func() {
			f.watch = l.Watch(account)
			if look.Act = act(account); look.Act != nil {
				f.acts, look.Bring = true, byFile(f.taken) // a look that changes nothing brings nothing back
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

// present is the settings' Act, of which each acts only as long as the present world is the present one.
func (l *loop) present() func(homes.Account) func(Plan) error {
	act, rules, epoch := l.settings.Act, l.settings.Brake, l.epoch.Load()
	return func(account homes.Account) func(Plan) error {
		if act == nil {
			return nil
		}
		carry := act(account)
		if carry == nil {
			return nil
		}
		return func(p Plan) error {
			if l.epoch.Load() != epoch {
				return errAbandoned
			}
			if err := l.Memory.Admit(rules, p); err != nil {
				return err
			}
			return carry(p)
		}
	}
}
