package main

import (
	"bufio"
	"fmt"
	"strings"
	"time"
)

// summary is the line that a monitoring system shows.
func (s daemonStatus) summary(out *bufio.Writer) {
	var text string
	switch v := s.Daemon; {
	case len(s.Problems) > 1:
		text = fmt.Sprintf("%s (and %d more)", s.Problems[0].Text, len(s.Problems)-1)
	case len(s.Problems) == 1:
		text = s.Problems[0].Text
	default:
		text = fmt.Sprintf("homes kept: %d, mode %s", v.Homes.Kept, v.Config.Mode)
	}
	fmt.Fprintf(out, "%s: %s\n", strings.ToUpper(s.State.String()), text)
}

// text is the rest of the screen.
func (v *vitals) text(out *bufio.Writer, now time.Time) {
	ago := func(at *time.Time) string {
		if at == nil {
			return "never"
		}
		return fmt.Sprintf("%v ago", round(now.Sub(*at)))
	}
	line := func(what, format string, args ...any) {
		fmt.Fprintf(out, "%-10s "+format+"\n", append([]any{what}, args...)...)
	}
	line("daemon", "%s, process %d, for %v", v.Version, v.PID, round(now.Sub(v.Started)))
	own := ""
	if v.Config.Own > 0 {
		own = fmt.Sprintf("; groups and users with a mode of their own: %d", v.Config.Own)
	}
	line("mode", "%s%s (%s)", v.Config.Mode, own, v.Config.Path)
	line("registry", "%s: %d users, %d keys", v.Reg.Source, v.Reg.Users, v.Reg.Keys)
	noticing := ""
	if v.Reg.Noticing != "" {
		noticing = "; changes are noticed by " + v.Reg.Noticing
	}
	line("read", "%s; it answers: %s%s", ago(v.Reg.Read), yes(v.Reg.Reachable), noticing)
	line("homes", "%d kept, %d silent, %d not resolved, %d not watched", v.Homes.Kept, v.Homes.Silent, v.Homes.Unresolved, v.Homes.Unwatched)
	line("watches", "%d of %d", v.Homes.Watches, v.Homes.Limit)
	line("sweep", "ended %s, took %v; one every %v", ago(v.Sweep.Ended), seconds(v.Sweep.Took).Round(time.Millisecond), seconds(v.Sweep.Every))
	line("queue", "%d wait, %d are looked at", v.Homes.Waiting, v.Homes.Looking)
	line("brake", "%s, %d keys are held", map[bool]string{true: "on", false: "off"}[v.Brake.On], v.Brake.HeldKeys)
	for _, t := range v.Homes.Troubles {
		line("unresolved", "%s: %s", t.User, t.Why)
	}
	if more := v.Homes.Unresolved - len(v.Homes.Troubles); more > 0 {
		line("unresolved", "and %d more", more)
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
