package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

func newStatus(p process, path *string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the daemon that runs is",
		Long: "Say on one screen how the daemon is that runs by this configuration: its mode, the registry and its age, homes, watches, the last\n" +
			"sweep, what waits, the brake, and what is not resolved. The daemon notes that every few seconds in runtime_dir/daemon.json, which\n" +
			"root alone may read; one that is gone, hangs, or whose loop stands still is told as such. The first line is made for monitoring\n" +
			"systems.\n\n" +
			"Exit status, as for plug-ins of Nagios: 0 all is well, 1 something waits for somebody or mends itself, 2 keyreeve does not do its\n" +
			"work, or part of it, until somebody helps, 3 that is not known.",
		Args: func(cmd *cobra.Command, args []string) error { return unknown(cobra.NoArgs(cmd, args)) },
		RunE: func(*cobra.Command, []string) error {
			s := inquire(*path)
			if err := printDocument(p, format, s, s.text); err != nil {
				return unknown(err)
			}
			if s.State == healthOK {
				return nil
			}
			return ended{status: int(s.State)}
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return unknown(err) })
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

// ended is an error with an exit status of its own. Without an error in it nothing is printed.
type ended struct {
	error
	status int
}

// unknown makes an error end with the status of what is not known.
func unknown(err error) error {
	if err == nil {
		return nil
	}
	return ended{err, int(healthUnknown)}
}

func (e ended) Unwrap() error { return e.error }

// health is how the daemon is; its numbers are the exit statuses.
type health int

const (
	healthOK health = iota
	healthWarning
	healthCritical
	healthUnknown
)

func (h health) String() string { return [...]string{"ok", "warning", "critical", "unknown"}[h] }

// MarshalText is the word.
func (h health) MarshalText() ([]byte, error) { return []byte(h.String()), nil } //nolint:unparam // encoding.TextMarshaler wants an error

// daemonStatus is what status prints.
type daemonStatus struct {
	State    health    `json:"state"`
	Problems []problem `json:"problems"`
	// Daemon is null where nothing is known of one.
	Daemon *vitals `json:"daemon"`
}

// problem is one reason for a state, in the words of a person.
type problem struct {
	State health `json:"state"`
	Text  string `json:"text"`
}

// inquire asks how the daemon is that runs by a configuration.
func inquire(path string) daemonStatus {
	c, err := loadConfig(path)
	if err != nil {
		return daemonStatus{State: healthUnknown, Problems: []problem{{healthUnknown, oneLine(err)}}}
	}
	v, err := readVitals(vitalsPath(c))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return newStatusOf(nil, []problem{{healthCritical, "no daemon runs by this configuration: " + oneLine(err)}})
	case err != nil:
		return newStatusOf(nil, []problem{{healthUnknown, oneLine(err)}})
	}
	age, err := hostAge()
	if err != nil {
		return newStatusOf(nil, []problem{{healthUnknown, oneLine(err)}})
	}
	state, ticks, err := homes.Lifetime(v.PID)
	gone := errors.Is(err, fs.ErrNotExist) || err == nil && (ticks != v.Ticks || state == "Z")
	return newStatusOf(&v, v.judge(witness{now: time.Now(), age: age, gone: gone, config: c}))
}

func newStatusOf(v *vitals, problems []problem) daemonStatus {
	s := daemonStatus{Problems: append([]problem{}, problems...), Daemon: v}
	slices.SortStableFunc(s.Problems, func(a, b problem) int { return cmp.Compare(b.State, a.State) })
	if len(s.Problems) > 0 {
		s.State = s.Problems[0].State
	}
	return s
}

// oneLine is an error in the first line that a monitoring system shows.
func oneLine(err error) string {
	return plain.Text(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// vitalsBound is far above what the file has: twenty homes with their reasons.
const vitalsBound = 1 << 20

// readVitals reads what a daemon has told of itself. One that replaces the file meanwhile is read again.
func readVitals(path string) (v vitals, err error) {
	var text []byte
	for range 5 {
		if text, err = statefile.Read(path, vitalsBound); err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if errors.Is(err, fs.ErrPermission) {
		return v, fmt.Errorf("%w (only root may read it)", err)
	}
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err == nil && v.PID <= 0 {
		err = errors.New("no state of a daemon is in it")
	}
	if err != nil {
		return v, fmt.Errorf("read the state of the daemon: %w", err)
	}
	return v, nil
}

// text prints the screen.
func (s daemonStatus) text(out *bufio.Writer) {
	s.summary(out)
	if s.Daemon != nil {
		s.Daemon.text(out, time.Now())
	}
	for _, p := range s.Problems {
		fmt.Fprintf(out, "%-10s %s\n", p.State, p.Text)
	}
}
