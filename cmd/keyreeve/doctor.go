package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
)

// errDefeated makes doctor end with statusAttention; it is not an error that is printed.
var errDefeated = errors.New("something defeats enforcement")

// sampled is how many users of the registry sshd is asked about, beside root, the administrators, homes.include and whom its own
// configuration names. One answer takes some 6 ms.
const sampled = 8

func newDoctor(p process, path *string) *cobra.Command {
	var format, way string
	cmd := &cobra.Command{
		Use:   "doctor [USER...]",
		Short: "Say what on this host defeats enforcement, or locks out who should get in",
		Long: "Ask sshd (sshd -T -C) about root, the administrators, the users that are named and a sample of those of the registry; look at its\n" +
			"configuration with all drop-ins, its stack of PAM, the file of answers, other servers, file systems and limits; and say what lets in a\n" +
			"key that nobody registered, or locks out who should get in, each with the line to change. Nothing is changed. No server is asked\n" +
			"but the directory for its time.\n\n" +
			"With --show-config it prints the drop-in for sshd that fits the policy and this host instead.\n\n" +
			"Exit status: 0 nothing of that kind, 2 something defeats enforcement or locks somebody out, 1 an error, or not all could be looked at.",
		RunE: func(cmd *cobra.Command, names []string) error {
			facts, err := examine(cmd.Context(), p, *path, names)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("show-config") {
				return showConfig(p, facts, way)
			}
			return diagnose(p, facts, format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.Flags().StringVar(&way, "show-config", "", "print the drop-in for sshd: auto, homes, both or strong (docs/sshd.md)")
	cmd.Flags().Lookup("show-config").NoOptDefVal = autoWay
	return cmd
}

// autoWay leaves it to the host.
const autoWay = "auto"

func showConfig(p process, facts doctor.Facts, way string) error {
	if way == autoWay {
		way = facts.Way()
	}
	if !slices.Contains([]string{doctor.Homes, doctor.Both, doctor.Strong}, way) {
		return fmt.Errorf("--show-config: %q is not one of auto, homes, both, strong", way)
	}
	if way != doctor.Homes && facts.Config.Answer.Dir == "" {
		return withHint(fmt.Errorf("--show-config: sshd would ask for answers that nobody keeps: answer.dir is empty"), "docs/sshd.md says how it is set up")
	}
	_, err := fmt.Fprint(p.Stdout, facts.DropIn(way))
	return err
}

// diagnosis is what doctor prints.
type diagnosis struct {
	Users    []string         `json:"users"`
	Way      string           `json:"way"`
	Findings []doctor.Finding `json:"findings"`
}

func diagnose(p process, facts doctor.Facts, format string) error {
	d := diagnosis{Users: []string{}, Way: facts.Way(), Findings: doctor.Diagnose(facts)}
	for _, account := range facts.Accounts {
		d.Users = append(d.Users, account.Name)
	}
	if err := printDocument(p, format, d, d.text); err != nil {
		return err
	}
	switch count := d.count(); {
	case count[doctor.Defeats]+count[doctor.LocksOut] > 0:
		return errDefeated
	case count[doctor.Unknown] > 0:
		return fmt.Errorf("%d things could not be looked at", count[doctor.Unknown])
	}
	return nil
}

func (d diagnosis) count() map[doctor.Severity]int {
	count := make(map[doctor.Severity]int)
	for _, finding := range d.Findings {
		count[finding.Severity]++
	}
	return count
}

func (d diagnosis) text(out *bufio.Writer) {
	for _, f := range d.Findings {
		fmt.Fprintf(out, "%-9s  %-18s  %s\n", f.Severity, f.Code, plain.Text(f.Where))
		fmt.Fprintf(out, "  is    %s\n", plain.Text(f.What))
		if f.Do != "" {
			fmt.Fprintf(out, "  want  %s\n", plain.Text(f.Do))
		}
	}
	count := d.count()
	fmt.Fprintf(out, "way       %s (asked about %d users)\n", d.Way, len(d.Users))
	fmt.Fprintf(out, "findings  defeats: %d, locks out: %d, not looked at: %d, notes: %d\n",
		count[doctor.Defeats], count[doctor.LocksOut], count[doctor.Unknown], count[doctor.Note])
}

// examine collects the facts.
func examine(ctx context.Context, p process, path string, names []string) (doctor.Facts, error) {
	g, err := openGated(ctx, p, path)
	if err != nil {
		return doctor.Facts{}, err
	}
	s := sample{config: g.config, known: make(map[string]homes.Account)}
	good := g.gate.Good(g.settings.SourceID)
	if good != nil {
		for u := range good.Snapshot.Users() {
			s.add(homes.Account{Name: u.Name, UID: u.UID, GID: u.GID, Home: u.Home})
		}
	} else {
		local, err := localAccounts()
		if err != nil {
			return doctor.Facts{}, err
		}
		for _, account := range local {
			s.add(account)
		}
	}
	question := doctor.Question{Config: g.config, Root: p.root(), Find: s.find, Homes: s.homes(), Now: time.Now()}
	for _, name := range names {
		account, ok := s.find(name)
		if !ok {
			return doctor.Facts{}, fmt.Errorf("neither the registry nor /etc/passwd knows %q", name)
		}
		question.Accounts = append(question.Accounts, account)
	}
	question.Accounts = append(question.Accounts, s.pick(names)...)
	facts := doctor.Collect(ctx, question)
	facts.NoReading = good == nil && g.trouble == nil
	askClock(ctx, g.config.Registry, &facts)
	if g.trouble != nil {
		for line := range strings.SplitSeq(g.trouble.Error(), "\n") {
			facts.Unread = append(facts.Unread, errors.New(line))
		}
	}
	for _, name := range g.config.Admins {
		if _, ok := s.find(name); !ok {
			facts.Unread = append(facts.Unread, fmt.Errorf("admins: neither the registry nor /etc/passwd knows %q", name))
		}
	}
	return facts, nil
}

// askClock asks the directory for its time, where there is one.
func askClock(ctx context.Context, r config.Registry, facts *doctor.Facts) {
	if r.Source != config.LDAPSource {
		return
	}
	directory, err := newDirectory(r)
	if err == nil {
		facts.Clock, facts.Clocked, err = directory.Clock(ctx)
	}
	if facts.ClockAsked = err == nil; err != nil {
		facts.Unread = append(facts.Unread, fmt.Errorf("ask the directory for its time: %w", err))
	}
}

// sample chooses the accounts that sshd is asked about.
type sample struct {
	config config.Config
	known  map[string]homes.Account
	order  []string
}

func (s *sample) add(account homes.Account) {
	if account.UID >= s.config.Homes.MinUID && account.Check() == nil {
		s.known[account.Name] = account
		s.order = append(s.order, account.Name)
	}
}

func (s *sample) homes() []string {
	var list []string
	for _, account := range s.known {
		list = append(list, account.Home)
	}
	return list
}

// find finds an account, in the registry or in /etc/passwd.
func (s *sample) find(name string) (doctor.Account, bool) {
	account, kept := s.known[name]
	if !kept {
		var err error
		if account, err = lookup(name); err != nil {
			return doctor.Account{}, false
		}
		kept = slices.Contains(s.config.Homes.Include, name)
	}
	return doctor.Account{Account: account, Kept: kept, Glass: name == "root" || slices.Contains(s.config.Admins, name)}, true
}

// pick takes root, the administrators, those who are included, and some of the registry from all over the list.
// Who is picked already is not picked again.
func (s *sample) pick(already []string) []doctor.Account {
	names := slices.Concat(already, []string{"root"}, s.config.Admins, s.config.Homes.Include)
	for i := range min(sampled, len(s.order)) {
		names = append(names, s.order[i*len(s.order)/min(sampled, len(s.order))])
	}
	var list []doctor.Account
	for i, name := range names {
		if account, ok := s.find(name); ok && !slices.Contains(names[:i], name) && i >= len(already) {
			list = append(list, account)
		}
	}
	return list
}
