package enforcer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// firstUID is the first uid of the tests' homes when they run as root; nobody has it.
const firstUID = 65001

// centre is a folder of real homes, and the real door to them.
type centre struct {
	tb    testing.TB
	dir   string
	door  *homes.Door
	count int
}

func newCentre(tb testing.TB) *centre {
	tb.Helper()
	dir, err := os.MkdirTemp("", "keyreeve-enforcer-") //nolint:usetesting // t.TempDir is closed to the uids of the homes
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	door, err := homes.Open()
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := door.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &centre{tb: tb, dir: dir, door: door}
}

// account makes a home, whose authorized_keys has the text.
func (c *centre) account(name, text string) homes.Account {
	c.tb.Helper()
	a := homes.Account{Name: name, UID: os.Geteuid(), GID: os.Getegid(), Home: filepath.Join(c.dir, name)}
	if a.UID == 0 {
		a.UID, a.GID = firstUID+c.count, firstUID+c.count
	}
	c.count++
	for _, err := range []error{
		os.MkdirAll(filepath.Join(a.Home, ".ssh"), 0o700), os.WriteFile(c.file(a), []byte(text), 0o600), os.Chmod(a.Home, 0o700),
	} {
		if err != nil {
			c.tb.Fatal(err)
		}
	}
	for _, path := range []string{a.Home, filepath.Join(a.Home, ".ssh"), c.file(a)} {
		if err := os.Lchown(path, a.UID, a.GID); err != nil {
			c.tb.Fatal(err)
		}
	}
	return a
}

func (c *centre) file(a homes.Account) string {
	return filepath.Join(a.Home, ".ssh", "authorized_keys")
}

func (c *centre) read(a homes.Account) string {
	c.tb.Helper()
	data, err := os.ReadFile(c.file(a))
	if err != nil {
		c.tb.Fatal(err)
	}
	return string(data)
}

// plan reads and plans alice's file for real.
func (c *centre) plan(a homes.Account, registered ...string) enforcer.Plan {
	c.tb.Helper()
	file, err := c.door.Read(a, "authorized_keys")
	if err != nil {
		c.tb.Fatal(err)
	}
	return enforcer.MakePlan(enforcer.Input{Account: a, Name: "authorized_keys", File: file, Grants: grants(c.tb, registered...)})
}

// trail remembers records and what the file held when they came.
type trail struct {
	mu      sync.Mutex
	records []audit.Record
	fail    func(audit.Record) error
	seen    func()
}

func (t *trail) write(records ...audit.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen != nil {
		t.seen()
	}
	for _, r := range records {
		if t.fail != nil {
			if err := t.fail(r); err != nil {
				return err
			}
		}
	}
	t.records = append(t.records, records...)
	return nil
}

func (t *trail) outcomes() []string {
	var list []string
	for _, r := range t.records {
		list = append(list, r.Outcome+" "+r.Action+" "+r.Reason)
	}
	return list
}

func (c *centre) enforcer(tr *trail) *enforcer.Enforcer {
	return &enforcer.Enforcer{
		Homes: c.door, Trail: tr.write, Now: func() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) },
		Quarantine: enforcer.Quarantine{Dir: filepath.Join(c.dir, "quarantine"), Budget: 3000},
	}
}

const (
	mixed = "# mine\n" + lineB + " intruder\n" + lineA + " me\n"
	clean = "# mine\n" + lineA + " me\n"
)

