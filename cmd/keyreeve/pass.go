package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/registry"
	"github.com/keyreeve/keyreeve/report"
)

// pass is one look at a number of homes.
type pass struct {
	gated
	// progress is where messages go while homes are looked at.
	progress *progress
	// held is the verdict on a reading that the gate holds: the world is that of the last good one then.
	held *enforcer.Verdict
	// unread is why the registry was not read, for who goes on with the last good reading.
	unread error
	// past is a word that counts from the reading on.
	past       *enforcer.Past
	modes      modes
	door       *homes.Door
	exceptions *enforcer.Exceptions
	memory     enforcer.Memory
	world      *enforcer.World
	accounts   []homes.Account
	sshd       *host.SSHD
	// privateDirs are where private keys are looked for; none: nobody looks.
	privateDirs []string
	// at is the moment that is supposed, zero for now, and whatIf what is supposed, if anything is.
	at     time.Time
	whatIf *report.WhatIf
	// doubt is why sshd does not say which files it reads; those that it may read are looked at in spite of it.
	doubt error
}

// newPass reads the configuration and the registry and finds the accounts; no names means all.
func newPass(ctx context.Context, p process, path string, users []string) (*pass, error) {
	told := newProgress(p.Stderr)
	p.Stderr = told
	g, err := openGated(ctx, p, path)
	if err != nil {
		return nil, err
	}
	one, c := &pass{gated: g, progress: told}, g.config
	good := one.gate.Good(one.settings.SourceID) // what is read takes its place
	snapshot, err := one.read(ctx, p)
	if err != nil {
		advice := adviceOn(err)
		if h, ok := errors.AsType[hinted](err); ok {
			advice = h.hint
		}
		return nil, withHint(err, "%s", strings.TrimSuffix(undecided+"; "+advice, "; "))
	}
	if err := one.remember(p, snapshot, good); err != nil {
		return nil, err
	}
	for _, u := range c.Users {
		if _, kept := one.world.Account(u.User); !kept {
			p.warn(fmt.Errorf("users: %q has a mode, but no home that is kept", u.User))
		}
	}
	if one.accounts, err = choose(one.world, users); err != nil {
		return nil, err
	}
	groups := host.NewGroups(func(err error) { p.warn(fmt.Errorf("groups are taken from /etc/group: %w", err)) })
	one.modes = modes{config: one.config, groups: groups}
	if one.door, err = openDoor(c, groups.Of, func(why string) { p.warn(errors.New(why)) }); err != nil {
		return nil, err
	}
	one.sshd = newSSHD(c.Homes.SSHD)
	if _, doubt := one.sshd.Refresh(ctx); doubt != nil {
		one.doubt = withHint(fmt.Errorf("sshd does not say which files it reads: %w", doubt),
			"the two default files and those that its configuration names were looked at; homes.sshd in the configuration says which sshd is asked")
	}
	if unknown := one.modes.doubt(); unknown != nil {
		one.doubt = errors.Join(one.doubt, withHint(fmt.Errorf("groups: %w", unknown),
			"who may be in such a group has the milder mode of those that may be his"))
	}
	return one, nil
}

// read reads the registry and gives what counts: the reading, or the last good one if this one is held.
func (one *pass) read(ctx context.Context, p process) (*registry.Snapshot, error) {
	one.gate.Past = func(past enforcer.Past) error {
		one.past = &past
		return nil
	}
	v, err := one.offer(ctx, p)
	if err != nil || !v.Held {
		return v.Snapshot, err
	}
	one.held = &v
	good := one.gate.Good(one.settings.SourceID)
	if good == nil {
		return nil, fmt.Errorf("%w; the last good one is of another registry", one.heldBack())
	}
	return good.Snapshot, nil
}

// heldBack is an error where a reading is held.
func (one *pass) heldBack() error {
	if one.held == nil {
		return nil
	}
	return withHint(fmt.Errorf("what was read of the registry is held, since it lost too much: %s", one.held.Summary()),
		"\"keyreeve registry fetch\" names who loses something; \"keyreeve registry accept\" lets it through when the daemon or apply holds it")
}

// judge makes the world anew, of its snapshot and of the exceptions as they are now.
func (one *pass) judge() error {
	exceptions, err := one.exceptions.Current()
	if err != nil {
		return err
	}
	snapshot := one.world.Snapshot
	one.world = one.memory.World(snapshot, one.settings.Policy.Evaluate(snapshot, one.now(), exceptions...), one.settings.Scope, one.settings.Brake, one.away())
	return nil
}

// act carries plans out that the brake lets through.
func (one *pass) act(hand *enforcer.Enforcer) func(enforcer.Plan) error {
	return func(p enforcer.Plan) error {
		if err := one.memory.Admit(one.settings.Brake, p); err != nil {
			return err
		}
		return hand.Apply(p)
	}
}

