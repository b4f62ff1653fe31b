package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/policy"
)

// override is what an administrator says of an exception.
type override struct {
	on                   bool
	owner, reason, until string
	lines                []int
}

func (o *override) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.on, "override", false, "let a refused key in as an exception")
	cmd.Flags().StringVar(&o.reason, "reason", "", "`why` the exception is made")
	cmd.Flags().StringVar(&o.until, "until", "", "the last `day` of the exception, such as 2027-01-31 (UTC), at most a year away")
	cmd.Flags().StringVar(&o.owner, "owner", "", "`who` answers for it (default: who runs this)")
	cmd.Flags().IntSliceVar(&o.lines, "line", nil, "the `line` of the copy that is meant, if several keys are refused")
}

// check finds what cobra does not.
func (o *override) check(cmd *cobra.Command) error {
	for _, name := range []string{"reason", "until", "owner", "line"} {
		if !o.on && cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s belongs to --override", name)
		}
	}
	if o.on && (o.reason == "" || o.until == "") {
		return errors.New("--override needs --reason and --until")
	}
	if o.on && o.owner == "" {
		var err error
		o.owner, err = caller()
		return err
	}
	return nil
}

// caller is the login name of who runs this: behind sudo(8), the person who did.
func caller() (string, error) {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("find out who runs this: %w", err)
	}
	return u.Username, nil
}

// except makes the exceptions for the refused keys of a copy that are meant, and judges the world by them.
func (o *override) except(p process, one *pass, hand *enforcer.Enforcer, c enforcer.Copy) error {
	until, err := parseUntil(o.until)
	if err != nil {
		return err
	}
	// Without exceptions: one for the same key is to be made anew, with another end.
	grants := one.settings.Policy.Evaluate(one.world.Snapshot, hand.Now())
	chosen, err := o.choose(c.Judge(grants))
	if err != nil {
		return err
	}
	made, wrong := o.make(one, chosen, policy.Exception{
		User: c.User, Owner: o.owner, Reason: o.reason, Until: until, Copy: c.ID,
	}, hand.Now())
	switch {
	case len(made) == 0 || len(o.lines) > 0 && wrong != nil:
		return wrong
	case len(made) > 1 && len(o.lines) == 0:
		var list []error
		for _, m := range made {
			list = append(list, fmt.Errorf("line %d: %s %s", m.line, m.Refused, m.Key.Fingerprint()))
		}
		return withHint(errors.Join(append([]error{errors.New("the copy has several keys that are refused")}, list...)...),
			"say by --line N which of them the exception is for")
	}
	list := make([]enforcer.Excepted, len(made))
	for i, m := range made {
		list[i] = m.Excepted
	}
	if err := hand.Except(one.exceptions, list); err != nil {
		return err
	}
	for _, m := range made {
		fmt.Fprintf(p.Stdout, "exception %s: %s may use %s until %s; owner %s: %s\n", m.ID, plain.Text(m.User), m.Key.Fingerprint(),
			m.Until.Format(time.RFC3339), plain.Text(m.Owner), plain.Text(m.Reason))
	}
	return one.judge()
}

// choose finds the refused key lines that --line names; all of them without it.
func (o *override) choose(verdicts []enforcer.Decision) ([]enforcer.Decision, error) {
	var chosen []enforcer.Decision
	for _, d := range verdicts {
		if d.Granted() || len(o.lines) > 0 && !slices.Contains(o.lines, d.Line.N) {
			continue
		}
		chosen = append(chosen, d)
	}
	for _, n := range o.lines {
		if !slices.ContainsFunc(chosen, func(d enforcer.Decision) bool { return d.Line.N == n }) {
			return nil, fmt.Errorf("line %d of the copy holds no key that is refused", n)
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("no key of the copy is refused")
	}
	return chosen, nil
}

// madeException is one that may be made for a line.
type madeException struct {
	enforcer.Excepted
	line int
}

// make makes the exceptions that may be, and says of the other lines why there is none. Lines that say the same are one.
func (o *override) make(one *pass, lines []enforcer.Decision, like policy.Exception, now time.Time) (made []madeException, wrong error) {
	if away := one.world.Grants.Away(like.User); away.Reason != "" {
		return nil, fmt.Errorf("there is no exception for %s: %s", like.User, away.Detail)
	}
	var list []error
	for _, d := range lines {
		e := like
		e.ID, e.Key, e.Options, e.Comment = rand.Text(), d.Line.Key, d.Line.Options, d.Line.Comment
		err := d.Line.Err
		if err == nil { // the line is a key line
			e, err = one.settings.Policy.NewException(e, now)
		}
		if err != nil {
			list = append(list, fmt.Errorf("line %d: %w", d.Line.N, err))
			continue
		}
		same := func(m madeException) bool { return m.Key == e.Key && m.Options == e.Options }
		if !slices.ContainsFunc(made, same) {
			made = append(made, madeException{enforcer.Excepted{Exception: e, UID: one.accounts[0].UID, Refused: d.Reason}, d.Line.N})
		}
	}
	return made, errors.Join(list...)
}

// parseUntil reads a day, which counts to its end, or a moment.
func parseUntil(text string) (time.Time, error) {
	at, err := parseDay("--until", text)
	if len(text) == len(time.DateOnly) {
		at = at.AddDate(0, 0, 1).Add(-time.Second)
	}
	return at, err
}

// parseDay reads a day, which stands for its beginning in UTC, or a moment. flag is its name in the error.
func parseDay(flag, text string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %q is neither a day such as 2027-01-31 nor a moment such as 2027-01-31T12:00:00Z", flag, text)
	}
	return moment, nil
}
