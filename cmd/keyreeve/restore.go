package main

import (
	"context"
	"errors"
	"fmt"
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
			"in line in that file goes, as by apply; the configuration must say \"mode: enforce\".\n\n" +
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

// restoreTries bounds how often the file is planned again that somebody, such as the daemon, changed in the meantime.
const restoreTries = 5

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
	read, err := keyFiles{one.sshd, one.door}.of(one.accounts[0]) //nolint:contextcheck // a look has no context, and one question its own bound
	if !slices.Contains(read.Paths, c.Name) {
		return errors.Join(fmt.Errorf("sshd does not read %s for %s: its keys would let nobody in", plain.Text(c.Path), c.User), err, one.doubt)
	}
	install := one.settings.Install && read.Paths[0] == c.Name
	if o.on {
		if err := o.except(p, one, hand, c); err != nil {
			return err
		}
	}
	back := o.on // nothing to do is as good: the daemon may have been faster
	one.memory.Hand = hand
	for range restoreTries {
		if err = bringBack(p, one, one.act(hand), c, install, back); !errors.Is(err, homes.ErrChanged) {
			return err
		}
		back = true
	}
	return err
}

// bringBack reads, plans and changes the file of a copy; back says that nothing to do is no error.
func bringBack(p process, one *pass, act func(enforcer.Plan) error, c enforcer.Copy, install, back bool) error {
	if err := one.world.Looker(one.door).SharedHome(one.accounts[0]); err != nil {
		return err
	}
	file, err := one.door.Read(one.accounts[0], c.Name)
	if err != nil {
		return err
	}
	if file.State != homes.Regular && file.State != homes.Missing {
		return fmt.Errorf("%s is not a file that keys can be added to: %s", c.Path, file.State)
	}
	made, verdicts := enforcer.Restore(enforcer.Input{
		Account: one.accounts[0], Name: c.Name, File: file, Grants: one.world.Grants, Install: install,
	}, c)
	if made.Pressing() {
		return fmt.Errorf("%s: %s", made.Path(), made.Unresolved)
	}
	if made.Change {
		if err := act(made); err != nil {
			return err
		}
	}
	for _, d := range verdicts {
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
