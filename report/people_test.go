package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
	"github.com/keyreeve/keyreeve/report"
)

const lineSK = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIO1U7snxtf7q9bUi0pqxw1CAaAgTNWazKMgCxyUIyQN7AAAABHNzaDo="

// later is a report as at a later moment: alice keeps a key, bob has none, carol gets one.
func later(t *testing.T) report.Report {
	t.Helper()
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	p, err := policy.Compile(policy.Rules{Warn: 90, Keys: []policy.Rule{{Type: "ed25519", Until: "2026-12-31"}, {Type: "sk-ed25519", From: "2026-12-31"}}})
	if err != nil {
		t.Fatal(err)
	}
	var users []registry.User
	var accounts []homes.Account
	for i, lines := range [][]string{{lineA, lineSK}, {lineA, lineB}, {lineSK}} {
		u := registry.User{Name: []string{"alice", "bob", "carol"}[i], UID: 2001 + i, Home: fmt.Sprint("/home/", i), Mail: []string{"a@example.org", "b@\x1b", ""}[i]}
		for _, text := range lines {
			line, err := authkeys.ParseValue([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			u.Records = append(u.Records, registry.Record{Key: line.Key})
		}
		users = append(users, u)
		accounts = append(accounts, homes.Account{Name: u.Name, UID: u.UID, Home: u.Home})
	}
	snapshot, err := registry.New(users, "test")
	if err != nil {
		t.Fatal(err)
	}
	before, after := p.Evaluate(snapshot, now), p.Evaluate(snapshot, now.AddDate(0, 1, 0))
	w := report.NewWhatIf(snapshot, before, after, accounts)
	w.At = now.AddDate(0, 1, 0)
	plan := enforcer.MakePlan(enforcer.Input{
		Account: accounts[1], Name: ".ssh/authorized_keys", Grants: before, File: homes.File{State: homes.Regular, Data: []byte(lineA + "\n"), Tidy: true},
	})
	return report.Report{
		Source: "test", Policy: p.String(), WhatIf: &w, Soon: report.RefusedSoon(snapshot, before, now), Mail: map[string]string{"bob": "b@example.org"},
		Results: []enforcer.Result{{Account: accounts[1], Plans: []enforcer.Plan{plan}}},
	}
}

func TestWhatIf(t *testing.T) {
	r := later(t)
	var out bytes.Buffer
	if err := report.Text(&out, r, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"what if   by the rules in force, at 2027-01-01T00:00:00Z: nothing is changed,\n          now or then\nregistry  test",
		"who would lose a key: 2 people, 1 with no other key\n  bob  <b@\\x1b>  no other key\n", "\n  alice  <a@example.org>\n    type  SHA256:A/6b",
		"\nwho would gain a key: 2 people\n",
		"\nrefused soon: 2 people, 2 with no other key\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := report.HTML(&out, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"What if: this is by the rules in force, at 2027-01-01T00:00:00Z", "Who would lose a key", "2 people, 1 with no other key", ">Refused soon<", "2 people, 2 with no other key. Their keys work, until a rule ends."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in the page", want)
		}
	}
	out.Reset()
	if err := report.JSON(&out, r); err != nil {
		t.Fatal(err)
	}
	var got struct {
		WhatIf struct {
			At     time.Time `json:"at"`
			Losers []struct {
				User   string `json:"user"`
				Others int    `json:"other_keys"`
				Keys   []struct {
					Reason      string `json:"reason"`
					Fingerprint string `json:"fingerprint"`
				} `json:"keys"`
			} `json:"lose_a_key"`
			Alone int `json:"lose_the_last_key"`
		} `json:"what_if"`
		Summary struct {
			Soon int `json:"soon"`
		} `json:"summary"`
		Accounts []struct {
			Mail  string `json:"mail"`
			Files []struct {
				Lines []struct {
					Action  string `json:"action"`
					Warning string `json:"warning"`
				} `json:"lines"`
			} `json:"files"`
		} `json:"accounts"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	w := got.WhatIf
	if len(w.Losers) != 2 || w.Losers[0].Others != 1 || len(w.Losers[1].Keys) != 2 || w.Losers[1].Others != 0 || w.Alone != 1 || w.At.IsZero() {
		t.Errorf("what if: %+v", w)
	}
	if line := got.Accounts[0].Files[0].Lines[0]; line.Action != "keep" || line.Warning != "refused-soon" || got.Accounts[0].Mail != "b@example.org" || got.Summary.Soon != 2 {
		t.Errorf("bob's line: %+v, of %+v; %d people", line, got.Accounts[0].Mail, got.Summary.Soon)
	}
}

// A spreadsheet has the same people: each key that would go, and each that will, also of who has no home here.
func TestWhatIfCSV(t *testing.T) {
	r := later(t)
	const supposed = "by the rules in force, at 2027-01-01T00:00:00Z"
	got := make(map[string]int)
	for _, row := range table(t, r) {
		if row["what_if"] != supposed {
			t.Errorf("a row is of %q", row["what_if"])
		}
		got[strings.Join([]string{row["user"], row["uid"], row["loses_access"], row["action"], row["reason"], row["warning"], row["other_keys"]}, " ")]++
	}
	if diff := cmp.Diff(map[string]int{
		"alice   lose-key type  1": 1, "alice   refused-soon refused-soon  0": 1,
		"bob 2002 false keep granted refused-soon ": 1, "bob 2002 false lose-key type  0": 2, "bob 2002 false refused-soon refused-soon  0": 2,
	}, got); diff != "" {
		t.Error(diff)
	}
	soon := r.Soon
	r.Soon = nil
	for _, row := range table(t, r) {
		if row["warning"] != "" {
			t.Errorf("no rule ends, and a row is %v", row)
		}
	}
	r.Soon, r.WhatIf = soon, nil
	for _, row := range table(t, r) {
		if row["what_if"] != "" || row["action"] == "lose-key" {
			t.Errorf("nothing is supposed, and a row is %v", row)
		}
		if want := map[string]string{"bob": "b@example.org"}[row["user"]]; row["mail"] != want {
			t.Errorf("the mail of %s is %q", row["user"], row["mail"])
		}
	}
}
