package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/report"
)

// supposition is what "keyreeve plan" is asked to suppose. Nothing of it reaches apply or the daemon.
type supposition struct {
	file, day string // as they were asked for

	rules policy.Rules // of the file
	at    time.Time    // of the day; zero: now
}

func (s *supposition) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.file, "policy", "", "plan by the rules of a `file`: a configuration, of which \"policy\" counts alone, or what stands below that")
	cmd.Flags().StringVar(&s.day, "at", "", "plan as at a later `day`, at whose beginning in UTC, such as 2027-01-31, or moment")
}

// asked reports whether anything is to be supposed.
func (s *supposition) asked() bool { return s.file != "" || s.day != "" }

// read reads what was asked for, before anything else is read.
func (s *supposition) read(now time.Time) (err error) {
	if s.day != "" {
		if s.at, err = parseDay("--at", s.day); err != nil {
			return err
		}
		if s.at.Before(now) {
			return fmt.Errorf("--at: %s is past; what was registered then is not known", s.at.UTC().Format(time.RFC3339))
		}
	}
	if s.file == "" {
		return nil
	}
	data, err := readRules(s.file)
	if err != nil {
		return fmt.Errorf("--policy: %w", err)
	}
	s.rules, err = config.ParsePolicy(s.file, data)
	return err
}

// readRules reads a file whose owner does not matter, since nothing is changed by it.
func readRules(path string) (data []byte, err error) {
	file, err := os.Open(path) //nolint:gosec // an administrator names it
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if data, err = io.ReadAll(io.LimitReader(file, configBound+1)); err == nil && len(data) > configBound {
		err = fmt.Errorf("%s has more than %d bytes", path, configBound)
	}
	return data, err
}

// suppose makes the world anew, by the rules and at the moment that are supposed, and notes whom that concerns.
func (one *pass) suppose(ctx context.Context, s supposition) error {
	if s.file == "" && s.at.IsZero() {
		return nil
	}
	before, inForce := one.world.Grants, one.settings.Policy
	if s.file != "" {
		rules, err := compilePolicy(ctx, s.rules, one.sshd)
		if err != nil {
			return fmt.Errorf("--policy: %s: %w", s.file, err)
		}
		rules.Remember(inForce)
		one.settings.Policy = rules
	}
	one.at = s.at
	if err := one.judge(); err != nil {
		return err
	}
	w := report.NewWhatIf(one.world.Snapshot, before, one.world.Grants, one.accounts)
	w.File, w.At, w.InForce = s.file, s.at, inForce.String()
	one.whatIf = &w
	return nil
}

// now is the moment at which everything is judged.
func (one *pass) now() time.Time {
	if one.at.IsZero() {
		return time.Now()
	}
	return one.at
}
