package report_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
	"github.com/keyreeve/keyreeve/report"
)

// lineW is key B in the hands of Warewulf.
const lineW = lineB + " Warewulf Cluster key"

func key(tb testing.TB, text string) authkeys.Key {
	tb.Helper()
	line, err := authkeys.ParseValue([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return line.Key
}

// grantsFor grants key A to some users.
func grantsFor(tb testing.TB, names ...string) *policy.Grants {
	tb.Helper()
	var users []registry.User
	for _, name := range names {
		users = append(users, registry.User{Name: name, UID: 2001, GID: 2001, Home: "/home/" + name, Records: []registry.Record{{Key: key(tb, lineA), Label: "lab"}}})
	}
	snapshot, err := registry.New(users, "ldaps://one")
	if err != nil {
		tb.Fatal(err)
	}
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		tb.Fatal(err)
	}
	return rules.Evaluate(snapshot, time.Now())
}

func planOf(grants *policy.Grants, name, file string, f homes.File) enforcer.Plan {
	return enforcer.MakePlan(enforcer.Input{
		Account: homes.Account{Name: name, UID: 2001, GID: 2001, Home: "/home/" + name}, Name: file, Grants: grants, File: f,
	})
}

func regular(text string) homes.File {
	return homes.File{State: homes.Regular, Data: []byte(text), Tidy: true}
}

func result(plans ...enforcer.Plan) enforcer.Result {
	return enforcer.Result{Account: plans[0].Account, Plans: plans}
}

const (
	first  = ".ssh/authorized_keys"
	second = ".ssh/authorized_keys2"
)

// A village is one account for each thing that a digest tells.
func village(tb testing.TB) report.Report {
	tb.Helper()
	grants := grantsFor(tb, "alice", "away", "dora", "fred")
	untidy := homes.File{State: homes.Regular, Data: []byte(lineA + "\n"), Detail: "mode 0666"}
	barred := homes.File{State: homes.Regular, Data: []byte(lineB + "\n"), Tidy: true, Barred: homes.Immutable}
	exposed := regular("")
	exposed.Remark = "others may write to the home"
	one := func(name string, f homes.File) enforcer.Result { return result(planOf(grants, name, first, f)) }
	made := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	r := report.Report{
		Host: "login1.example.org", Made: made, Granted: map[string]int{"alice": 1, "away": 1, "dora": 1, "fred": 1}, Modes: make(map[string]string),
		Seen: map[report.Holding]time.Time{{User: "alice", Key: key(tb, lineA)}: made.AddDate(0, -4, 0), {User: "dora", Key: key(tb, lineA)}: {}},
		Results: []enforcer.Result{
			one("alice", regular(lineA+"\n"+lineW+"\n")),                      // loses one, has another
			one("away", regular(lineB+" away@login1\n")),                      // loses all, has one that is not there
			one("bob", regular(lineB+" bob@laptop\n")),                        // loses all
			one("carol", barred),                                              // keeps it, since it cannot be taken
			one("dora", untidy),                                               //
			one("eve", exposed),                                               //
			one("fred", homes.File{State: homes.Irregular, Detail: "a FIFO"}), //
			{Account: homes.Account{Name: "gina"}, Err: errors.New("read: input/output error")},
			{Account: homes.Account{Name: "hal"}, NoHome: true},
			{Account: homes.Account{Name: "ian"}, Unkept: []homes.Unkept{{Path: "/etc/ssh/all", Why: "one for all"}}},
			result(planOf(grants, "jane", first, regular(lineB+"\n")), planOf(grants, "jane", second, barred)), // the second file lets her in
			one("kim", homes.File{State: homes.BadDir, Detail: "a link"}),                                      // nobody knows what was in there
			one("lea", regular("# nothing\n")),
		},
	}
	for _, result := range r.Results {
		r.Modes[result.Account.Name] = "enforce"
	}
	return r
}

func TestDigest(t *testing.T) {
	d := village(t).Digest()
	var shut []string
	for _, l := range d.Lockouts {
		shut = append(shut, fmt.Sprintf("%s %d %d %v", l.User, len(l.Lost), l.Granted, l.Unsure))
	}
	if diff := cmp.Diff([]string{"bob 1 0 false", "kim 0 0 true", "away 1 1 false"}, shut); diff != "" || d.Shut() != 2 {
		t.Errorf("lockouts, of %d without a key: %s", d.Shut(), diff)
	}
	wantReasons := []report.ReasonTally{
		{Action: "remove", Reason: policy.ReasonUnregistered, Number: 4, Accounts: 4},
		{Action: "replace", Reason: enforcer.ReasonBadDir, Number: 1, Accounts: 1},
		{Action: "replace", Reason: enforcer.ReasonUntidy, Number: 1, Accounts: 1},
	}
	if diff := cmp.Diff(wantReasons, d.Reasons); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]report.KeyTally{{Type: "ssh-ed25519", Bits: 256, Fates: report.Fates{Stay: 2, Go: 4, Left: 2}}}, d.Keys); diff != "" {
		t.Error(diff)
	}
	wantAges := []report.AgeTally{{Days: 180, Fates: report.Fates{Stay: 1}}, {Unknown: true, Fates: report.Fates{Stay: 1, Go: 4, Left: 2}}}
	if diff := cmp.Diff(wantAges, d.Ages); diff != "" {
		t.Error(diff)
	}
	wantHomes := []report.HomeTally{{"error", 1}, {"undecided", 3}, {"change", 5}, {"unkept", 1}, {"exposed", 1}, {"no-home", 1}, {"no-key", 1}}
	if diff := cmp.Diff(wantHomes, d.Homes); diff != "" {
		t.Error(diff)
	}
	var cluster, modes, open []string
	for _, k := range d.Cluster {
		cluster = append(cluster, fmt.Sprint(k.User, " ", k.Mark, " ", k.Action, " ", k.Line.N))
	}
	for _, f := range d.Modes {
		modes = append(modes, fmt.Sprint(f.User, " ", f.Detail, " ", f.Mended))
	}
	for _, f := range d.Open {
		open = append(open, fmt.Sprint(f.User, " ", f.Pressing))
	}
	if diff := cmp.Diff([]string{"alice warewulf remove 2", "away own-host remove 1"}, cluster); diff != "" {
		t.Error(diff)
	}
	if users, losers := d.ClusterUsers(); users != 2 || losers != 2 {
		t.Errorf("%d of %d people lose a key of the cluster", losers, users)
	}
	if diff := cmp.Diff([]string{"dora mode 0666 true", "eve others may write to the home false"}, modes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"carol true", "gina true", "jane true", "fred false"}, open); diff != "" {
		t.Error(diff)
	}
}

