package enforcer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// Each finding is told once, as long as it stays, and what is told is no line of the file.
func TestWarn(t *testing.T) {
	tr, now := &trail{}, time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	w := enforcer.NewWarner(tr.write, func() time.Time { return now })
	warn := func(when, text string, want ...string) {
		t.Helper()
		tr.records = nil
		file := regular(text)
		if text == "" {
			file = homes.File{State: homes.Symlink, Detail: "a link"}
		}
		p := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: file, Grants: grants(t, lineA)})
		if err := w.Warn(p); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if diff := cmp.Diff(want, tr.outcomes()); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
	}
	warn("a clean file", clean)
	warn("an unknown key", mixed, "success warn-line unregistered")
	if r := tr.records[0]; r.User != "alice" || r.UID != alice.UID || r.File != "/home/alice/.ssh/authorized_keys" || r.Line != 2 ||
		r.Key.IsZero() || r.ID == "" || r.Quarantine != "" || r.Time != now {
		t.Errorf("record %+v", r)
	}
	warn("the same again", mixed)
	warn("elsewhere in the file", "# x\n# y\n"+mixed)
	warn("a second one", mixed+lineD+"\n", "success warn-line unregistered")
	warn("the second went", mixed)
	warn("and came back", mixed+lineD+"\n", "success warn-line unregistered")
	warn("what would be written otherwise", lineB+" intruder\n"+`environment="A=b" `+lineA+"\n", "success warn-line options")
	warn("all of it", "", "success warn-file symlink")
	warn("still", "")

	tr.fail = func(audit.Record) error { return errors.New("disk full") }
	p := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: regular(mixed), Grants: grants(t, lineA)})
	if err := w.Warn(p); err == nil {
		t.Error("a trail that fails gave no error")
	}
	tr.fail = nil
	warn("after a failure", mixed, "success warn-line unregistered")
	now = now.Add(time.Hour)
	warn("at the next sweep", mixed)
	now = now.Add(3 * time.Hour)
	bob := enforcer.MakePlan(enforcer.Input{Account: homes.Account{Name: "bob"}, Name: ".ssh/authorized_keys", File: regular(mixed), Grants: grants(t)})
	if err := w.Warn(bob); err != nil {
		t.Error(err)
	}
	tr.records = nil
	warn("of an account that was away", mixed, "success warn-line unregistered")
}

// A user who makes new findings without end gets so many records in an hour; what was kept back then is told later.
func TestWarnHasABudget(t *testing.T) {
	tr, now := &trail{}, time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	w := enforcer.NewWarner(tr.write, func() time.Time { return now })
	warn := func(text string) {
		t.Helper()
		p := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: regular(text), Grants: grants(t, lineA)})
		if err := w.Warn(p); err != nil {
			t.Error(err)
		}
	}
	for i := range 100 {
		var b strings.Builder
		for j := range 300 {
			fmt.Fprintf(&b, "%s %d-%d\n", lineB, i, j)
		}
		warn(b.String())
	}
	if n := len(tr.records); n < 1000 || n > 2500 {
		t.Errorf("%d records in an hour", n)
	}
	tr.records = nil
	warn(mixed)
	if len(tr.records) > 0 {
		t.Errorf("records %v beyond the budget", tr.outcomes())
	}
	now = now.Add(time.Hour)
	warn(mixed)
	if diff := cmp.Diff([]string{"success warn-line unregistered"}, tr.outcomes()); diff != "" {
		t.Errorf("an hour later: %s", diff)
	}
}
