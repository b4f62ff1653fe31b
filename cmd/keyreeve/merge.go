package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/report"
)

func newReport(p process) *cobra.Command {
	group := newGroup("report", "What to make of reports")
	group.AddCommand(newReportMerge(p))
	return group
}

// fleetForms are the formats of report merge.
func fleetForms() []form[*report.Fleet] {
	return []form[*report.Fleet]{{"text", report.FleetText}, {"json", plainly(report.FleetJSON)}, {"csv", plainly(report.FleetCSV)}, {"html", plainly(report.FleetHTML)}}
}

func newReportMerge(p process) *cobra.Command {
	var format, output string
	cmd := &cobra.Command{
		Use:   "merge FILE...",
		Short: "Put the JSON reports of many hosts side by side",
		Long: "Read what \"keyreeve plan --format json\" has printed on several hosts and make one report of it. A key of a user counts\n" +
			"once, on however many hosts his files have it; keys that go on one host and stay on another are told.\n\n" +
			"One file that is no whole report, or two of one host, and nothing is printed: exit status 1.",
		RunE: func(_ *cobra.Command, files []string) error {
			if len(files) == 0 {
				return withHint(errors.New("\"keyreeve report merge\" needs reports, and was given none"), "make them by \"keyreeve plan --format json -o FILE\"")
			}
			out, err := newPrintout(p, fleetForms(), format, output)
			if err != nil {
				return err
			}
			return merge(out, files)
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json, csv or html")
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this `file`, whole or not at all, instead of stdout")
	return cmd
}

func merge(out printout[*report.Fleet], files []string) error {
	fleet := report.NewFleet()
	for _, path := range files {
		if err := addReport(fleet, path); err != nil {
			return fmt.Errorf("read the report %s: %w", path, err)
		}
	}
	if err := out.show(fleet); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

func addReport(fleet *report.Fleet, path string) (err error) {
	file, err := os.Open(path) //nolint:gosec // a path of the command line, which may be a pipe
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return fleet.Add(file)
}
