package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
)

func newRestore(p process, path *string) *cobra.Command {
	var o override
	cmd := &cobra.Command{
		Use:   "restore ID",
		Short: "Bring the keys of a copy back that are registered and accepted now",
		Long: "Bring back, into the file that the copy was made of, those of its keys that the registry and the policy accept now.\n" +
			"Nothing else comes back: a key that was removed rightly has to be registered first, or needs an exception. What is not\n" +
			"in line in the user's files goes, as by apply; the configuration must say \"mode: enforce\".\n\n" +
			"With --override an exception is made: the user may use the key until the given day, whatever registry and policy\n" +
			"say of it, and every report shows who answers for that. \"keyreeve quarantine revoke\" ends it earlier.",
		Args: one("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			return restore(cmd.Context(), p, *path, args[0], o)
		},
	}
	o.flags(cmd)
	return cmd
}

func restore(ctx context.Context, p process, path, id string, o override) (err error) {
	q, err := openQuarantine(path)
	if err != nil {
		return err
	}
	c, err := q.Find(id)
	if err != nil {
		return err
	}
	one, err := newPass(ctx, p, path, []string{c.User})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.door.Close()) }()
	if now := one.accounts[0]; now.UID != c.UID {
		return fmt.Errorf("the copy %s is of an account %s with uid %d: that name is uid %d's now, and may be another person's", c.ID, plain.Text(c.User), c.UID, now.UID)
	}
	if err := one.mayChange(path); err != nil {
		return err
	}
	if err := one.heldBack(); err != nil {
		p.warn(fmt.Errorf("the last good reading counts: %w", err))
	}
	hand, trail, err := newEnforcer(one.config, one.door, p.warn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trail.Close()) }()
	read, err := one.looker().Files(one.accounts[0])
	if !slices.Contains(read.Paths, c.Name) {
		return errors.Join(fmt.Errorf("sshd does not read %s for %s: its keys would let nobody in", plain.Text(c.Path), c.User), err, one.doubt)
	}
	first, err := one.bring(ctx, c, nil) // an exception for a file that can take no key would stay behind
	if first.Name != "" {
		err = takesKeys(first)
	}
	if err != nil {
		return err
	}
	if o.on {
		if err := o.except(p, one, hand, c); err != nil {
			return err
		}
	}
	one.memory.Hand = hand
	made, err := one.bring(ctx, c, one.act(hand))
	switch {
	case made.Name == "", made.Change && !made.Done:
		return err
	case made.Pressing():
		return errors.Join(err, takesKeys(made))
	}
	return errors.Join(err, tellRestored(p, one, c, made, o.on || first.Change))
}

// takesKeys is an error for a file into which nothing comes back.
func takesKeys(p enforcer.Plan) error {
	switch {
	case p.State != homes.Regular && p.State != homes.Missing:
		return fmt.Errorf("%s is not a file that keys can be added to: %s", p.Path(), p.State)
	case p.Pressing():
		return fmt.Errorf("%s: %s", p.Path(), p.Unresolved)
	}
	return nil
}

// bring looks at the files of a copy's user, carries the plans out where act is given, and returns the plan of the copy's file.
func (one *pass) bring(ctx context.Context, c enforcer.Copy, act func(enforcer.Plan) error) (enforcer.Plan, error) {
	var result enforcer.Result
	err := one.looker().Restoring(c).Sweep(ctx, one.accounts, 1, func(homes.Account) func(enforcer.Plan) error { return act },
		func(r enforcer.Result) { result = r })
	err = errors.Join(err, result.Err)
	for _, p := range slices.Backward(result.Plans) {
		if p.Name == c.Name || p.Renew && filepath.Dir(p.Path()) == filepath.Dir(c.Path) {
			return p, err
		}
	}
	if err == nil {
		err = fmt.Errorf("%s cannot be changed: %s has no home", c.Path, c.User)
	}
	return enforcer.Plan{}, err
}

// tellRestored says what came back and what did not; back says that nothing to do is no error: the daemon may have been faster.
func tellRestored(p process, one *pass, c enforcer.Copy, made enforcer.Plan, back bool) (err error) {
	for _, d := range c.Judge(one.world.Grants) {
		if !d.Granted() {
			fmt.Fprintf(p.Stderr, "keyreeve: line %d stays away: %s: %s\n", d.Line.N, d.Reason, plain.Text(d.Detail))
		}
	}
	switch {
	case made.Change:
		_, err = fmt.Fprintf(p.Stdout, "%s: %s\n", plain.Text(made.Path()), made.Summary())
	case back:
		_, err = fmt.Fprintf(p.Stdout, "%s: its keys are there already\n", plain.Text(made.Path()))
	default:
		err = withHint(errors.New("no key of the copy is missing that may come back"),
			"a key comes back when it is registered for %s and the policy accepts it; --override makes an exception", c.User)
	}
	return err
}

func newRevoke(p process, path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke EXCEPTION",
		Short: "End an exception that restore --override made",
		Long: "End an exception now. Reports show its identifier. The daemon takes the key away as soon as it sees that;\n" +
			"without a daemon \"keyreeve apply\" does.",
		Args: one("EXCEPTION"),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			c, err := loadConfig(*path)
			if err != nil {
				return err
			}
			exceptions, err := enforcer.OpenExceptions(exceptionsPath(c))
			if err != nil {
				return err
			}
			hand, trail, err := newEnforcer(c, nil, p.warn)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, trail.Close()) }()
			ended, err := hand.Revoke(exceptions, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.Stdout, "exception %s: ended; %s may no longer use %s\n", ended.ID, plain.Text(ended.User), ended.Key.Fingerprint())
			return err
		},
	}
}