// The order is the law: intent on disk, copy in quarantine, change, outcome on disk.
func TestApply(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	var held []string
	tr := &trail{seen: func() { held = append(held, c.read(a)) }}
	if err := c.enforcer(tr).Apply(c.plan(a, lineA)); err != nil {
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
		ID: tr.records[0].ID, Time: c.enforcer(tr).Now(), User: "alice", UID: a.UID, Name: "authorized_keys", Path: c.file(a),
		State: "regular", Content: []byte(mixed),
		Lines: []enforcer.CopyLine{{Line: 2, Reason: "unregistered", Fingerprint: tr.records[1].Key.Fingerprint()}},
	}
	if diff := cmp.Diff(want, kept); err != nil || diff != "" {
		t.Errorf("%v; the copy in quarantine: %s", err, diff)
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

// Who writes again and again what is to be removed does not fill the disk: his oldest copies go, and the trail says so.
func TestQuarantineHasABudget(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	tr := &trail{}
	hand := c.enforcer(tr)
	hand.Now = time.Now
	for i := range 20 {
		if err := os.WriteFile(c.file(a), fmt.Appendf([]byte(mixed), "# %d\n", i), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := hand.Apply(c.plan(a, lineA)); err != nil {
			t.Fatal(err)
		}
	}
	copies, err := filepath.Glob(filepath.Join(c.dir, "quarantine", "alice", "*"))
	var size int64
	for _, path := range copies {
		if info, err := os.Stat(path); err == nil {
			size += info.Size()
		}
	}
	if err != nil || size > 3000 || size < 2000 {
		t.Errorf("%d copies of %d bytes are left (%v)", len(copies), size, err)
	}
	dropped := 0
	for _, r := range tr.records {
		if r.Action == audit.DropCopy {
			dropped++
			if slices.Contains(copies, r.Quarantine) {
				t.Errorf("%s is there, but the trail says that it went", r.Quarantine)
			}
		}
	}
	if dropped != 20-len(copies) {
		t.Errorf("%d copies went, and the trail tells of %d", 20-len(copies), dropped)
	}
	list, err := hand.Quarantine.List("alice")
	if err != nil || len(list) != len(copies) || !strings.HasSuffix(string(list[len(list)-1].Content), "# 19\n") {
		t.Errorf("%d copies are listed, %v", len(list), err)
	}
}

// Neither the trail nor a copy grows with the number of lines.
func TestApplyOfManyLines(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", strings.Repeat("x\n", 4000)+mixed)
	tr := &trail{}
	if err := c.enforcer(tr).Apply(c.plan(a, lineA)); err != nil {
		t.Fatal(err)
	}
	if len(tr.records) > 110 {
		t.Errorf("%d records", len(tr.records))
	}
	if !slices.ContainsFunc(tr.records, func(r audit.Record) bool { return r.Message == "3901 more lines like this" && r.Reason == "no-key" }) {
		t.Errorf("no record tells of the other lines: %v", tr.outcomes()[100:])
	}
	if !slices.ContainsFunc(tr.records, func(r audit.Record) bool { return r.Reason == "unregistered" }) {
		t.Error("no record tells of the key")
	}
	if list, err := c.enforcer(tr).Quarantine.List(""); err != nil || len(list) != 1 || len(list[0].Lines) > 200 {
		t.Errorf("%v, %v", list, err)
	}
}

// What comes back from quarantine is what is granted now, and nothing else.
func TestRestore(t *testing.T) {
	kept := enforcer.Copy{ID: "X", Content: []byte("# mine\n" + lineB + " b\ncert-authority " + lineA + "\nno key\n" + lineD + " d\r\n")}
	for name, c := range map[string]struct {
		registered []string
		file       homes.File
		after      string
	}{
		"nothing granted": {[]string{lineA}, regular(lineA + "\n"), ""},
		"one":             {[]string{lineA, lineB}, regular(lineA + "\n"), lineA + "\n" + lineB + " b\n"},
		"no end of line":  {[]string{lineA, lineD}, regular(lineA), lineA + "\n" + lineD + " d\n"},
		"there already":   {[]string{lineB}, regular(lineB + " b\n"), ""},
		"no file":         {[]string{lineB}, homes.File{State: homes.Missing}, lineB + " b\n"},
		"bound":           {[]string{"restrict " + lineB}, regular(""), "restrict " + lineB + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			in := enforcer.Input{Account: alice, Name: "authorized_keys", File: c.file, Grants: grants(t, c.registered...)}
			p, verdicts := enforcer.Restore(in, kept)
			if p.Change != (c.after != "") || p.Change && string(p.After) != c.after || len(verdicts) != 4 {
				t.Errorf("change %v to %q; %v", p.Change, p.After, verdicts)
			}
			if !bytes.Equal(p.Original, c.file.Data) {
				t.Errorf("the plan's original is %q", p.Original)
			}
		})
	}
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
	if r := l.Look(a); r.Err != nil || !r.Pending() {
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
	if err := sweep(t.Context(), accounts, 3, func(r enforcer.Result) {
		if r.Err != nil || r.NoHome != (r.Account.Name == "nohome") || r.Pending() == r.NoHome {
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
	err := sweep(ctx, accounts, 1, func(enforcer.Result) {
		if n++; n == 2 {
			stop()
		}
	})
	if n > 4 || !errors.Is(err, context.Canceled) {
		t.Errorf("a sweep that was ended at its second result gave %d and %v", n, err)
	}
}

func BenchmarkMakePlan(b *testing.B) {
	in := enforcer.Input{Account: alice, Name: "authorized_keys", File: regular(strings.Repeat(mixed, 3)), Grants: grants(b, lineA)}
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
		if err := (enforcer.Looker{Homes: c.door, Grants: g}).Sweep(b.Context(), accounts, 16, func(r enforcer.Result) {
			if r.Err != nil || r.Pending() {
				b.Fatalf("%+v", r)
			}
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/home")
}
