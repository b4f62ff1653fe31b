package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/explain"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/policy"
)

// collector finds the facts about one user.
type collector struct {
	*pass

	root     string
	question userQuestion
	groups   *host.Groups
	facts    explain.Facts
	// account is what sshd finds, or the registry's where this host knows none.
	account homes.Account
}

func (c *collector) collect(ctx context.Context) explain.Facts {
	q := c.question
	c.facts = explain.Facts{
		User: q.name, Now: time.Now(), Zone: time.Local, From: q.from, Wanted: q.wanted, Key: q.key, //nolint:gosmopolitan // sshd reads expiry-time so
		Judge: func(line authkeys.Line) policy.Verdict { return c.world.Grants.Judge(q.name, line) },
	}
	had := knownOf(c.world, q.name)
	c.facts.Registry, c.account, c.facts.Notes = had.registry, had.account, had.notes
	c.findAccount(ctx)
	if account, kept := c.world.Account(q.name); kept {
		c.facts.Registry.Mode = c.modes.of(account)
	}
	for _, name := range []string{"/run/nologin", "/etc/nologin"} { // pam_nologin(8) asks for both, sshd itself for the second
		if _, err := os.Stat(filepath.Join(c.root, name)); err == nil {
			c.facts.NoLogin = name
		}
	}
	said := c.sshd.AskFrom(ctx, q.from, []string{q.name})
	if len(said) == 0 {
		said = []host.Said{{Err: errors.New("no sshd was asked (homes.sshd)")}}
	}
	for _, s := range said {
		c.facts.Servers = append(c.facts.Servers, c.server(ctx, s))
	}
	c.ownGroups(ctx)
	copies, err := quarantineOf(c.config).List(q.name)
	c.facts.Removed = removed(copies, q.wanted)
	if err != nil {
		c.facts.Notes = append(c.facts.Notes, "not all of the quarantine could be read: "+err.Error())
	}
	return c.facts
}

// known is what a world has of a user.
type known struct {
	registry explain.Registry
	account  homes.Account // the zero Account where it knows none
	notes    []string
}

func knownOf(world *enforcer.World, name string) known {
	var k known
	r, grants := &k.registry, world.Grants
	user, listed := world.Snapshot.User(name)
	if r.Listed = listed; listed {
		r.UID, r.Home, r.Away = user.UID, user.Home, grants.Away(name)
		k.account = homes.Account{Name: name, UID: user.UID, GID: user.GID, Home: user.Home}
	}
	if account, kept := world.Account(name); kept {
		k.account = account
	}
	for _, skip := range world.Skips() {
		if skip.User == name {
			r.LeftAlone = skip.Why
		}
	}
	for _, record := range user.Records {
		if !slices.ContainsFunc(r.Keys, func(had explain.Registered) bool {
			return had.Key == record.Key && had.Options == record.Options.String()
		}) {
			r.Keys = append(r.Keys, explain.Registered{
				Key: record.Key, Label: record.Label, Options: record.Options.String(), Verdict: grants.Judge(name, authkeys.Line{Kind: authkeys.Entry, Key: record.Key}),
			})
		}
	}
	for _, grant := range grants.For(name) {
		at := slices.IndexFunc(r.Keys, func(k explain.Registered) bool { return k.Key == grant.Key })
		if at >= 0 {
			r.Keys[at].Until = grant.Until
			continue
		}
		r.Keys = append(r.Keys, explain.Registered{Key: grant.Key, Label: grant.Label, Options: grant.Options.String(), Verdict: grants.Judge(name, grant.Line()), Until: grant.Until})
	}
	for _, reject := range user.Rejects {
		k.notes = append(k.notes, fmt.Sprintf("a value of his entry in the registry is not used: %s: %s", reject.Code, reject.Detail))
	}
	return k
}

// findAccount asks NSS.
func (c *collector) findAccount(ctx context.Context) {
	unknown := func(what string, err error) {
		c.facts.Unknown = append(c.facts.Unknown, what+": "+err.Error())
	}
	if os.Geteuid() != 0 {
		unknown("what is root's alone to see", errors.New("keyreeve explain USER was not run by root"))
	}
	found, err := host.LookUp(ctx, c.question.name)
	switch {
	case errors.Is(err, host.ErrNoAccount):
		return
	case err != nil:
		unknown("the account", err)
		found.Account = c.account
	}
	account := &explain.Account{Account: found, Own: make(map[int]bool)}
	c.account, c.facts.Account = found.Account, account
	if account.Shut, err = host.LookUpShadow(ctx, c.question.name, c.facts.Now); err != nil {
		unknown("whether the account is locked", err)
	}
	if account.ShellFault, err = shellFault(ctx, found.Shell); err != nil {
		unknown("whether the shell is one", err)
	}
}

