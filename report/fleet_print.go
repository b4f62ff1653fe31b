package report

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// FleetText prints a fleet for people, as Text does: hosts side by side, who loses access, and keys on which the hosts disagree.
func FleetText(w io.Writer, f *Fleet, color bool) error {
	out := &page{out: bufio.NewWriter(w), color: color}
	if len(f.Hosts) > 0 && f.Hosts[0].Supposed != "" {
		out.fold(yellow, "what if  ", f.Hosts[0].Supposed+": nothing is changed, now or then", "          ")
	}
	textFleet(out, f)
	if first, last := f.span(); len(f.Hosts) > 0 { // a host that sends an old report is seen by it
		fmt.Fprintf(out, "made      from %s to %s\n", minute(first), minute(last))
	}
	fmt.Fprintln(out)
	fmt.Fprintf(out, "%s%10s%9s%9s%9s%9s\n", out.paint(bold, fmt.Sprintf("%-33s", "hosts")), "accounts", "change", "remove", "errors", "lockouts")
	for _, h := range f.Hosts {
		name := h.Host
		if len(name) > 31 {
			fmt.Fprintf(out, "  %s\n", name)
			name = ""
		}
		fmt.Fprintf(out, "  %-31s%10d%9d%9d%9d%9d\n", name, h.Counts.Accounts, h.Counts.Pending, h.Counts.Remove, h.Counts.Errors, h.Lockouts)
	}
	fmt.Fprintln(out)
	textOdd(out, "hosts that differ in their policy", f, func(h FleetHost) string { return h.Policy })
	textOdd(out, "hosts that differ in their registry", f, func(h FleetHost) string { return h.Source })
	rows(out, yellow, "hosts by the last good reading: a later one is held, since it lost too much", f.held(), func(h FleetHost) {
		out.fold(plainInk, "  "+h.Host+":", h.Held, "      ")
	})
	rows(out, red, "people who lose access", f.Lockouts(), func(l *FleetLockout) {
		text := some(f.names(l.Hosts))
		if l.Granted > 0 {
			text += fmt.Sprintf("; granted: %d", l.Granted)
		}
		if l.Unsure {
			text += "; not sure"
		}
		out.fold(plainInk, "  "+l.User+":", text, "      ")
	})
	textReasons(out, f.Reasons())
	var split []*FleetKey
	for _, k := range f.Keys() {
		if k.Split() {
			split = append(split, k)
		}
	}
	rows(out, yellow, "keys that go on one host and stay on another", split, func(k *FleetKey) { textSplit(out, f, k) })
	rows(out, red, "not decided", f.Open(), func(o *FleetFinding) {
		out.row(o.User, o.Path)
		out.wrap(o.Detail + ": " + some(f.names(o.Hosts)))
	})
	textFleet(out, f)
	return out.out.Flush()
}

// held lists the hosts on which a reading is.
func (f *Fleet) held() []FleetHost {
	return slices.DeleteFunc(slices.Clone(f.Hosts), func(h FleetHost) bool { return h.Held == "" })
}

// textFleet prints the totals.
func textFleet(out *page, f *Fleet) {
	c := f.Count()
	fmt.Fprintf(out, "fleet     %d hosts, %d people, %d keys, to remove: %d, on some hosts only: %d\n", c.Hosts, c.People, c.Keys, c.Go, c.Split)
	fmt.Fprintf(out, "people    who lose access: %d; keys of the clusters themselves: %d\n", c.Lockouts, c.Cluster)
	fmt.Fprintf(out, "accounts  errors: %d, files and accounts not decided: %d\n", c.Errors, c.Open)
}

// textOdd prints in what hosts differ that should be the same everywhere.
func textOdd(out *page, title string, f *Fleet, of func(FleetHost) string) {
	hosts := make(map[string][]string)
	var values []string
	for _, h := range f.Hosts {
		if v := of(h); hosts[v] == nil {
			values = append(values, v)
		}
		hosts[of(h)] = append(hosts[of(h)], h.Host)
	}
	if len(values) < 2 {
		return
	}
	rows(out, yellow, title, values, func(v string) {
		out.fold(plainInk, "  "+some(hosts[v])+":", v, "      ")
	})
}

func textSplit(out *page, f *Fleet, k *FleetKey) {
	out.row(k.User, k.Fingerprint)
	for _, fate := range fates() {
		var hosts []int
		for _, of := range k.Fates {
			if of.Fate == fate {
				hosts = append(hosts, of.Host)
			}
		}
		if len(hosts) > 0 {
			out.wrap(string(fate) + ": " + some(f.names(hosts)))
		}
	}
}

