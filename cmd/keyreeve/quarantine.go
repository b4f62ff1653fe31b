package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
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
	}, newRestore(p, path), newRevoke(p, path))
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
