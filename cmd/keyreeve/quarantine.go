package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
)

func newQuarantine(p process, path *string) *cobra.Command {
	group := newGroup("quarantine", "What files held before they were changed")
	group.AddCommand(newQuarantineList(p, path), newQuarantineShow(p, path), newRestore(p, path), newRevoke(p, path))
	return group
}

func newQuarantineShow(p process, path *string) *cobra.Command {
	var line int
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Print a file as it was before a change",
		Long: "Print what was read of the file, byte for byte. A user wrote it: on a terminal, which he could drive by that, what is not\n" +
			"printable ASCII is escaped.\n" +
			"If the file had more than was read, that is said on stderr.",
		Args: one("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := openQuarantine(*path)
			if err != nil {
				return err
			}
			c, err := q.Find(args[0])
			if err != nil {
				return err
			}
			if n := c.Missing; n > 0 {
				fmt.Fprintf(p.Stderr, "keyreeve: the file had %d bytes; the copy has the first %d of them\n", c.Version.Size, len(c.Content))
			}
			if !cmd.Flags().Changed("line") {
				_, err = p.Stdout.Write(harmless(p.Stdout, c.Content))
				return err
			}
			text, found := c.Line(line)
			if !found {
				return fmt.Errorf("the copy has no line %d", line)
			}
			_, err = p.Stdout.Write(harmless(p.Stdout, append(text, '\n')))
			return err
		},
	}
	cmd.Flags().IntVar(&line, "line", 0, "print only the `line` of this number")
	return cmd
}

// harmless is what somebody else wrote, as it may be printed: with its bytes, but on a terminal.
func harmless(out io.Writer, text []byte) []byte {
	if !isTerminal(out) {
		return text
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		lines[i] = plain.Text(line)
	}
	return []byte(strings.Join(lines, "\n"))
}

func newQuarantineList(p process, path *string) *cobra.Command {
	var user, format, since string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the copies, the oldest first",
		Long: "List the copies, the oldest first: the identifier, the time of the change and the file, then what the file was and the\n" +
			"lines that went, with their reasons. No copy, no output.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			q, err := openQuarantine(*path)
			if err != nil {
				return err
			}
			from, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			list, wrong := q.List(user)
			list = slices.DeleteFunc(list, func(c enforcer.Copy) bool { return c.Time.Before(from) })
			return errors.Join(printCopies(p, format, list), wrong)
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the copies of one `user`")
	cmd.Flags().StringVar(&since, "since", "", "the copies since a `time`: 24h, 30d, 2026-11-01 (UTC) or 2026-11-01T12:00:00Z")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

func printCopies(p process, format string, list []enforcer.Copy) error {
	switch format {
	case "json":
		text, err := json.MarshalIndent(append([]enforcer.Copy{}, list...), "", "  ")
		if err != nil {
			return err
		}
		_, err = p.Stdout.Write(append(plain.JSON(text), '\n'))
		return err
	case "text":
		out := bufio.NewWriter(p.Stdout)
		for _, c := range list {
			textCopy(out, c)
		}
		return out.Flush()
	default:
		return fmt.Errorf("--format: %q is not one of text, json", format)
	}
}

// textCopy prints what is known of a copy, but not its content.
func textCopy(out *bufio.Writer, c enforcer.Copy) {
	fmt.Fprintf(out, "%s  %s  %s\n", c.ID, c.Time.Format(time.RFC3339), plain.Text(c.Path))
	if v := c.Version; v != (homes.Stamp{}) {
		fmt.Fprintf(out, "    %s of uid %d: %s, %d bytes, mode %s, uid %d, inode %d on device %d, changed %s\n",
			plain.Text(c.User), c.UID, plain.Text(c.State), v.Size, plain.Text(v.Mode), v.UID, v.Inode, v.Device, v.CTime.Format(time.RFC3339Nano))
	}
	if n := c.Missing; n > 0 {
		fmt.Fprintf(out, "    the last %d bytes were not read, and are not in the copy\n", n)
	}
	if c.Reason != "" {
		fmt.Fprintf(out, "    the whole file: %s: %s\n", plain.Text(string(c.Reason)), plain.Text(c.Detail))
	}
	for _, line := range c.Lines {
		fmt.Fprintf(out, "    line %d: %s  %s\n", line.Line, plain.Text(string(line.Reason)), plain.Text(line.Fingerprint))
		if line.Detail != "" {
			fmt.Fprintf(out, "        %s\n", plain.Text(line.Detail))
		}
	}
}

// parseSince reads a moment, or how long ago it was; the zero time for nothing.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	var age config.Age
	if err := age.UnmarshalText([]byte(text)); err != nil {
		return time.Time{}, fmt.Errorf("--since: %q is neither a time such as 24h or 30d nor a day such as 2026-11-01", text)
	}
	return now.Add(-time.Duration(age)), nil
}

func openQuarantine(path string) (*enforcer.Quarantine, error) {
	c, err := loadConfig(path)
	return quarantineOf(c), err
}

func quarantineOf(c config.Config) *enforcer.Quarantine {
	return &enforcer.Quarantine{
		Dir: filepath.Join(c.StateDir, quarantineDir), Budget: enforcer.DefaultBudget, MaxSize: int64(c.QuarantineMaxSize),
		MaxAge: time.Duration(c.QuarantineMaxAge), RemoveIfFull: c.QuarantineFull == config.Remove,
	}
}
