package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/plain"
)

func newBrake(p process, path *string) *cobra.Command {
	group := newGroup("brake", "The brake on the removal of registered keys")
	group.AddCommand(newBrakeStatus(p, path), newBrakeRelease(p, path))
	return group
}

// errBraked makes brake status end with statusAttention; it is not an error that is printed.
var errBraked = errors.New("the brake is on")

func newBrakeStatus(p process, path *string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether the brake is on, who tripped it, and what it holds",
		Long: "The brake is on when more people than \"brake.people\" have lost a key within \"brake.window\" that the registry had\n" +
			"listed for them until then. Such keys then stay in their files until it is released. Keys that were never registered to\n" +
			"their user go all the same.\n\n" +
			"Exit status: 0 the brake is off, 2 it is on, 1 an error.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			show, ok := map[string]func(braking, process) error{"text": braking.text, "json": braking.json}[format]
			if !ok {
				return fmt.Errorf("--format: %q is not one of text, json", format)
			}
			b, err := openBraking(*path)
			if err != nil {
				return err
			}
			if err := show(b, p); err != nil {
				return fmt.Errorf("print the state of the brake: %w", err)
			}
			if b.state.On() {
				return errBraked
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// braking is what is known of the brake.
type braking struct {
	config config.Config
	memory enforcer.Memory
	rules  enforcer.Brake
	state  enforcer.BrakeState
	held   []enforcer.Loss
}

func openBraking(path string) (braking, error) {
	c, err := loadConfig(path)
	if err != nil {
		return braking{}, err
	}
	b := braking{config: c, rules: enforcer.Brake{People: c.Brake.People, Window: c.Brake.Window}}
	if b.memory, err = openMemory(c, nil); err != nil {
		return braking{}, err
	}
	b.state = b.memory.Brakes.State()
	b.held = b.rules.Holds(b.state, b.memory.Ledger.AllLosses(), time.Now())
	slices.SortStableFunc(b.held, func(a, c enforcer.Loss) int { return strings.Compare(a.User, c.User) })
	return b, nil
}

// people are those whose keys are held, or else those who are counted.
func (b braking) people() []string {
	if b.state.On() {
		return b.state.People
	}
	var list []string
	for _, user := range slices.Sorted(maps.Keys(b.state.Counted)) {
		if time.Since(b.state.Counted[user]).Abs() <= b.rules.Window {
			list = append(list, user)
		}
	}
	return list
}

func (b braking) text(p process) error {
	people := b.people()
	names := make([]string, len(people))
	for i, user := range people {
		names[i] = plain.Text(user)
	}
	if !b.state.On() {
		fmt.Fprintf(p.Stdout, "brake    off: %d of at most %d people have lost a registered key within %v\n", len(people), b.rules.People, b.rules.Window)
	} else {
		fmt.Fprintf(p.Stdout, "brake    on since %s: %d people have lost a registered key\n", b.state.Tripped.Format(time.RFC3339), len(people))
	}
	if len(people) > 0 {
		fmt.Fprintf(p.Stdout, "people   %s\n", strings.Join(names, ", "))
	}
	if b.state.On() {
		fmt.Fprintf(p.Stdout, "held     %d keys\n", len(b.held))
	}
	for _, loss := range b.held {
		fmt.Fprintf(p.Stdout, "  %s  %s  no longer registered since %s\n", plain.Text(loss.User), loss.Key.Fingerprint(), loss.Since.Format(time.RFC3339))
	}
	return nil
}

type jsonBrake struct {
	On     bool           `json:"on"`
	Since  *time.Time     `json:"since,omitempty"`
	People []string       `json:"people"` // who tripped it, or are counted
	Most   int            `json:"most"`
	Window string         `json:"window"`
	Held   []jsonHeldLoss `json:"held"`
}

type jsonHeldLoss struct {
	User        string    `json:"user"`
	Fingerprint string    `json:"fingerprint"`
	Since       time.Time `json:"no_longer_registered_since"`
}

func (b braking) json(p process) error {
	out := jsonBrake{On: b.state.On(), People: []string{}, Most: b.rules.People, Window: b.rules.Window.String(), Held: []jsonHeldLoss{}}
	if out.On {
		out.Since = &b.state.Tripped
	}
	for _, user := range b.people() {
		out.People = append(out.People, plain.Text(user))
	}
	for _, loss := range b.held {
		out.Held = append(out.Held, jsonHeldLoss{plain.Text(loss.User), loss.Key.Fingerprint(), loss.Since})
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = p.Stdout.Write(append(plain.JSON(text), '\n'))
	return err
}

// brakeReasonBound is how many bytes a reason may have, so that a record has room for it.
const brakeReasonBound = 140

func newBrakeRelease(p process, path *string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Let the removal through that the brake holds back, once",
		Long: "Release the brake: the keys that it holds go, and counting begins anew. The daemon removes them as soon as it sees that;\n" +
			"without a daemon \"keyreeve apply\" does. \"keyreeve brake status\" names what is held.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := checkReason(reason); err != nil {
				return err
			}
			return release(p, *path, reason)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`why` the keys may go, for the audit trail")
	return cmd
}

func checkReason(reason string) error {
	switch {
	case strings.TrimSpace(reason) == "":
		return errors.New("the release of a brake needs a --reason")
	case len(reason) > brakeReasonBound:
		return fmt.Errorf("--reason: %d bytes are more than %d", len(reason), brakeReasonBound)
	case strings.ContainsFunc(reason, unicode.IsControl):
		return errors.New("--reason: it holds control characters")
	}
	return nil
}

func release(p process, path, reason string) (err error) {
	b, err := openBraking(path)
	if err != nil {
		return err
	}
	if !b.state.On() {
		return enforcer.ErrNotBraked
	}
	who, err := caller()
	if err != nil {
		return err
	}
	hand, trail, err := newEnforcer(b.config, nil, p.warn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trail.Close()) }()
	if _, err := hand.Release(b.memory.Brakes, b.memory.Ledger.AllLosses(), fmt.Sprintf("%s (uid %d)", who, os.Getuid()), reason); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "brake    released: %d keys are held no longer\n", len(b.held))
	return err
}
