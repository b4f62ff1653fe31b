package main

import (
	"errors"

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
}

// of is the mode of an account. It may ask NSS, and remembers what that said.
func (m modes) of(account homes.Account) string {
	return m.config.ModeOf(account.Name, func(group string) (bool, bool) { return m.groups.In(account, group) })
}

// act gives those accounts the act whose mode is enforce.
func (m modes) act(act func(enforcer.Plan) error) func(homes.Account) func(enforcer.Plan) error {
	return func(account homes.Account) func(enforcer.Plan) error {
		if m.of(account) != config.Enforce {
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
