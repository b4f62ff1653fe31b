package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
)

// modes knows whose files may be changed. No mode gets below this program: to the enforcer there are accounts with an act and
// accounts without.
type modes struct {
	config config.Config
	groups *host.Groups
	latch  *latch // nil: it is open
}

// of is the mode of an account. It may ask NSS, and remembers what that said.
func (m modes) of(account homes.Account) string {
	return m.config.ModeOf(account.Name, func(group string) (bool, bool) { return m.groups.In(account, group) })
}

// enforce reports whether the files of an account may be changed now.
func (m modes) enforce(account homes.Account) bool {
	return m.of(account) == config.Enforce && m.latch.isOpen()
}

// act gives those accounts the act whose files may be changed.
func (m modes) act(act func(enforcer.Plan) error) func(homes.Account) func(enforcer.Plan) error {
	return func(account homes.Account) func(enforcer.Plan) error {
		if !m.enforce(account) {
			return nil
		}
		return act
	}
}

// doubt says which of the configuration's groups this host does not know.
func (m modes) doubt() error {
	var wrong []error
	for _, g := range m.config.Groups {
		if _, err := m.groups.GID(g.Group); err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

// mayChange is an error where the configuration lets no file of the chosen accounts be changed.
func (one *pass) mayChange(path string) error {
	said := fmt.Errorf("%s says \"mode: %s\", which changes nothing", path, one.config.Mode)
	if one.config.Enforces() {
		if slices.ContainsFunc(one.accounts, func(a homes.Account) bool { return one.modes.of(a) == config.Enforce }) {
			return nil
		}
		said = fmt.Errorf("%s says \"mode: enforce\" of none of these accounts: nothing is changed", path)
	}
	return withHint(said, "look at the output of \"keyreeve plan\", then set \"mode: enforce\", for all, for groups or for users")
}

// rule makes the configured modes count: what is done with the plans of an account is nothing, or they are applied and told of.
func (s *service) rule(ctx context.Context, c config.Config, settings *enforcer.Settings) {
	m := &modes{config: c, groups: s.groups}
	if last := s.modes.Load(); last != nil && last.config.SHA256 == c.SHA256 {
		m.latch = last.latch // nothing begins by reading the same again
	} else {
		if s.unlatch != nil {
			s.unlatch()
		}
		s.metrics.refuse(false)
		ctx, s.unlatch = context.WithCancel(ctx)
		m.latch = s.newLatch(ctx, m, *settings)
	}
	settings.Entered = func(w *enforcer.World) {
		s.world.Store(w)
		if m.latch != nil {
			m.latch.enter(w)
		}
		s.soon.offer(w)
		s.statuses.enter()
	}
	s.modes.Store(m)
	settings.Looked = func(result enforcer.Result) {
		if m.of(result.Account) == config.Warn {
			s.warn(result)
		}
	}
	if err := m.doubt(); err != nil {
		s.log.Error("groups are not known; who may be in one has the milder mode of those that may be his, until they are", zap.Error(err))
	}
	hand, tell := s.hand, s.teller(s.hand.Quarantine)
	settings.Act = m.act(func(p enforcer.Plan) error {
		err := hand.Apply(p)
		if s.strangers != nil && s.strangers.note(p, time.Now()) {
			s.denied.again()
		}
		s.tellers.note(p, err, c.Notify.Text, s.world.Load().Snapshot)
		tell()
		s.metrics.change(p, err, hand.Quarantine.Full())
		return err
	})
}

// warn puts what a look has found into the trail. A failure is told by the metrics too; the next look tries again.
func (s *service) warn(result enforcer.Result) {
	for _, p := range result.Plans {
		if err := s.warner.Warn(p); err != nil {
			s.log.Error("what was found is not in the trail", zap.String("user", result.Account.Name), zap.Error(err))
		}
	}
}