// choose finds the accounts of the named users, or says of each one why it is left alone.
func choose(world *enforcer.World, users []string) ([]homes.Account, error) {
	if len(users) == 0 {
		return world.Accounts(), nil
	}
	why := make(map[string]string)
	for _, s := range world.Skips() {
		why[s.User] = s.Why
	}
	var accounts []homes.Account
	var wrong []error
	for _, name := range users {
		account, ok := world.Account(name)
		switch {
		case ok:
			accounts = append(accounts, account)
		case why[name] != "":
			wrong = append(wrong, fmt.Errorf("the account %q is left alone: %s", name, why[name]))
		default:
			wrong = append(wrong, withHint(fmt.Errorf("the account %q is left alone: the registry does not know it", name),
				"an account that the registry does not know is kept if homes.include names it"))
		}
	}
	return accounts, errors.Join(wrong...)
}

// looker looks at accounts by what the pass knows.
func (one *pass) looker() enforcer.Looker {
	look := one.world.Looker(one.door)
	look.Files, look.Install, look.Server = keyFiles{one.sshd, one.door}.of, one.settings.Install, one.door.Server
	if len(one.privateDirs) > 0 {
		look.Private = enforcer.PrivateKeys(one.door, one.privateDirs)
	}
	look.Note = one.settings.Note.At(one.now())
	return look
}

// searchPrivate has private keys looked for, where the centre wants that.
func (one *pass) searchPrivate() {
	if p := one.config.PrivateKeys; p.Action == config.Report {
		one.privateDirs = p.Dirs
	}
}

// run looks at the accounts and, where act is given and gives one, carries the plans out.
func (one *pass) run(ctx context.Context, act func(homes.Account) func(enforcer.Plan) error) (report.Report, error) {
	snapshot := one.world.Snapshot
	r := report.Report{
		Source: snapshot.Source(), Policy: one.settings.Policy.String(), Users: snapshot.Len(), Keys: snapshot.Keys(),
		Applied: act != nil, Skips: one.world.Skips(), Exceptions: one.world.Exceptions(), Shared: snapshot.Shared(),
		Modes: make(map[string]string, len(one.accounts)), Granted: make(map[string]int, len(one.accounts)),
		Made: time.Now(), Seen: make(map[report.Holding]time.Time, snapshot.Keys()),
		WhatIf: one.whatIf, Soon: report.RefusedSoon(snapshot, one.world.Grants, one.now()), Mail: make(map[string]string),
	}
	r.Host, _ = os.Hostname() // a report without it is still one
	results, err := one.sweep(ctx, act)
	r.Results, r.Departed, r.Brake = results, one.world.Departed(), one.memory.Brakes.State()
	r.PrivateDirs, r.Holders = one.privateDirs, report.Holders(snapshot, results)
	if act == nil && !r.Brake.On() {
		r.Trips = one.memory.Foresee(one.settings.Brake, results, time.Now()).People
	}
	for _, result := range results {
		r.Modes[result.Account.Name] = one.modes.of(result.Account)
		for _, g := range one.world.Grants.For(result.Account.Name) {
			if g.Held == "" {
				r.Granted[result.Account.Name]++
			}
		}
	}
	for _, s := range one.memory.Ledger.Sightings(func(authkeys.Key) bool { return true }) {
		r.Seen[report.Holding{User: s.User, Key: s.Key}] = s.Seen
	}
	if one.held != nil {
		r.Held = one.held.Summary()
	}
	for u := range snapshot.Users() {
		if u.Mail != "" {
			r.Mail[u.Name] = u.Mail
		}
		for _, reject := range u.Rejects {
			r.Rejects = append(r.Rejects, report.Reject{User: u.Name, Reject: reject})
		}
		for _, remark := range u.Remarks {
			r.Remarks = append(r.Remarks, report.Reject{User: u.Name, Reject: remark})
		}
		for _, d := range one.world.Grants.Dropped(u.Name) {
			r.Remarks = append(r.Remarks, report.Reject{User: u.Name, Reject: registry.Reject{Code: string(d.Reason), Origin: d.Origin, Detail: d.Detail}})
		}
		for _, denial := range one.world.Grants.Denied(u.Name) {
			r.Denied = append(r.Denied, report.Denied{User: u.Name, Denial: denial})
		}
	}
	return r, err
}

// sweep looks at the accounts. If the brake trips on the way, those that it held up are looked at once more, with what it holds.
func (one *pass) sweep(ctx context.Context, act func(homes.Account) func(enforcer.Plan) error) (results []enforcer.Result, err error) {
	at := make(map[string]int)
	look := func(accounts []homes.Account) error {
		looker := one.looker()
		looker.Clean = true
		defer one.progress.begin(len(accounts))()
		return looker.Sweep(ctx, accounts, workers, act, func(result enforcer.Result) {
			one.progress.step()
			one.memory.Settle(result)
			if i, again := at[result.Account.Name]; again {
				results[i] = result
				return
			}
			at[result.Account.Name] = len(results)
			results = append(results, result)
		})
	}
	if err := look(one.accounts); err != nil {
		return results, err
	}
	var braked []homes.Account
	for _, result := range results {
		if errors.Is(result.Err, enforcer.ErrBraked) {
			braked = append(braked, result.Account)
		}
	}
	if len(braked) == 0 {
		return results, nil
	}
	if err := one.judge(); err != nil {
		return results, err
	}
	return results, look(braked)
}
