package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/audit"
)

func newAudit(p process, path *string) *cobra.Command {
	group := newGroup("audit", "The audit trail")
	group.AddCommand(&cobra.Command{
		Use:   "verify [FILE...]",
		Short: "Say whether the audit trail is whole",
		Long: "Check that each record of the trail follows the one before it, and say which one does not.\n" +
			"The files are given from the oldest to the newest, compressed by gzip or not; without any, it is the\n" +
			"configured trail with what logrotate has made of it.",
		RunE: func(_ *cobra.Command, files []string) error {
			if len(files) == 0 {
				c, err := loadConfig(*path)
				if err != nil {
					return err
				}
				if files, err = audit.Files(c.Audit.File); err != nil {
					return fmt.Errorf("find the audit trail: %w", err)
				}
			}
			return verifyTrail(p, files)
		},
	})
	group.AddCommand(newRefused(p, path))
	return group
}

// newRefused is how keyreeve-keys, which knows neither the configuration nor the trail, has the sessions recorded that it refused.
func newRefused(p process, path *string) *cobra.Command {
	var user, address, reason, message, key string
	cmd := &cobra.Command{
		Use:    "refused",
		Short:  "Record a session that keyreeve-keys refused",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(*cobra.Command, []string) (err error) {
			c, err := loadConfig(*path)
			if err != nil {
				return err
			}
			now := time.Now()
			counted, wanted, err := countRefusal(c, user, now)
			if err != nil {
				p.warn(fmt.Errorf("count the refused sessions: %w", err))
			}
			if !wanted {
				return nil
			}
			if counted.missed > 0 {
				message += fmt.Sprintf(" (%d more of this user's were not recorded before it)", counted.missed)
			}
			trail, err := openTrail(c, p.warn)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, trail.Close()) }()
			record := audit.Record{
				Time: now, ID: rand.Text(), Action: audit.RefuseSession, Outcome: audit.Success, User: user, UID: -1, Reason: reason, Message: message, Source: address,
			}
			if line, err := authkeys.ParseValue([]byte(key)); err == nil {
				record.Key = line.Key
			}
			if err := trail.Write(record); err != nil {
				return err
			}
			if err := counted.recorded(); err != nil {
				p.warn(fmt.Errorf("count the refused sessions: %w", err))
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&user, "user", "", "whose session it was to be")
	flags.StringVar(&address, "address", "", "where the login came from")
	flags.StringVar(&reason, "reason", "", "the code of the reason")
	flags.StringVar(&message, "message", "", "the reason, for people")
	flags.StringVar(&key, "key", "", "the key, its type and base64")
	return cmd
}

func verifyTrail(p process, files []string) error {
	var v audit.Verifier
	for _, name := range files {
		if err := verifyFile(&v, name); err != nil {
			return fmt.Errorf("verify the audit trail: %w", err)
		}
	}
	c := v.End()
	if c.Records == 0 {
		if c.Torn > 0 {
			return fmt.Errorf("verify the audit trail: %s: no line of it is a record", strings.Join(files, ", "))
		}
		_, err := fmt.Fprintln(p.Stdout, "the trail has no record yet")
		return err
	}
	_, err := fmt.Fprintf(p.Stdout, "the trail is whole: %d records, numbers %d to %d, %d lines cut off by a crash\n",
		c.Records, c.First, c.Last, c.Torn)
	return err
}

func verifyFile(v *audit.Verifier, name string) (err error) {
	file, err := audit.OpenFile(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return v.Verify(name, file)
}
