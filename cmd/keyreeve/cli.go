package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/plain"
)

// The user interface's rules: stdout is for results alone; errors are lower case, without a period, each on a line of its
// own behind "keyreeve: "; what to do about one stands on the line below it, behind "keyreeve: hint: ".

// defaultConfig is the configuration's path unless --config names another.
const defaultConfig = "/etc/keyreeve/keyreeve.yaml"

// The exit statuses; status has its own. pending is plan's alone, like that of terraform plan -detailed-exitcode; attention is that of brake status, registry, doctor, check-key and explain.
const (
	statusOK        = 0
	statusError     = 1
	statusPending   = 2
	statusAttention = 2
)

// process is the edge of the program: what a test replaces.
type process struct {
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Root is the directory below which doctor finds /etc and /proc; empty for that of the system.
	Root string
}

func (p process) root() string { return cmp.Or(p.Root, "/") }

// say prints a line for people. Errors name what users and the registry have written; a backslash is mostly that of an escape.
func (p process) say(text string) {
	fmt.Fprintf(p.Stderr, "keyreeve: %s\n", strings.ReplaceAll(plain.Text(text), `\\`, `\`))
}

// warn prints an error, each of those that were joined on a line of its own.
func (p process) warn(err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		p.say(line)
	}
}

// errPending makes plan end with statusPending; it is not an error that is printed.
var errPending = errors.New("changes are pending")

// hinted is an error with advice for the person who sees it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// withHint adds advice to an error.
func withHint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// adviceRoot is the advice for whoever lacks a right.
const adviceRoot = "run keyreeve as root"

// unread adds advice to the error of a file that could not be read. Whoever only lacks the right to needs no other file, and must move none away.
func unread(err error, hint string) error {
	if errors.Is(err, fs.ErrPermission) {
		hint = adviceRoot
	}
	return hinted{err, hint}
}

// run is the program; it returns the exit status.
func run(ctx context.Context, p process) int {
	root := newRoot(p) //nolint:contextcheck // cobra hands the context to the command that runs
	root.SetArgs(p.Args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return statusOK
	case errors.Is(err, errPending):
		return statusPending
	case errors.Is(err, errBraked), errors.Is(err, errHeld), errors.Is(err, errDefeated), errors.Is(err, errRefused),
		errors.Is(err, errNobodys), errors.Is(err, errNoLogin):
		return statusAttention
	}
	status := statusError
	if e, ok := errors.AsType[ended](err); ok {
		if status = e.status; e.error == nil {
			return status
		}
	}
	p.warn(err)
	if h, ok := errors.AsType[hinted](err); ok {
		p.say("hint: " + h.hint)
	} else if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		p.say("hint: " + adviceRoot)
	}
	return status
}

func newRoot(p process) *cobra.Command {
	root := &cobra.Command{
		Use:           "keyreeve",
		Short:         "Keep users' authorized_keys in line with the centre's key registry",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	config := root.PersistentFlags().String("config", defaultConfig, "configuration `file`")
	root.AddCommand(newPlan(p, config), newApply(p, config), newDaemon(p, config), newConfig(p, config), newAudit(p, config),
		newQuarantine(p, config), newRegistry(p, config), newBrake(p, config), newDoctor(p, config), newCheckKey(p, config),
		newPolicy(p, config), newExplain(p, config), newStatus(p, config), newReport(p), newVersion(p))
	return root
}

// one asks for one argument by its name in the command's usage.
func one(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return withHint(fmt.Errorf("%q needs one %s, and was given %d", cmd.CommandPath(), name, len(args)),
			"see \"%s --help\"", cmd.CommandPath())
	}
}

// newGroup is a command that has others below it and, alone, tells of them.
func newGroup(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}
