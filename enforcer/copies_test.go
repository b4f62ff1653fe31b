package enforcer_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A copy that root once made immutable stops nobody's removal, is told, and lets the others not grow without a bound.
func TestCopyThatCannotGo(t *testing.T) {
	testenv.Need(t, "root")
	c, tr := newCentre(t), &trail{}
	a, b := c.account("alice", mixed), c.account("bob", mixed)
	hand := c.enforcer(tr)
	hand.Now, hand.Quarantine.Budget, hand.Quarantine.MaxSize = time.Now, 1<<20, 3000
	if err := c.change(hand, a, "x"); err != nil {
		t.Fatal(err)
	}
	kept := c.copies("alice")[0]
	if out, err := exec.CommandContext(t.Context(), "chattr", "+i", kept).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	loose := func() {
		if out, err := exec.Command("chattr", "-i", kept).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	}
	defer func() { loose() }()
	for range 20 {
		if err := errors.Join(c.change(hand, a, "y"), c.change(hand, b, "z")); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.read(b); strings.Contains(got, lineB) {
		t.Errorf("the file holds %q", got)
	}
	if n := len(c.copies("*")); n > 6 {
		t.Errorf("%d copies are left", n)
	}
	told := 0
	for _, r := range tr.records {
		if r.Action == audit.DropCopy && r.Outcome == audit.Failure && r.Quarantine == kept {
			told++
		}
	}
	if err := hand.Quarantine.Stuck(); err == nil || !strings.Contains(err.Error(), kept) || told != 1 {
		t.Errorf("told: %v, and by %d records", err, told)
	}
	if held, _, err := hand.Quarantine.Load(); held < 2000 || held > 6000 || err != nil {
		t.Errorf("%d bytes are counted, %v", held, err)
	}
	hand.Quarantine.MaxSize = 1500
	if err := hand.TrimQuarantine(); err == nil || !strings.Contains(err.Error(), kept) {
		t.Error("a trim says nothing of it")
	}
	loose()
	loose = func() {}
	hand.Quarantine.MaxSize = 100
	if err := hand.TrimQuarantine(); err != nil || hand.Quarantine.Stuck() != nil {
		t.Errorf("when it can go: %v", err)
	}
	if _, err := os.Stat(kept); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// Where the clock was set back, the copy of a change has not the newest name, and stays.
func TestBudgetSparesTheCopyOfTheChange(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	hand := c.enforcer(&trail{})
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	hand.Now = func() time.Time { now = now.Add(time.Second); return now }
	for range 6 {
		if err := c.change(hand, a, "x"); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(-24 * time.Hour)
	if err := c.change(hand, a, "the last"); err != nil {
		t.Fatal(err)
	}
	for copied := range hand.Quarantine.Since("alice", time.Time{}) {
		if strings.Contains(string(copied.Content), "# the last\n") {
			return
		}
	}
	t.Errorf("the copy of the change is gone; left are %v", c.copies("alice"))
}

// A clock that is two years ahead once, as before it was set after a boot makes no copy old.
func TestQuarantineOutlivesALeapOfTheClock(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	hand := c.enforcer(&trail{})
	day := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	hand.Now = func() time.Time { return day }
	hand.Quarantine.MaxAge = 400 * 24 * time.Hour
	if err := c.change(hand, a, "x"); err != nil {
		t.Fatal(err)
	}
	trim := func(when string, left int) {
		t.Helper()
		if err := hand.TrimQuarantine(); err != nil || len(c.copies("alice")) != left {
			t.Fatalf("%s: %v; left are %v", when, err, c.copies("alice"))
		}
	}
	for range 60 {
		trim("from day to day", 1)
		day = day.AddDate(0, 0, 1)
	}
	day = day.AddDate(2, 0, 0)
	for range 39 {
		trim("two years ahead", 1)
		day = day.AddDate(0, 0, 1)
	}
	day = day.AddDate(-2, 0, 0)
	trim("set right", 1)
	for range 10 {
		trim("from month to month", 1)
		day = day.AddDate(0, 1, 0)
	}
	if err := os.WriteFile(filepath.Join(hand.Quarantine.Dir, "clock.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	trim("with a damaged note", 1)
	day = day.AddDate(0, 1, 0)
	trim("a month later", 1)
	day = day.AddDate(0, 1, 0)
	trim("when the clock has gone on for two months", 0)
}

// What cannot be read is not empty, and hides nothing else.
func TestQuarantineThatCannotBeRead(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	hand := c.enforcer(&trail{})
	if err := c.change(hand, a, "x"); err != nil {
		t.Fatal(err)
	}
	q := hand.Quarantine
	if err := os.WriteFile(filepath.Join(q.Dir, "alice", "20200101T000000.000000Z-authorized_keys-A"), []byte("{"), 0o400); err != nil {
		t.Fatal(err)
	}
	list, err := q.List("")
	if len(list) != 1 || err == nil || !strings.Contains(err.Error(), "authorized_keys-A") {
		t.Errorf("beside a damaged copy: %d, %v", len(list), err)
	}
	if copied, err := q.Find(list[0].ID); err != nil || len(copied.Content) == 0 {
		t.Errorf("found: %v", err)
	}
	file := &enforcer.Quarantine{Dir: filepath.Join(c.dir, "file")}
	if err := os.WriteFile(file.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := file.List(""); err == nil || list != nil {
		t.Errorf("a file in its place: %v, %v", list, err)
	}
	if _, err := file.Find("ABC"); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("a file in its place: %v", err)
	}
	wrong := 0
	for _, err := range file.Since("alice", time.Time{}) {
		if err != nil {
			wrong++
		}
	}
	if wrong != 1 {
		t.Errorf("%d errors", wrong)
	}
}

// pushy is a door by which something goes aside at each change that no look had seen.
type pushy struct {
	enforcer.Homes
	otherwise error
}

func (p pushy) Replace(a homes.Account, file string, before homes.Version, after []byte, others ...string) error {
	if err := p.Homes.Replace(a, file, before, after, others...); err != nil {
		return err
	}
	return fmt.Errorf("account %s: %w", a.Name, &homes.Displaced{Name: ".x-aside", Data: []byte(lineD + " late\n"), Err: p.otherwise})
}

// What went aside unseen has a record and a copy, and does not make a failure of a change.
func TestApplyTellsOfWhatCameLate(t *testing.T) {
	for name, c := range map[string]struct {
		otherwise error
		last      string
	}{"done": {nil, "success replace-file "}, "not what was written": {homes.ErrChanged, "failure replace-file "}} {
		t.Run(name, func(t *testing.T) {
			centre, tr := newCentre(t), &trail{}
			a := centre.account("alice", mixed)
			hand := centre.enforcer(tr)
			hand.Homes = pushy{centre.door, c.otherwise}
			if err := hand.Apply(centre.plan(a, lineA)); (err == nil) != (c.otherwise == nil) || !errors.Is(err, c.otherwise) {
				t.Errorf("error %v", err)
			}
			got := tr.outcomes()
			if len(got) != 4 || got[2] != "success replace-file unsteady" || got[3] != c.last || tr.records[2].ID == tr.records[3].ID {
				t.Fatalf("records %v", got)
			}
			kept, err := hand.Quarantine.Find(tr.records[2].ID)
			if err != nil || string(kept.Content) != lineD+" late\n" || !strings.HasSuffix(tr.records[2].Quarantine, kept.ID) {
				t.Errorf("copy %+v, %v", kept, err)
			}
			if len(centre.copies("alice")) != 2 {
				t.Errorf("copies %v", centre.copies("alice"))
			}
		})
	}
}

// The newest copies of a user are his last ones, without their content; one that cannot be read leaves the others.
func TestNewestCopies(t *testing.T) {
	c, tr := newCentre(t), &trail{}
	a, b := c.account("alice", mixed), c.account("bob", mixed)
	hand := c.enforcer(tr)
	hand.Now = time.Now
	for _, account := range []homes.Account{a, a, a, b} {
		if err := c.change(hand, account, "y"); err != nil {
			t.Fatal(err)
		}
	}
	all, err := hand.Quarantine.List("alice")
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	got, err := hand.Quarantine.Newest("alice", 2)
	if diff := cmp.Diff(all[1:], got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	damaged := c.copies("alice")[2]
	if err := errors.Join(os.Chmod(damaged, 0o600), os.WriteFile(damaged, []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got, err := hand.Quarantine.Newest("alice", 9); err == nil || len(got) != 2 {
		t.Errorf("with a damaged one: %v %v", got, err)
	}
	if got, err := hand.Quarantine.Newest("carol", 9); len(got) > 0 || err != nil {
		t.Errorf("of nobody: %v %v", got, err)
	}
}
