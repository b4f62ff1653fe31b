package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/report"
)

func object(t *testing.T, r report.Report) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.JSON(&out, r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// county is three hosts: login1 and login2 share their homes, but on login2 alice is not registered; node is one on which nothing is decided.
func county(t *testing.T) []string {
	t.Helper()
	one, two, node := village(t), village(t), village(t)
	two.Host, two.Source = "login2", "ldaps://two"
	two.Results[0] = result(planOf(grantsFor(t, "fred"), "alice", first, regular(lineA+"\n"+lineW+"\n")))
	two.Granted["alice"] = 0
	node.Host = "node"
	node.Results = node.Results[3:4]
	return []string{object(t, one), object(t, two), object(t, node)}
}

func fleetOf(t *testing.T, reports ...string) *report.Fleet {
	t.Helper()
	f := report.NewFleet()
	for _, text := range reports {
		if err := f.Add(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// A key of a user on several hosts counts once, and where they disagree is told.
func TestFleet(t *testing.T) {
	f := fleetOf(t, county(t)...)
	want := report.FleetCounts{Hosts: 3, People: 6, Keys: 7, Go: 4, Split: 1, Cluster: 2, Lockouts: 4, Open: 5, Errors: 2}
	if diff := cmp.Diff(want, f.Count()); diff != "" {
		t.Error(diff)
	}
	var text, table, object bytes.Buffer
	for _, err := range []error{report.FleetText(&text, f, false), report.FleetCSV(&table, f), report.FleetJSON(&object, f)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "fleet.txt", text.String())
	golden(t, "fleet.csv", table.String())
	var d struct {
		Summary report.FleetCounts `json:"summary"`
		Keys    []struct {
			User  string `json:"user"`
			Fate  string `json:"fate"`
			Split bool   `json:"hosts_differ"`
			Hosts []struct {
				Host   string `json:"host"`
				Fate   string `json:"fate"`
				Reason string `json:"reason"`
			} `json:"hosts"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(object.Bytes(), &d); err != nil || d.Summary != want || len(d.Keys) != 7 {
		t.Errorf("%v: %+v", err, d)
	}
	for _, k := range d.Keys {
		if k.Split != (fmt.Sprint(k.Hosts) == "[{login1.example.org stay granted} {login2 go unregistered}]") {
			t.Errorf("%+v", k)
		}
	}
}

// What cannot be changed is not decided, whether a key should go or come; a key that is to stay in such a file stays.
func TestFleetOfWhatCannotBeChanged(t *testing.T) {
	p := enforcer.MakePlan(enforcer.Input{
		Account: homes.Account{Name: "alice", UID: 2001, Home: "/home/alice"}, Name: first, Grants: grantsFor(t, "alice"), Install: true,
		File: homes.File{State: homes.Regular, Data: []byte(lineB + "\n"), Tidy: true, Barred: homes.Immutable},
	})
	bob := planOf(grantsFor(t, "bob"), "bob", first, homes.File{State: homes.Regular, Data: []byte(lineA + "\n" + lineB + "\n"), Tidy: true, Barred: homes.Immutable})
	var got []string
	for _, k := range fleetOf(t, object(t, report.Report{Host: "h", Results: []enforcer.Result{result(p), result(bob)}})).Keys() {
		got = append(got, k.User+" "+string(k.Worst()))
	}
	if diff := cmp.Diff([]string{"alice undecided", "alice undecided", "bob undecided", "bob stay"}, got); diff != "" {
		t.Error(diff)
	}
}

// The order of the files is that of the columns and changes no sum.
func TestFleetInAnyOrder(t *testing.T) {
	reports := county(t)
	want := fleetOf(t, reports...).Count()
	for _, order := range [][]int{{0, 2, 1}, {1, 0, 2}, {2, 1, 0}} {
		if got := fleetOf(t, reports[order[0]], reports[order[1]], reports[order[2]]).Count(); got != want {
			t.Errorf("%v: %+v, want %+v", order, got, want)
		}
	}
}

// What is no whole report of this version is an error, and never a smaller fleet.
func TestFleetRefuses(t *testing.T) {
	good := object(t, village(t))
	for name, c := range map[string]struct{ text, want string }{
		"empty":          {"", "it is cut short: unexpected EOF"},
		"cut":            {good[:len(good)/2], "it is cut short: unexpected EOF"},
		"cut at the end": {good[:len(good)-3], "it is cut short: unexpected EOF"},
		"array":          {"[]", "[ where { is wanted"},
		"two":            {good + good, "something follows the report"},
		"version":        {strings.Replace(good, `"version": 1`, `"version": 2`, 1), "its version is 2, and only 1 is known here"},
		"no version":     {`{"host": "x"}`, "it does not begin with its version"},
		"twice":          {strings.Replace(good, `"applied"`, `"host": "other", "applied"`, 1), `it says "host" twice`},
		"no host":        {strings.Replace(good, `"host"`, `"guest"`, 1), `it has no field "host"`},
		"no name":        {strings.Replace(good, `"login1.example.org"`, `""`, 1), `it is of the host "", which has no name`},
		"several names":  {strings.Replace(good, `"login1.example.org"`, `"login1, login2"`, 1), `it is of the host "login1, login2", which is no name of one`},
		"no accounts":    {`{"version": 1, "host": "x", "summary": {}, "digest": {}}`, `it has no field "accounts"`},
		"accounts":       {strings.Replace(good, `"accounts": [`, `"accounts": [7, `, 1), "an account: "},
		"action":         {strings.Replace(good, `"action": "keep"`, `"action": "eat"`, 1), `a line of alice has the action "eat", which is not known here`},
		"fingerprint":    {strings.ReplaceAll(good, `"SHA256:A/6b`, `"SHA256:=cmd`), "which are none"},
		"reason":         {strings.ReplaceAll(good, `"reason": "granted"`, `"reason": "\u001b[2J"`), "which are none"},
		"fewer errors":   {strings.Replace(good, `"errors": 1,`, `"errors": -1,`, 1), "its summary counts -1 of something"},
		"too many":       {strings.Replace(good, `"errors": 1,`, `"errors": 9223372036854775807,`, 1), "its summary counts 9223372036854775807 of something"},
		"fewer granted":  {strings.Replace(good, `"granted": 0,`, `"granted": -1,`, 1), `it says that "bob" has -1 keys`},
		"time":           {strings.Replace(good, `"made": "2026-11-26T00:00:00Z"`, `"made": "9999-12-31T23:59:59-23:59"`, 1), "it was made in the year 10000"},
		"same host":      {good, `it is of the host "login1.example.org", which has no name or another report`},
	} {
		f := report.NewFleet()
		if name == "same host" {
			f = fleetOf(t, good)
		}
		if err := f.Add(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// A fingerprint is that of one key: a host that gives it another type or size is no witness of what the key is on the others.
func TestFleetContradicts(t *testing.T) {
	reports := county(t)
	for name, lie := range map[string][2]string{"type": {`"key_type": "ssh-ed25519"`, `"key_type": "ssh-rsa"`}, "size": {`"key_bits": 256`, `"key_bits": 4096`}} {
		f := fleetOf(t, reports[0])
		if err := f.Add(strings.NewReader(strings.ReplaceAll(reports[1], lie[0], lie[1]))); err == nil || !strings.Contains(err.Error(), "which the report of login1.example.org has as ssh-ed25519 256") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file that sshd reads on a host, and that is not kept there, is not resolved, and counts once for however many accounts.
func TestFleetTellsOfUnkept(t *testing.T) {
	r := report.Report{Host: "h", Results: []enforcer.Result{
		{Account: homes.Account{Name: "ian"}, Unkept: []homes.Unkept{{Path: "/etc/ssh/all", Why: "one for all"}}},
		{Account: homes.Account{Name: "jim"}, Unkept: []homes.Unkept{{Path: "/etc/ssh/all", Why: "one for all"}}},
	}}
	f := fleetOf(t, object(t, r))
	if got := f.Count().Open; got != 1 || r.Count().Unkept != 1 {
		t.Errorf("%d things are not resolved", got)
	}
	var text, page bytes.Buffer
	if err := errors.Join(report.FleetText(&text, f, false), report.FleetHTML(&page, f)); err != nil {
		t.Fatal(err)
	}
	if want := "not decided\n  /etc/ssh/all\n      read by sshd, not kept: one for all: h\n"; !strings.Contains(text.String(), want) {
		t.Errorf("%q is not in\n%s", want, text.String())
	}
	if open := words(between(t, page.String(), `id="open"`, "</section>")); !strings.Contains(open, "/etc/ssh/all read by sshd, not kept: one for all h") {
		t.Error(open)
	}
}

// What would be is no part of what is, and a host that is judged by an older reading is told, as is a report that is old.
func TestFleetOfWhatIf(t *testing.T) {
	plain, then, held := village(t), village(t), village(t)
	held.Made = plain.Made.AddDate(-1, 0, 0)
	then.WhatIf, held.Held = &report.WhatIf{File: "other.yaml", At: then.Made}, "5 people lose something"
	then.Host, held.Host = "then", "held"
	f := fleetOf(t, object(t, plain))
	if err := f.Add(strings.NewReader(object(t, then))); err == nil || err.Error() != "it is by the rules of other.yaml, at 2026-11-26T00:00:00Z, and the report of login1.example.org is by the rules in force, as of now" {
		t.Errorf("%v", err)
	}
	if err := fleetOf(t, object(t, then)).Add(strings.NewReader(object(t, plain))); err == nil {
		t.Error("what is was added to what would be")
	}
	for want, f := range map[string]*report.Fleet{
		"by the rules of other.yaml, at 2026-11-26T00:00:00Z": fleetOf(t, object(t, then)),
		"A later one is held": fleetOf(t, object(t, plain), object(t, held)),
	} {
		var text, page, object bytes.Buffer
		if err := errors.Join(report.FleetText(&text, f, false), report.FleetHTML(&page, f), report.FleetJSON(&object, f)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(words(page.String()), want) {
			t.Errorf("the page lacks %q", want)
		}
		if want := strings.Replace(want, "A later one is held", "held: 5 people lose something", 1); !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
		if old := "made      from 2025-11-26 00:00 UTC to 2026-11-26 00:00 UTC\n"; len(f.Hosts) > 1 && !strings.Contains(text.String(), old) {
			t.Errorf("the text does not tell of an old report:\n%s", text.String())
		}
		if !strings.Contains(object.String(), `"what_if": "by the rules`) && !strings.Contains(object.String(), `"held": "5 people`) {
			t.Error(object.String())
		}
	}
}

// What a host that somebody has taken writes into its report drives no terminal and no spreadsheet.
func TestFleetIsInert(t *testing.T) {
	evil := "=1+\x1b[2J\u202e"
	r := village(t)
	p := planOf(grantsFor(t, "alice"), "alice", first, regular(lineB+"\n"))
	r.Results = []enforcer.Result{result(p)}
	text := object(t, r)
	quoted, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"alice", "login1.example.org", "ssh-ed25519", "/home/alice/.ssh/authorized_keys"} {
		text = strings.ReplaceAll(text, `"`+field+`"`, string(quoted))
	}
	f := fleetOf(t, text)
	var out, table, object bytes.Buffer
	if err := errors.Join(report.FleetText(&out, f, false), report.FleetCSV(&table, f), report.FleetJSON(&object, f)); err != nil {
		t.Fatal(err)
	}
	onlyASCII(t, out.String()+object.String()+strings.ReplaceAll(table.String(), "\r\n", "\n"))
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][0] != `'=1+\x1b[2J\u202e` {
		t.Errorf("%v: %q", err, rows)
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}