// FleetCSV prints a row for each key of a user, with a column for each host at the end, as CSV does.
func FleetCSV(w io.Writer, f *Fleet) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180, section 2
	head := []string{"user", "key_type", "key_bits", "fingerprint", "comment", "cluster", "fate", "hosts_differ"}
	write := func(fields []string) {
		for i, field := range fields {
			fields[i] = Guarded(field)
		}
		_ = out.Write(fields) // Error has it
	}
	for _, h := range f.Hosts {
		head = append(head, "host "+h.Host)
	}
	write(slices.Clone(head))
	for _, k := range f.Keys() {
		row := make([]string, len(head))
		copy(row, []string{k.User, k.Type, strconv.Itoa(k.Bits), k.Fingerprint, k.Comment, string(k.Cluster), string(k.Worst()), strconv.FormatBool(k.Split())})
		for _, fate := range k.Fates {
			row[len(head)-len(f.Hosts)+fate.Host] = string(fate.Fate) + " " + fate.Reason
		}
		write(row)
	}
	out.Flush()
	return out.Error()
}

type jsonFleet struct {
	Version int                `json:"version"`
	Summary FleetCounts        `json:"summary"`
	Hosts   []jsonFleetHost    `json:"hosts"`
	Locked  []jsonFleetLockout `json:"lockouts"`
	Reasons []jsonReason       `json:"reasons"`
	Keys    []jsonFleetKey     `json:"keys"`
	Open    []jsonFleetFinding `json:"undecided"`
}

type jsonFleetHost struct {
	Host     string     `json:"host"`
	Made     *time.Time `json:"made,omitempty"`
	Registry string     `json:"registry"`
	Policy   string     `json:"policy"`
	Summary  Counts     `json:"summary"`
	Lockouts int        `json:"lockouts"`
	WhatIf   string     `json:"what_if,omitempty"` // what its report supposes
	Held     string     `json:"held,omitempty"`    // what a later reading has lost, which is held
}

type jsonFleetLockout struct {
	User    string   `json:"user"`
	Granted int      `json:"granted"`
	Unsure  bool     `json:"unsure"`
	Hosts   []string `json:"hosts"`
}

type jsonFleetKey struct {
	User        string          `json:"user"`
	Type        string          `json:"key_type"`
	Bits        int             `json:"key_bits"`
	Fingerprint string          `json:"fingerprint"`
	Comment     string          `json:"comment,omitempty"`
	Cluster     Mark            `json:"cluster,omitempty"`
	Fate        Fate            `json:"fate"`
	Split       bool            `json:"hosts_differ"`
	Hosts       []jsonFleetFate `json:"hosts"`
}

type jsonFleetFate struct {
	Host   string `json:"host"`
	Fate   Fate   `json:"fate"`
	Reason string `json:"reason"`
}

type jsonFleetFinding struct {
	User   string   `json:"user"`
	Path   string   `json:"path,omitempty"`
	Detail string   `json:"detail"`
	Hosts  []string `json:"hosts"`
}

// FleetJSON prints a fleet as one JSON object in ASCII.
func FleetJSON(w io.Writer, f *Fleet) error {
	out := jsonFleet{
		Version: formatVersion, Summary: f.Count(), Hosts: []jsonFleetHost{}, Locked: []jsonFleetLockout{}, Reasons: []jsonReason{},
		Keys: []jsonFleetKey{}, Open: []jsonFleetFinding{},
	}
	for _, h := range f.Hosts {
		out.Hosts = append(out.Hosts, jsonFleetHost{h.Host, instant(h.Made), h.Source, h.Policy, h.Counts, h.Lockouts, h.Supposed, h.Held})
	}
	for _, l := range f.Lockouts() {
		out.Locked = append(out.Locked, jsonFleetLockout{l.User, l.Granted, l.Unsure, f.names(l.Hosts)})
	}
	for _, t := range f.Reasons() {
		out.Reasons = append(out.Reasons, jsonReason{t.Action, string(t.Reason), t.Number, t.Accounts})
	}
	for _, k := range f.Keys() {
		j := jsonFleetKey{k.User, k.Type, k.Bits, k.Fingerprint, k.Comment, k.Cluster, k.Worst(), k.Split(), []jsonFleetFate{}}
		for _, fate := range k.Fates {
			j.Hosts = append(j.Hosts, jsonFleetFate{f.Hosts[fate.Host].Host, fate.Fate, fate.Reason})
		}
		out.Keys = append(out.Keys, j)
	}
	for _, o := range f.Open() {
		out.Open = append(out.Open, jsonFleetFinding{o.User, o.Path, o.Detail, f.names(o.Hosts)})
	}
	return writeJSON(w, out)
}
