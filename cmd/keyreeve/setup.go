package main

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/ldapsource"
	"github.com/keyreeve/keyreeve/policy"
)

// compile makes of a configuration what can be made without touching a home or a server: settings that only report.
func compile(c config.Config) (enforcer.Settings, error) {
	rules, err := policy.Compile(c.Policy)
	if err != nil {
		return enforcer.Settings{}, err
	}
	source, err := newSource(c.Registry)
	if err != nil {
		return enforcer.Settings{}, err
	}
	return enforcer.Settings{
		Source: source, SourceID: sourceID(c.Registry), Policy: rules,
		Scope:   enforcer.Scope{MinUID: c.Homes.MinUID, Include: c.Homes.Include, Lookup: lookup},
		Install: c.Homes.Install == config.InstallAll,
		Refresh: c.Registry.Refresh, Sweep: c.Homes.Sweep, FastCheck: c.Homes.FastCheck,
	}, nil
}

func newSource(r config.Registry) (enforcer.Source, error) {
	if r.Source == config.LDIFSource {
		return ldapsource.NewLDIF(r.LDIF.Path, r.LDIF.Attributes), nil
	}
	return ldapsource.NewLDAP(r.LDAP)
}

// sourceID is equal for configurations that read the same registry; how often, and with which time limit, does not
// matter.
func sourceID(r config.Registry) string {
	r.LDAP.Timeout, r.LDAP.PageSize = 0, 0
	if r.Source == config.LDIFSource {
		return fmt.Sprintf("ldif %+v", r.LDIF)
	}
	return fmt.Sprintf("ldap %+v", r.LDAP)
}

// lookup finds an account in /etc/passwd: a program that is not linked with the C library sees no other database.
func lookup(name string) (homes.Account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return homes.Account{}, err
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return homes.Account{}, err
	}
	return homes.Account{Name: name, UID: uid, GID: gid, Home: u.HomeDir}, nil
}

// workers is how many homes are looked at side by side: enough to hide the latency of a file server.
const workers = 16

// quarantineDir is below the state directory.
const quarantineDir = "quarantine"

// exceptionsPath is where the policy's exceptions are.
func exceptionsPath(c config.Config) string { return filepath.Join(c.StateDir, "exceptions.json") }

// newEnforcer opens what changes need: the trail and the quarantine. tell hears when the trail is not copied to the journal.
func newEnforcer(c config.Config, door *homes.Door, tell func(error)) (*enforcer.Enforcer, *audit.Log, error) {
	quarantine := quarantineOf(c)
	for _, dir := range []string{filepath.Dir(c.Audit.File), c.StateDir, quarantine.Dir} {
		if err := statefile.EnsureDir(dir, 0o700); err != nil {
			return nil, nil, fmt.Errorf("make %s ready: %w", dir, err)
		}
	}
	trail, err := audit.Open(c.Audit.File)
	if err != nil {
		return nil, nil, err
	}
	trail.CopyTo(audit.JournalSocket, tell)
	return &enforcer.Enforcer{
		Homes: door, Trail: trail.Write, Quarantine: quarantine, Now: time.Now, Allowance: enforcer.NewAllowance(),
	}, trail, nil
}

// openDoor opens the homes; tell is told where "guard: root" cannot be had.
func openDoor(c config.Config, groups func(homes.Account) ([]int, error), tell func(why string)) (*homes.Door, error) {
	door, err := homes.Open(homes.Options{Groups: groups, Guard: c.Homes.Guard == config.GuardRoot, Unguarded: tell})
	if errors.Is(err, homes.ErrRights) {
		return nil, withHint(err, "\"homes.guard: root\" needs the drop-in systemd/keyreeve.service.d/guard-root.conf; \"user\" needs nothing")
	}
	return door, err
}
