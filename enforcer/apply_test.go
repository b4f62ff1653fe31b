package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// The order is the law: intent on disk, copy in quarantine, change, outcome on disk.
func TestApply(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	var held []string
	tr := &trail{seen: func() { held = append(held, c.read(a)) }}
	p := c.plan(a, lineA)
	if err := c.enforcer(tr).Apply(p); err != nil {
		t.Fatal(err)
	}
	if got := c.read(a); got != clean {
		t.Errorf("the file holds %q", got)
	}
	if diff := cmp.Diff([]string{"intent replace-file ", "intent remove-line unregistered", "success replace-file "}, tr.outcomes()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{mixed, clean}, held); diff != "" {
		t.Errorf("the file when the records were written: %s", diff)
	}
	for _, r := range tr.records {
		if r.ID != tr.records[0].ID || r.ID == "" || r.User != "alice" || r.File != c.file(a) {
			t.Errorf("record %+v", r)
		}
	}
	kept, err := c.enforcer(tr).Quarantine.Find(tr.records[0].ID)
	want := enforcer.Copy{
		ID: tr.records[0].ID, Time: c.enforcer(tr).Now(), User: "alice", UID: a.UID, Name: ".ssh/authorized_keys", Path: c.file(a),
		State: "regular", Version: p.Before.Stamp(), Content: []byte(mixed),
		Lines: []enforcer.CopyLine{{
			Line: 2, Action: "remove-line", Reason: "unregistered", Fingerprint: tr.records[1].Key.Fingerprint(),
			Detail: "the key registry does not list this key for the user",
		}},
	}
	if v := kept.Version; v.Inode == 0 || v.Mode != "0600" || v.UID != a.UID || v.Size != uint64(len(mixed)) || v.CTime.IsZero() {
		t.Errorf("version %+v", v)
	}
	if diff := cmp.Diff(want, kept); err != nil || diff != "" {
		t.Errorf("%v; the copy in quarantine: %s", err, diff)
	}
	if info, err := os.Stat(tr.records[1].Quarantine); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("copy: %v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Dir(tr.records[1].Quarantine)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("quarantine folder: %v, %v", info, err)
	}
	if err := c.enforcer(tr).Apply(c.plan(a, lineA)); err != nil || len(tr.records) != 3 {
		t.Errorf("a plan without a change is not nothing: %v, %d records", err, len(tr.records))
	}
}

