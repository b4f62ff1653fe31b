package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

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
	return group
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
