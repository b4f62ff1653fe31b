package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/report"
)

func newPlan(p process, path *string) *cobra.Command {
	var format, output string
	var onlyRegistry bool
	var what supposition
	cmd := &cobra.Command{
		Use:   "plan [USER...]",
		Short: "Say what would be changed in the homes, and change nothing",
		Long: "Read the registry and the homes and say what apply would change.\n\n" +
			"With --policy and --at it is what other rules would change, or what those in force would later, and who would lose a key by\n" +
			"that. apply and the daemon have no such flags.\n\n" +
			"Exit status: 0 nothing to change, 2 changes pending, 1 an error, also where only one account could not be\n" +
			"looked at, or a file that has to be changed cannot be. A FIFO in a file's place, which sshd does not read, is shown\n" +
			"and counts as none of these. With --registry: 0 nothing is wrong, 2 something is, 1 an error.",
		RunE: func(cmd *cobra.Command, users []string) error {
			if onlyRegistry && what.asked() {
				return errors.New("--registry looks at what is registered now: it goes with neither --policy nor --at")
			}
			if onlyRegistry {
				return startRegistry(cmd.Context(), p, *path, format, output, users)
			}
			out, err := newPrintout(p, forms(), format, output)
			if err != nil {
				return err
			}
			return plan(cmd.Context(), p, *path, out, what, users)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json, csv or html")
	cmd.Flags().BoolVar(&onlyRegistry, "registry", false, "say what is wrong with the registry instead, and look at no home")
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this `file`, whole or not at all, instead of stdout")
	what.flags(cmd)
	return cmd
}

func newApply(p process, path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "apply [USER...]",
		Short: "Remove what the registry does not know, once",
		Long: "Read the registry and the homes, change what does not agree, and print what was changed.\n" +
			"The configuration must say \"mode: enforce\", of somebody at least; others are looked at only.\n" +
			"Where a daemon runs it refuses to work: the daemon does the same, and SIGHUP makes it look at every home at once.\n\n" +
			"Exit status: 0 all is in line, 1 an error, also where only one file could not be changed.",
		RunE: func(cmd *cobra.Command, users []string) error {
			return apply(cmd.Context(), p, *path, users)
		},
	}
}

func plan(ctx context.Context, p process, path string, out printout[report.Report], what supposition, users []string) (err error) {
	if err := what.read(time.Now()); err != nil {
		return err
	}
	one, err := newPass(ctx, p, path, users)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.door.Close()) }()
	if err := one.suppose(ctx, what); err != nil {
		return err
	}
	one.searchPrivate()
	p.Stderr = one.progress
	p.warnOf(quarantineOf(one.config))
	if err := one.checkAdmins(ctx, func(homes.Account) string { return config.Enforce }); err != nil {
		p.warn(fmt.Errorf("enforcing for all would not begin: %w", err))
	}
	r, err := one.run(ctx, nil)
	if wrong := out.show(r); wrong != nil {
		return errors.Join(err, fmt.Errorf("print the report: %w", wrong))
	}
	if err != nil {
		return err // it is not of all of them
	}
	return one.verdict(r, true)
}

func apply(ctx context.Context, p process, path string, users []string) (err error) {
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	// Before the registry is read: beside a daemon that has read it later, a key that was registered in between would go, and what is
	// kept of the older reading would take the place of the newer one. Where there is no directory yet nobody else has been here, and
	// none is made for an apply that is refused.
	var alone holding
	defer func() { err = errors.Join(err, alone.end()) }()
	if _, absent := os.Lstat(registryDir(c)); absent == nil {
		if err := alone.begin(c); err != nil {
			return err
		}
	}
	one, err := newPass(ctx, p, path, users)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.door.Close()) }()
	p.Stderr = one.progress
	if err := one.mayChange(path); err != nil {
		return err
	}
	if err := one.checkAdmins(ctx, one.modes.of); err != nil {
		return withHint(err, "nothing was changed; register a key of an administrator and put it into his file, or correct admins in the configuration")
	}
	if err := alone.begin(c); err != nil {
		return err
	}
	hand, trail, err := newEnforcer(one.config, one.door, p.warn)
	if err != nil {
		return err
	}
	one.memory.Hand = hand
	tell, err := one.tellers(p)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), trail.Close())
	}
	if one.memory.Past != nil {
		if err := hand.Expect(one.memory.Brakes, *one.memory.Past); err != nil {
			return errors.Join(err, trail.Close())
		}
	}
	// What is held is kept for "registry accept", and what is not is what the next reading is compared with.
	if err := errors.Join(one.gate.Commit(), one.heldBack()); err != nil {
		return errors.Join(err, trail.Close())
	}
	trimmed := hand.TrimQuarantine()
	r, err := one.run(ctx, one.modes.act(one.telling(tell, one.act(hand))))
	tell.last(ctx, p)
	p.warnOf(hand.Quarantine)
	return errors.Join(trimmed, err, one.memory.Ledger.Save(), report.Text(p.Stdout, r, colored(p.Stdout)), one.verdict(r, false), trail.Close())
}

// verdict turns a report into the end of the program.
func (one *pass) verdict(r report.Report, planned bool) error {
	c := r.Count()
	wrong := []error{one.heldBack(), one.doubt}
	switch {
	case c.Errors > 0 && planned:
		wrong = append(wrong, fmt.Errorf("%d accounts could not be looked at", c.Errors))
	case c.Errors > 0:
		wrong = append(wrong, fmt.Errorf("%d accounts could not be kept in line", c.Errors))
	}
	if r.Brake.On() && !planned {
		wrong = append(wrong, withHint(fmt.Errorf("the brake is on, and holds %d lines whose key is no longer registered", c.Held),
			"\"keyreeve brake status\" names the people; \"keyreeve brake release\" lets their keys go"))
	}
	if c.Pressing > 0 {
		wrong = append(wrong, fmt.Errorf("%d files could be neither decided nor changed", c.Pressing))
	}
	if c.Unkept > 0 {
		wrong = append(wrong, fmt.Errorf("sshd may read %d files that are not kept", c.Unkept))
	}
	err := errors.Join(wrong...)
	if err == nil && planned && c.Pending > 0 {
		return errPending
	}
	return err
}