// What was not carried out stays in the files, and is said.
func TestDigestOfApplied(t *testing.T) {
	r := village(t)
	r.Applied = true
	r.Modes["away"] = "report"
	r.Results[2].Plans[0].Done = true // bob's
	d := r.Digest()
	if len(d.Lockouts) != 1 || d.Lockouts[0].User != "bob" {
		t.Errorf("lockouts %+v", d.Lockouts)
	}
	if !slices.ContainsFunc(d.Open, func(f report.Finding) bool { return f.User == "alice" && f.Pressing }) ||
		slices.ContainsFunc(d.Open, func(f report.Finding) bool { return f.User == "away" }) {
		t.Errorf("open %+v", d.Open)
	}
	if diff := cmp.Diff([]report.KeyTally{{Fates: report.Fates{Go: 1, Left: 7}}}, d.Keys, cmpopts.IgnoreFields(report.KeyTally{}, "Type", "Bits")); diff != "" {
		t.Error(diff)
	}
}

// Whatever is in the files: the parts of a digest add up to the counts, and who is shut out has no line with a key left.
func TestDigestAddsUp(t *testing.T) {
	grants := grantsFor(t, "alice", "bob")
	pieces := []string{lineA, lineB, lineW, "from=\"10.0.0.1\" " + lineA, "restrict " + lineB, "# note", "", "no key", "ssh-dss AAAA", lineA + "\r", "cert-authority " + lineB, lineA + "\x00"}
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := report.Report{Applied: rnd.IntN(2) == 0, Modes: map[string]string{"alice": "enforce", "bob": "report", "eve": "enforce"}, Host: "h"}
		for _, name := range []string{"alice", "bob", "eve"} {
			found := enforcer.Result{Account: homes.Account{Name: name}}
			if rnd.IntN(8) == 0 {
				found.Err = errors.New("a\nb")
			}
			for _, file := range []string{first, second}[:rnd.IntN(3)] {
				var text strings.Builder
				for range rnd.IntN(6) {
					text.WriteString(pieces[rnd.IntN(len(pieces))] + "\n")
				}
				f := homes.File{State: homes.State(rnd.IntN(7)), Data: []byte(text.String()), Tidy: rnd.IntN(4) > 0, Detail: "detail"}
				if rnd.IntN(6) == 0 {
					f.Barred = homes.Immutable
				}
				p := planOf(grants, name, file, f)
				p.Done = r.Applied && p.Change && rnd.IntN(2) == 0
				found.Plans = append(found.Plans, p)
			}
			r.Results = append(r.Results, found)
		}
		addsUp(t, seed, r)
	}
}

func addsUp(t *testing.T, seed uint64, r report.Report) {
	t.Helper()
	d, c := r.Digest(), r.Count()
	numbers := make(map[string]int)
	for _, reason := range d.Reasons {
		numbers[reason.Action] += reason.Number
	}
	for action, want := range map[string]int{"remove": c.Remove, "rewrite": c.Rewrite, "add": c.Add, "hold": c.Held} {
		if numbers[action] != want {
			t.Errorf("seed %d: %d lines %s, by their reasons %d", seed, want, action, numbers[action])
		}
	}
	var keys, ages report.Fates
	for _, k := range d.Keys {
		keys = plus(keys, k.Fates)
	}
	for _, a := range d.Ages {
		ages = plus(ages, a.Fates)
	}
	accounts, files, plans, goes := 0, 0, 0, 0
	for _, h := range d.Homes {
		accounts += h.Accounts
	}
	for _, f := range d.Files {
		files += f.Files
	}
	left := make(map[string]int)
	for _, result := range r.Results {
		plans += len(result.Plans)
		for _, p := range result.Plans {
			after := p.Original
			if p.Change && p.Done == r.Applied {
				after = p.After
				for _, d := range p.Remove {
					if !d.Line.Key.IsZero() {
						goes++
					}
				}
			}
			for _, line := range authkeys.Parse(after) {
				if line.Kind == authkeys.Entry {
					left[result.Account.Name]++
				}
			}
		}
	}
	if keys != ages || keys.Go != goes || accounts != c.Accounts || files != plans {
		t.Errorf("seed %d: keys %+v, by ages %+v, %d go; %d of %d accounts, %d of %d files", seed, keys, ages, goes, accounts, c.Accounts, files, plans)
	}
	for _, l := range d.Lockouts {
		if left[l.User] > 0 {
			t.Errorf("seed %d: %s has %d lines left", seed, l.User, left[l.User])
		}
	}
}

func plus(a, b report.Fates) report.Fates {
	return report.Fates{Stay: a.Stay + b.Stay, Go: a.Go + b.Go, New: a.New + b.New, Left: a.Left + b.Left}
}
