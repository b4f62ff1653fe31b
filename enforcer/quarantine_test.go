package enforcer_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
)

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
		if r.Action == audit.DropCopy && r.Outcome == audit.Success {
			dropped++
			if slices.Contains(copies, r.Quarantine) {
				t.Errorf("%s is there, but the trail says that it went", r.Quarantine)
			}
			if r.User != "alice" || r.UID != a.UID || r.File != c.file(a) || r.Reason != "user-budget" {
				t.Errorf("record %+v", r)
			}
		}
	}
	if dropped != 20-len(copies) {
		t.Errorf("%d copies went, and the trail tells of %d", 20-len(copies), dropped)
	}
	list, err := hand.Quarantine.List("alice")
	if err != nil || len(list) != len(copies) || list[0].Content != nil {
		t.Fatalf("%d copies are listed, %v", len(list), err)
	}
	if last, err := hand.Quarantine.Find(list[len(list)-1].ID); err != nil || !strings.HasSuffix(string(last.Content), "# 19\n") {
		t.Errorf("the last copy has %q, %v", last.Content, err)
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

// A user's records have a budget of an hour, so that he cannot fill the disk of the trail; nobody else's get fewer for that.
func TestRecordsHaveABudget(t *testing.T) {
	c := newCentre(t)
	alice, bob := c.account("alice", ""), c.account("bob", "")
	tr := &trail{}
	hand := c.enforcer(tr)
	hand.Allowance = enforcer.NewAllowance()
	now := time.Now()
	hand.Now = func() time.Time { return now }
	change := func(a homes.Account) (records int) {
		t.Helper()
		if err := os.WriteFile(c.file(a), []byte(strings.Repeat("x\n", 4000)+mixed), 0o600); err != nil {
			t.Fatal(err)
		}
		before := len(tr.records)
		if err := hand.Apply(c.plan(a, lineA)); err != nil {
			t.Fatal(err)
		}
		return len(tr.records) - before
	}
	for n := 0; change(alice) > 100; n++ {
		if n == 100 {
			t.Fatal("there is no end of records")
		}
	}
	last := tr.records[len(tr.records)-5:]
	if n := change(alice); n > 5 { // with those of a copy that goes
		t.Errorf("%d records", n)
	}
	if !slices.ContainsFunc(last, func(r audit.Record) bool {
		return r.Action == audit.RemoveLine && r.Reason == "record-budget" && strings.HasPrefix(r.Message, "4001 lines;") && r.Quarantine != ""
	}) {
		t.Errorf("no record tells of the lines: %+v", last)
	}
	if n := change(bob); n < 100 {
		t.Errorf("%d records of another user", n)
	}
	now = now.Add(time.Hour)
	if n := change(alice); n < 100 {
		t.Errorf("%d records an hour later", n)
	}
	// So it is with keys of his own that he has added: a link in the place of the file is replaced by all of them.
	var own []string
	for i := range byte(150) {
		own = append(own, "ssh-ed25519 "+base64.StdEncoding.EncodeToString(append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), bytes.Repeat([]byte{i, 7}, 16)...)))
	}
	added := func() (records int) {
		t.Helper()
		if err := errors.Join(os.Remove(c.file(alice)), os.Symlink("x", c.file(alice))); err != nil {
			t.Fatal(err)
		}
		before := len(tr.records)
		if err := hand.Apply(c.plan(alice, own...)); err != nil {
			t.Fatal(err)
		}
		return len(tr.records) - before
	}
	if n := added(); n < 100 || n > 110 {
		t.Errorf("%d records of 150 keys", n)
	}
	for n := 0; added() > 100; n++ {
		if n == 100 {
			t.Fatal("there is no end of records")
		}
	}
	if n := added(); n > 5 {
		t.Errorf("%d records", n)
	}
}

// What comes back from quarantine is what is granted now, and nothing else.
func TestRestore(t *testing.T) {
	kept := enforcer.Copy{ID: "X", User: "alice", Name: ".ssh/authorized_keys", Content: []byte("# mine\n" + lineB + " b\ncert-authority " + lineA + "\nno key\n" + lineD + " d\r\n")}
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
			g := grants(t, c.registered...)
			look := enforcer.Looker{Homes: shelf{".ssh/authorized_keys": c.file}, Grants: g}.Restoring(kept)
			p, verdicts := look.Look(alice).Plans[0], kept.Judge(g)
			if p.Change != (c.after != "") || p.Change && string(p.After) != c.after || len(verdicts) != 4 {
				t.Errorf("change %v to %q; %v", p.Change, p.After, verdicts)
			}
			if comes := c.after != ""; comes != (len(p.Back) == 1) {
				t.Errorf("%d lines come back", len(p.Back))
			}
			if !bytes.Equal(p.Original, c.file.Data) {
				t.Errorf("the plan's original is %q", p.Original)
			}
		})
	}
}
