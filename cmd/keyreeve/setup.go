package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/ldapsource"
	"github.com/keyreeve/keyreeve/policy"
)

// compile makes of a configuration what can be made without touching a home or a server: settings that only report, for this host and its
// sshd. left hears why a server of the registry was left for the next, and with a nil error that it is asked again.
func compile(ctx context.Context, c config.Config, sshd *host.SSHD, left func(server string, err error)) (enforcer.Settings, error) {
	rules, err := compilePolicy(ctx, c.Policy, sshd)
	if err != nil {
		return enforcer.Settings{}, err
	}
	source, err := newSource(c.Registry, left)
	if err != nil {
		return enforcer.Settings{}, err
	}
	return enforcer.Settings{
		Source: source, SourceID: sourceID(c.Registry), Policy: rules,
		Scope:    enforcer.Scope{MinUID: c.Homes.MinUID, Include: c.Homes.Include, Lookup: lookup, Local: localAccounts},
		Install:  c.Homes.Install == config.InstallAll,
		Note:     enforcer.NoteRules{Write: c.Notify.Note, Text: c.Notify.Text, Keep: time.Duration(c.Notify.Keep)},
		Brake:    enforcer.Brake{People: c.Brake.People, Window: c.Brake.Window},
		Hold:     enforcer.Hold{Percent: c.Registry.Hold.Percent, Least: c.Registry.Hold.Least},
		MaxStale: time.Duration(c.Registry.MaxStale), Refuse: c.Registry.Stale == config.Refuse,
		Refresh: c.Registry.Refresh, Sweep: c.Homes.Sweep, FastCheck: c.Homes.FastCheck,
	}, nil
}

// compilePolicy compiles rules for this host and its sshd, with the blocklist that they name.
func compilePolicy(ctx context.Context, rules policy.Rules, sshd *host.SSHD) (*policy.Policy, error) {
	blocklists, err := readBlocklist(rules.Blocklist)
	if err != nil {
		return nil, err
	}
	rules.Host, err = hostOf(ctx, sshd)
	if err != nil && slices.ContainsFunc(rules.Options.Force, func(f policy.Force) bool { return f.Hosts != nil }) {
		return nil, fmt.Errorf("which of policy.options.force is for this host is not known: %w", err)
	}
	compiled, err := policy.Compile(rules, blocklists...)
	if errors.Is(err, policy.ErrSSHD) {
		return nil, withHint(err, "leave the option out of policy.options.force for this host, or install a newer OpenSSH; nothing is changed until then")
	}
	return compiled, err
}

// hostOf is where the policy is to hold. With an error names may be missing.
func hostOf(ctx context.Context, sshd *host.SSHD) (h policy.Host, err error) {
	h.Names, err = host.Names()
	if r, ok := sshd.Release(ctx); ok {
		h.SSHD = authkeys.Version(r)
	}
	return h, err
}

// blocklistBound is far above what badkeys publishes, 60 MB in 2026.
const blocklistBound = 1 << 30

// readBlocklist reads the blocklist that the policy names, if it names one. Without it keys would be granted that nobody wants, so there
// is no policy without it.
func readBlocklist(path string) ([]policy.Blocklist, error) {
	if path == "" {
		return nil, nil
	}
	const hint = "it is the blocklist.dat that \"badkeys --update-bl\" fetches, in a regular file that only root, or the user who runs keyreeve, may write"
	data, err := statefile.Read(path, blocklistBound)
	if err != nil {
		return nil, withHint(fmt.Errorf("policy.blocklist: %w", err), hint)
	}
	list, err := policy.ParseBlocklist(data)
	if err != nil {
		return nil, withHint(fmt.Errorf("policy.blocklist: %s: %w", path, err), hint)
	}
	return []policy.Blocklist{list}, nil
}

func newSource(r config.Registry, left func(server string, err error)) (enforcer.Source, error) {
	if r.Source == config.LDIFSource {
		file := ldapsource.NewLDIF(r.LDIF.Path, r.LDIF.Layout())
		file.Canary = r.Canary
		return file, nil
	}
	directory, err := newDirectory(r)
	if err != nil {
		return nil, err
	}
	directory.Report = left
	return directory, nil
}

func newDirectory(r config.Registry) (*ldapsource.LDAP, error) {
	directory, err := ldapsource.NewLDAP(r.LDAP)
	if err != nil {
		return nil, err
	}
	directory.Canary, directory.Credentials = r.Canary, os.Getenv("CREDENTIALS_DIRECTORY")
	return directory, nil
}

