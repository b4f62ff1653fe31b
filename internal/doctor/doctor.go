// Package doctor says what on a host lets somebody in whom keyreeve does not, and what locks out somebody whom it should let in.
//
// [Collect] looks at the host: it asks sshd (package host) and reads /etc and /proc, below a root that tests choose. [Diagnose] makes of
// these [Facts] a list of [Finding], each with the place and the line to change; it is pure, and so is [DropIn], the lines that
// this host's sshd should have. Nothing is changed by any of them.
//
//	facts := doctor.Collect(ctx, doctor.Question{Config: c, Root: "/", ...})
//	for _, finding := range doctor.Diagnose(facts) { ... }
//
// What sshd does is its own word, sshd -T -C, for root, the administrators and a sample of users. What depends on a connection
// (Match Address, LocalPort, ...) or on users beside the sample is taken from the text of its configuration: a line in a Match block is judged
// as if it were in force for everybody.
//
// # Limits
//
// An sshd that was started with -o, or not reloaded since its configuration changed, may do otherwise than it says. One that is started for each
// connection (inetd, a socket of systemd's) is not seen beside those that are configured. Programs of users
// show by their names, which they can choose. Modules of PAM other than pam_env are taken for harmless.
package doctor

import (
	"cmp"
	"slices"
)

// Severity says how bad a finding is.
type Severity string

// The severities. The first two are for somebody to mend.
const (
	// Defeats lets in a key, or a person, that keyreeve does not.
	Defeats Severity = "defeats"
	// LocksOut keeps out who should get in.
	LocksOut Severity = "locks-out"
	// Unknown could not be looked at, so that no finding means nothing.
	Unknown Severity = "unknown"
	// Note is what one should know.
	Note Severity = "note"
)

// Bad reports whether it lets in or locks out.
func (s Severity) Bad() bool { return s == Defeats || s == LocksOut }

// Finding is one thing that is not as it should be.
type Finding struct {
	// Code names the check.
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	// Where is a file with its line, a program or whatever else has to be changed.
	Where string `json:"where"`
	// What is wrong with it, and Do what to change, mostly the line to write there.
	What string `json:"what"`
	Do   string `json:"do"`
}

// Diagnose judges a host. What is bad comes first, then by code and place; equal facts give equal findings.
func Diagnose(f Facts) []Finding {
	var list []Finding
	for _, checks := range [][]Finding{
		f.unread(), f.daemons(), f.keyFiles(), f.answers(), f.lists(), f.gateFindings(), f.breakGlass(), f.processes(), f.machine(),
	} {
		list = append(list, checks...)
	}
	rank := map[Severity]int{Defeats: 0, LocksOut: 1, Unknown: 2, Note: 3}
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(rank[a.Severity]-rank[b.Severity], cmp.Compare(a.Code, b.Code), cmp.Compare(a.Where, b.Where), cmp.Compare(a.What, b.What))
	})
	return slices.Compact(list)
}

// unread are facts that could not be had.
func (f Facts) unread() []Finding {
	var list []Finding
	for _, err := range f.Unread {
		list = append(list, Finding{"unread", Unknown, "this host", err.Error(), "run keyreeve doctor as root, where sshd and keyreeve run"})
	}
	if f.NoReading {
		list = append(list, Finding{"no-reading", Note, "registry", "no reading of the registry has been kept yet: the sample is of /etc/passwd", "begin with keyreeve plan and the daemon in mode report"})
	}
	for _, said := range f.Said {
		if said.Err != nil {
			list = append(list, Finding{"sshd-silent", Unknown, said.Config, "sshd does not say what it does: " + said.Err.Error(), "look at it with: sshd -t -f " + said.Config})
		}
	}
	switch {
	case len(f.Said) > 0:
	case len(f.Config.Homes.SSHD.Configs) == 0:
		list = append(list, Finding{"sshd-silent", Unknown, "homes.sshd", "no sshd was asked: homes.sshd.configs names no configuration", "homes: {sshd: {configs: [/etc/ssh/sshd_config]}}"})
	default:
		list = append(list, Finding{"sshd-silent", Unknown, "homes.sshd", "no sshd was asked: this host has none where programs of the system are", "homes: {sshd: {program: /path/of/sshd}}, if it is elsewhere; where there is none, nobody logs in by a key"})
	}
	return list
}