// Any error before the change stops the change.
func TestApplyStops(t *testing.T) {
	full := errors.New("no space left on device")
	t.Run("no intent", func(t *testing.T) {
		c := newCentre(t)
		a := c.account("alice", mixed)
		tr := &trail{fail: func(audit.Record) error { return full }}
		if err := c.enforcer(tr).Apply(c.plan(a, lineA)); !errors.Is(err, full) {
			t.Errorf("error %v", err)
		}
		if c.read(a) != mixed {
			t.Error("the file changed without a record")
		}
		if entries, err := os.ReadDir(filepath.Join(c.dir, "quarantine")); err == nil {
			t.Errorf("quarantine was written before the record: %v", entries)
		}
	})
	t.Run("no quarantine", func(t *testing.T) {
		c := newCentre(t)
		a := c.account("alice", mixed)
		if err := os.WriteFile(filepath.Join(c.dir, "quarantine"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		tr := &trail{}
		if err := c.enforcer(tr).Apply(c.plan(a, lineA)); err == nil || !strings.Contains(err.Error(), "quarantine") {
			t.Errorf("error %v", err)
		}
		if c.read(a) != mixed {
			t.Error("the file changed without a copy")
		}
		if got := tr.outcomes(); got[len(got)-1] != "failure replace-file " {
			t.Errorf("records %v", got)
		}
	})
	t.Run("another version", func(t *testing.T) {
		c := newCentre(t)
		a := c.account("alice", mixed)
		p := c.plan(a, lineA)
		newer := mixed + "# and more\n"
		if err := os.WriteFile(c.file(a), []byte(newer), 0o600); err != nil {
			t.Fatal(err)
		}
		tr := &trail{}
		if err := c.enforcer(tr).Apply(p); !errors.Is(err, homes.ErrChanged) {
			t.Errorf("error %v", err)
		}
		if c.read(a) != newer {
			t.Error("a plan of one version changed another")
		}
	})
	t.Run("no outcome", func(t *testing.T) {
		c := newCentre(t)
		a := c.account("alice", mixed)
		tr := &trail{fail: func(r audit.Record) error {
			if r.Outcome == audit.Success {
				return full
			}
			return nil
		}}
		if err := c.enforcer(tr).Apply(c.plan(a, lineA)); !errors.Is(err, full) {
			t.Errorf("an outcome that was not recorded is an error: %v", err)
		}
		if c.read(a) != clean {
			t.Error("the file")
		}
	})
}

// A file that its owner keeps changing costs a bounded number of attempts; then it is put aside, and his granted keys
// stand in its place.
func TestLookSeizesAnUnsteadyFile(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	tr := &trail{}
	hand := c.enforcer(tr)
	acts := 0
	l := enforcer.Looker{Homes: c.door, Grants: grants(t, lineA), Act: func(p enforcer.Plan) error {
		acts++
		if err := os.WriteFile(c.file(a), fmt.Appendf([]byte(mixed), "# %d\n", acts), 0o600); err != nil {
			t.Fatal(err)
		}
		return hand.Apply(p)
	}}
	if r := l.Look(a); r.Err != nil || acts > 10 || acts < 2 {
		t.Errorf("%d attempts, then %v", acts, r.Err)
	}
	if got := c.read(a); strings.Contains(got, lineB) || !strings.Contains(got, lineA) {
		t.Errorf("the file holds %q", got)
	}
	if got := tr.outcomes(); got[len(got)-1] != "success replace-file unsteady" {
		t.Errorf("records %v", got)
	}
	entries, err := os.ReadDir(filepath.Dir(c.file(a)))
	if err != nil || len(entries) != 2 {
		t.Errorf("beside the file: %v, %v; want what was put aside", entries, err)
	}
}

func TestLookActsOnTheNewestVersion(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	hand := c.enforcer(&trail{})
	first := true
	l := enforcer.Looker{Homes: c.door, Grants: grants(t, lineA), Act: func(p enforcer.Plan) error {
		if first {
			first = false
			if err := os.WriteFile(c.file(a), []byte(lineB+"\n"+clean), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return hand.Apply(p)
	}}
	if r := l.Look(a); r.Err != nil || !pending(r) {
		t.Errorf("result %+v", r)
	}
	if got := c.read(a); got != clean {
		t.Errorf("the file holds %q", got)
	}
}

func TestSweepKeepsTheOrder(t *testing.T) {
	c := newCentre(t)
	var accounts []homes.Account
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		accounts = append(accounts, c.account(name, lineB+"\n"))
	}
	accounts = append(accounts, homes.Account{Name: "nohome", UID: accounts[0].UID, GID: accounts[0].GID, Home: filepath.Join(c.dir, "nohome")})
	var got []string
	sweep := enforcer.Looker{Homes: c.door, Grants: grants(t)}.Sweep
	if err := sweep(t.Context(), accounts, 3, nil, func(r enforcer.Result) {
		if r.Err != nil || r.NoHome != (r.Account.Name == "nohome") || pending(r) == r.NoHome {
			t.Errorf("%s: %+v", r.Account.Name, r)
		}
		got = append(got, r.Account.Name)
	}); err != nil {
		t.Error(err)
	}
	if !slices.Equal(got, []string{"a", "b", "c", "d", "e", "f", "g", "nohome"}) {
		t.Errorf("results come as %v", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	n := 0
	err := sweep(ctx, accounts, 1, nil, func(enforcer.Result) {
		if n++; n == 2 {
			stop()
		}
	})
	if n > 4 || !errors.Is(err, context.Canceled) {
		t.Errorf("a sweep that was ended at its second result gave %d and %v", n, err)
	}
}

func BenchmarkMakePlan(b *testing.B) {
	in := enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: regular(strings.Repeat(mixed, 3)), Grants: grants(b, lineA)}
	b.ReportAllocs()
	for b.Loop() {
		enforcer.MakePlan(in)
	}
}

// BenchmarkSweep is one look at 1,000 clean homes: what every sweep of the daemon costs.
func BenchmarkSweep(b *testing.B) {
	c := newCentre(b)
	g := grants(b, lineA)
	var accounts []homes.Account
	for i := range 1000 {
		accounts = append(accounts, c.account(fmt.Sprintf("u%d", i), clean))
		accounts[i].Name = "alice"
	}
	for b.Loop() {
		if err := (enforcer.Looker{Homes: c.door, Grants: g}).Sweep(b.Context(), accounts, 16, nil, func(r enforcer.Result) {
			if r.Err != nil || pending(r) {
				b.Fatalf("%+v", r)
			}
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/home")
}

func TestPlanPath(t *testing.T) {
	for name, want := range map[string]string{
		".ssh/authorized_keys":           alice.Home + "/.ssh/authorized_keys",
		"/etc/ssh/authorized_keys/alice": "/etc/ssh/authorized_keys/alice",
	} {
		if got := (enforcer.Plan{Account: alice, Name: name}).Path(); got != want {
			t.Errorf("the path of %s is %s", name, got)
		}
	}
}