// adviceOn says what to do about a registry that cannot be read, where the reason tells.
func adviceOn(err error) string {
	return map[ldapsource.Fault]string{
		ldapsource.CertificateName:      "registry.ldap must name the server as its certificate does (urls, server_name), or the server needs a certificate whose subjectAltName has that name",
		ldapsource.CertificateAuthority: "registry.ldap.ca_file names the authorities that are believed",
		ldapsource.CertificateTime:      "look at the clock of this host, then at the server's certificate",
		ldapsource.Credential: "a secret is a regular file of root's that not everybody may read; credentials of systemd are there for the service alone " +
			"(systemd-run --pipe -p LoadCredential=NAME:PATH gives them to a command)",
		ldapsource.Refused:  "limits of size are the reader's on the server; paging alone does not lift them everywhere",
		ldapsource.Referred: "registry.ldap.referrals lists the places that hold nobody of the registry",
		ldapsource.Hidden:   "the reader must be allowed to read the key attribute of the entries, and the filter must find them",
		ldapsource.NoCanary: "a replica that is not filled, a filter or an access rule shows so; or the canary was taken out of the registry",
	}[ldapsource.FaultOf(err)]
}

// withAdvice adds adviceOn to an error, where there is some.
func withAdvice(err error) error {
	if advice := adviceOn(err); advice != "" {
		return withHint(err, "%s", advice)
	}
	return err
}

// sourceID is equal for configurations that read the same registry: whose entries those are, and how they are read. By which
// server, as whom and how safely does not matter, or a new certificate in an outage would leave no registry to decide by.
func sourceID(r config.Registry) string {
	if r.Source == config.LDIFSource {
		return fmt.Sprintf("ldif %q %s", r.LDIF.Path, layoutID(r.LDIF.Attributes, r.LDIF.Hosts))
	}
	return fmt.Sprintf("ldap %q %q %s", r.LDAP.Base, r.LDAP.Filter, layoutID(r.LDAP.Schema, r.LDAP.Hosts))
}

// layoutID leaves out Mail, which decides nothing. It names the fields one by one, so that a new version which knows another one reads the
// same registry as before: a field that is added goes to the end, and only where it is set.
func layoutID(s ldapsource.Schema, h ldapsource.Hosts) string {
	id := fmt.Sprintf("{User:%s Key:%s Prefix:%s UID:%s GID:%s Home:%s Locked:%s LockedTime:%s Control:%s ExpiresDays:%s ExpiresTime:%s ExpiresFiletime:%s} "+
		"{Attribute:%s Names:%v}", s.User, s.Key, s.Prefix, s.UID, s.GID, s.Home, s.Locked, s.LockedTime, s.Control, s.ExpiresDays, s.ExpiresTime, s.ExpiresFiletime,
		h.Attribute, h.Names)
	if s.Lower {
		id += " Lower"
	}
	return id
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

// localAccounts lists the accounts of this host (passwd(5)). Lines that are none, such as those of NIS, are passed over.
func localAccounts() ([]homes.Account, error) {
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return nil, err
	}
	var list []homes.Account
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) != 7 || strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-") {
			continue
		}
		uid, uidErr := strconv.Atoi(fields[2])
		gid, gidErr := strconv.Atoi(fields[3])
		if uidErr == nil && gidErr == nil {
			list = append(list, homes.Account{Name: fields[0], UID: uid, GID: gid, Home: fields[5]})
		}
	}
	return list, nil
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
	if err := ready(c.StateDir, quarantine.Dir); err != nil {
		return nil, nil, err
	}
	trail, err := openTrail(c, tell)
	if err != nil {
		return nil, nil, err
	}
	return &enforcer.Enforcer{
		Homes: door, Trail: trail.Write, Quarantine: quarantine, Now: time.Now, Allowance: enforcer.NewAllowance(),
	}, trail, nil
}

// openTrail opens the trail, with its copy to the journal.
func openTrail(c config.Config, tell func(error)) (*audit.Log, error) {
	if err := ready(filepath.Dir(c.Audit.File)); err != nil {
		return nil, err
	}
	trail, err := audit.Open(c.Audit.File)
	if err != nil {
		return nil, err
	}
	trail.CopyTo(audit.JournalSocket, tell)
	return trail, nil
}

// ready makes directories for root alone, one after the other.
func ready(dirs ...string) error {
	for _, dir := range dirs {
		if err := statefile.EnsureDir(dir, 0o700); err != nil {
			return fmt.Errorf("make %s ready: %w", dir, err)
		}
	}
	return nil
}

// openDoor opens the homes; tell is told where "guard: root" cannot be had.
func openDoor(c config.Config, groups func(homes.Account) ([]int, error), tell func(why string)) (*homes.Door, error) {
	door, err := homes.Open(homes.Options{Groups: groups, Guard: c.Homes.Guard == config.GuardRoot, Unguarded: tell})
	if errors.Is(err, homes.ErrRights) {
		return nil, withHint(err, "\"homes.guard: root\" needs the drop-in systemd/keyreeve.service.d/guard-root.conf; \"user\" needs nothing")
	}
	return door, err
}