// shellPatience is how long a file server may take to say what the shell is.
const shellPatience = 5 * time.Second

// shellFault says why a shell is none (allowed_user in OpenSSH's auth.c). Where the entry of a user leads, a dead file server may be.
func shellFault(ctx context.Context, shell string) (string, error) {
	if shell == "" {
		shell = "/bin/sh"
	}
	ctx, cancel := context.WithTimeout(ctx, shellPatience)
	defer cancel()
	fault := make(chan string, 1)
	go func() {
		info, err := os.Stat(shell)
		switch {
		case err != nil:
			fault <- "the shell is not there: " + err.Error()
		case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
			fault <- "the shell is no program"
		default:
			fault <- ""
		}
	}()
	select {
	case is := <-fault:
		return is, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s: no answer: %w", shell, ctx.Err())
	}
}

// server finds what one sshd finds.
func (c *collector) server(ctx context.Context, said host.Said) explain.Server {
	settings := said.Users[c.question.name]
	s := explain.Server{Config: said.Config, Settings: settings, Err: said.Err}
	var files homes.KeyFiles
	if settings == nil {
		if s.Err == nil {
			s.Err = errors.New("it does not say what it does for him")
		}
		files = host.Expand([]string{".ssh/authorized_keys", ".ssh/authorized_keys2"}, c.account)
	} else {
		s.Err = nil // he was answered for
		files = c.sshd.Expand(ctx, settings, c.account)
		if said.Err != nil {
			c.facts.Notes = append(c.facts.Notes, "sshd's configuration: "+said.Err.Error())
		}
	}
	lenient, err := c.sshd.TrustsOwnGroups(ctx, said.Config)
	if s.TrustsOwnGroups = lenient; err != nil {
		c.facts.Notes = append(c.facts.Notes, "whether a user's own group may write to his key files is not known: "+err.Error())
	}
	for _, line := range said.Lines {
		if line.Keyword == "match" && doctor.ByConnection(strings.Join(line.Values, " ")) && !c.question.from.IsValid() {
			s.Blocks = append(s.Blocks, strings.Join(line.Values, " "))
		}
	}
	c.files(&s, files)
	keys := c.keysOf(s)
	c.command(ctx, &s, keys)
	c.revoked(ctx, &s, keys)
	stack := doctor.Stack(c.root, []host.Said{said})
	s.NoLogin = settings.Text("UsePAM") != "yes" && c.facts.NoLogin == "/etc/nologin" || settings.Text("UsePAM") == "yes" && stack.Asks("account", "pam_nologin")
	if settings.Text("UsePAM") == "yes" {
		for _, err := range stack.Unread {
			c.facts.Notes = append(c.facts.Notes, err.Error())
		}
		s.Gate = stack.GateOf(c.account)
		s.Granted, s.GateErr = c.gate(s.Gate)
	}
	if settings.Has("AllowGroups") || settings.Has("DenyGroups") {
		c.groupNames(ctx)
	}
	return s
}

// files looks at the key files, those too that keyreeve does not keep.
func (c *collector) files(s *explain.Server, files homes.KeyFiles) {
	if c.account.Name == "" {
		return // nobody knows where they would be
	}
	files, err := c.door.Glob(c.account, files)
	if err != nil {
		s.Unkept = append(s.Unkept, homes.Unkept{Path: strings.Join(files.Patterns, " "), Why: err.Error()})
	}
	for _, u := range files.Unkept {
		if path.IsAbs(u.Path) && !strings.ContainsAny(u.Path, "%"+homes.GlobCharacters) && homes.CheckPath(u.Path) == nil {
			files.Paths = append(files.Paths, u.Path)
			continue
		}
		s.Unkept = append(s.Unkept, u)
	}
	for _, name := range files.Paths {
		sight, err := c.door.Sight(c.account, name)
		s.Files = append(s.Files, explain.File{Name: name, Sight: sight, Err: err})
	}
}
