package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/keyreeve/keyreeve/report"
)

// registryForms are the formats of plan --registry.
func registryForms() []form[report.Registry] {
	return []form[report.Registry]{
		{"text", report.RegistryText}, {"json", plainly(report.RegistryJSON)}, {"csv", plainly(report.RegistryCSV)}, {"html", plainly(report.RegistryHTML)},
	}
}

// startRegistry checks the arguments of plan --registry.
func startRegistry(ctx context.Context, p process, path, format, output string, users []string) error {
	if len(users) > 0 {
		return errors.New("--registry is about all of the registry, and takes no users")
	}
	out, err := newPrintout(p, registryForms(), format, output)
	if err != nil {
		return err
	}
	return planRegistry(ctx, p, path, out)
}

// planRegistry says what is wrong with the registry; no home is looked at.
func planRegistry(ctx context.Context, p process, path string, out printout[report.Registry]) error {
	g, err := openGated(ctx, p, path)
	if err != nil {
		return err
	}
	one := &pass{gated: g}
	good := one.gate.Good(one.settings.SourceID)
	snapshot, err := one.read(ctx, p)
	if err != nil {
		return withAdvice(err)
	}
	if err := one.remember(p, snapshot, good); err != nil {
		return err
	}
	now := time.Now()
	r := report.Registry{
		Source: snapshot.Source(), Policy: one.settings.Policy.String(), Made: now, Users: snapshot.Len(), Keys: snapshot.Keys(),
		Faults: report.Faults(snapshot, one.world.Grants, now),
	}
	r.Host, _ = os.Hostname() // a report without it is still one
	if one.held != nil {
		r.Held = one.held.Summary()
	}
	if err := out.show(r); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if err := one.heldBack(); err != nil {
		return err
	}
	if len(r.Faults) > 0 {
		return errPending
	}
	return nil
}
