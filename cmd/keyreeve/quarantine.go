package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
)

func newQuarantine(p process, path *string) *cobra.Command {
	group := newGroup("quarantine", "What files held before they were changed")
	group.AddCommand(newQuarantineList(p, path), &cobra.Command{
		Use:   "show ID",
		Short: "Print a file as it was before a change",
		Long:  "Print what was read of the file, byte for byte. It was written by a user: look at it with care.",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			q, err := openQuarantine(*path)
			if err != nil {
				return err
			}
			c, err := q.Find(args[0])
			if err != nil {
				return err
			}
			_, err = p.Stdout.Write(c.Content)
			return err
		},
	}, &cobra.Command{
		Use:   "restore ID",
		Short: "Bring the keys of a copy back that are registered and accepted now",
		Long: "Bring back, into the file that the copy was made of, those of its keys that the registry and the policy accept now.\n" +
			"Nothing else comes back: a key that was removed rightly has to be registered first.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return restore(cmd.Context(), p, *path, args[0])
		},
	})
	return group
}

func newQuarantineList(p process, path *string) *cobra.Command {
	var user, format string
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the copies, the oldest first",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			q, err := openQuarantine(*path)
			if err != nil {
				return err
			}
			list, err := q.List(user)
			if err != nil {
				return err
			}
			var wanted []enforcer.Copy
			for _, c := range list {
				if since == 0 || time.Since(c.Time) <= since {
					wanted = append(wanted, c)
				}
			}
			return printCopies(p, format, wanted)
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the copies of one `user`")
	cmd.Flags().DurationVar(&since, "since", 0, "the copies of the last `time`, such as 24h")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

func printCopies(p process, format string, list []enforcer.Copy) error {
	switch format {
	case "json":
		for i := range list {
			list[i].Content = nil // show has it
		}
		text, err := json.MarshalIndent(append([]enforcer.Copy{}, list...), "", "  ")
		if err != nil {
			return err
		}
		_, err = p.Stdout.Write(append(plain.JSON(text), '\n'))
		return err
	case "text":
		out := bufio.NewWriter(p.Stdout)
		for _, c := range list {
			fmt.Fprintf(out, "%s  %s  %s\n", c.ID, c.Time.Format(time.RFC3339), plain.Text(c.Path))
			if c.Reason != "" {
				fmt.Fprintf(out, "    the whole file: %s\n", c.Reason)
			}
			for _, line := range c.Lines {
				fmt.Fprintf(out, "    line %d: %s  %s\n", line.Line, line.Reason, line.Fingerprint)
			}
		}
		return out.Flush()
	default:
		return fmt.Errorf("--format: %q is not one of text, json", format)
	}
}

func openQuarantine(path string) (enforcer.Quarantine, error) {
	c, err := loadConfig(path)
	if err != nil {
		return enforcer.Quarantine{}, err
	}
	return quarantineOf(c), nil
}

func quarantineOf(c config.Config) enforcer.Quarantine {
	return enforcer.Quarantine{Dir: filepath.Join(c.StateDir, quarantineDir), Budget: enforcer.DefaultBudget}
}

func restore(ctx context.Context, p process, path, id string) (err error) {
	q, err := openQuarantine(path)
	if err != nil {
		return err
	}
	c, err := q.Find(id)
	if err != nil {
		return err
	}
	one, err := newPass(ctx, path, []string{c.User})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.door.Close()) }()
	hand, trail, err := newEnforcer(one.config, one.door, p.warn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trail.Close()) }()
	read, err := one.sshd.KeyFiles(one.accounts[0]) //nolint:contextcheck // a look has no context, and one question its own bound
	if !slices.Contains(read.Paths, c.Name) {
		return errors.Join(fmt.Errorf("sshd does not read %s for %s: its keys would let nobody in", plain.Text(c.Path), c.User), err, one.doubt)
	}
	file, err := one.door.Read(one.accounts[0], c.Name)
	if err != nil {
		return err
	}
	if file.State != homes.Regular && file.State != homes.Missing {
		return fmt.Errorf("%s is not a file that keys can be added to: %s", c.Path, file.State)
	}
	made, verdicts := enforcer.Restore(enforcer.Input{
		Account: one.accounts[0], Name: c.Name, File: file, Grants: one.world.Grants, Install: one.settings.Install && read.Paths[0] == c.Name,
	}, c)
	for _, d := range verdicts {
		if !d.Granted() {
			fmt.Fprintf(p.Stderr, "keyreeve: line %d stays away: %s: %s\n", d.Line.N, d.Reason, plain.Text(d.Detail))
		}
	}
	if !made.Change {
		return withHint(errors.New("no key of the copy is missing that may come back"),
			"a key comes back when it is registered for %s and the policy accepts it", c.User)
	}
	if err := hand.Apply(made); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "%s: %s\n", plain.Text(made.Path()), made.Summary())
	return err
}
