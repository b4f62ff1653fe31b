package enforcer_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/policy"
)

// pad is a brake's file, and a hand that trips it: one person may lose his key.
type pad struct {
	*centre
	trail  *trail
	hand   *enforcer.Enforcer
	brakes *enforcer.Brakes
	path   string
}

func newPad(tb testing.TB) *pad {
	tb.Helper()
	c, tr := newCentre(tb), &trail{}
	p := &pad{centre: c, trail: tr, hand: c.enforcer(tr), path: filepath.Join(c.dir, "brake")}
	p.hand.Now = func() time.Time { return noon }
	var err error
	if p.brakes, err = enforcer.OpenBrakes(p.path); err != nil || p.brakes.State().On() {
		tb.Fatalf("one that is not there: %v", err)
	}
	return p
}

// loses carries a plan to the brake by which a user loses the key A.
func (p *pad) loses(user string) error {
	p.tb.Helper()
	return p.losesAt(user, noon)
}

func (p *pad) losesAt(user string, since time.Time) error {
	p.tb.Helper()
	a := alice
	a.Name = user
	plan := enforcer.MakePlan(enforcer.Input{Account: a, Name: ".ssh/authorized_keys", File: regular(lineA + "\n"), Grants: grants(p.tb, lineB).WithFormer(nil)})
	for i := range plan.Remove {
		plan.Remove[i].Reason = "no-longer-registered"
	}
	return p.hand.Admit(p.brakes, enforcer.Brake{People: 1, Window: time.Hour}, plan, []enforcer.Loss{{User: user, Key: mustKey(p.tb, lineA), Since: since}})
}

func TestBrakes(t *testing.T) {
	p := newPad(t)
	if err := errors.Join(p.loses("u1"), p.loses("u1")); err != nil || p.trail.records != nil {
		t.Fatalf("%v, and the trail has %v", err, p.trail.outcomes())
	}
	if err := p.loses("u2"); !errors.Is(err, enforcer.ErrBraked) {
		t.Fatalf("one more: %v", err)
	}
	want := []string{"intent trip-brake brake", "intent trip-brake brake", "success trip-brake brake", "success trip-brake brake"}
	if got := p.trail.outcomes(); !slices.Equal(got, want) || p.trail.records[3].User != "u2" || p.trail.records[0].ID != p.trail.records[3].ID {
		t.Errorf("the trail has %v", got)
	}
	again, err := enforcer.OpenBrakes(p.path)
	if err != nil || !again.State().On() || !slices.Equal(again.State().People, []string{"u1", "u2"}) || !again.State().Tripped.Equal(noon) {
		t.Errorf("read back: %+v, %v", again.State(), err)
	}
	p.brakes = again
	if err := p.loses("u1"); !errors.Is(err, enforcer.ErrBraked) || len(p.trail.records) != 4 {
		t.Errorf("the state was counted anew by another process: %v, %v", err, p.trail.outcomes())
	}
	before, err := p.hand.Release(again, nil, "root", "ticket 7")
	if err != nil || len(before.People) != 2 || again.State().On() {
		t.Errorf("released: %v, %v", before, err)
	}
	if last := p.trail.records[len(p.trail.records)-1]; last.Action != audit.ReleaseBrake || last.Outcome != audit.Success || last.Message != "by root: ticket 7" {
		t.Errorf("the trail ends with %+v", last)
	}
	if _, err := p.hand.Release(again, nil, "root", "ticket 7"); !errors.Is(err, enforcer.ErrNotBraked) {
		t.Errorf("released twice: %v", err)
	}
	if err := errors.Join(p.loses("u1"), p.loses("u2"), p.loses("u3")); err != nil {
		t.Errorf("what was held: %v", err)
	}
}

// An error before the change stops the change, and leaves the brake as it was.
func TestBrakesStop(t *testing.T) {
	p := newPad(t)
	full := errors.New("no space left on device")
	if err := p.loses("u1"); err != nil {
		t.Fatal(err)
	}
	p.trail.fail = func(audit.Record) error { return full }
	if err := p.loses("u2"); !errors.Is(err, full) || errors.Is(err, enforcer.ErrBraked) || p.brakes.State().On() {
		t.Errorf("without a trail: %v", err)
	}
	p.trail.fail = nil
	lock, err := statefile.Lock(p.path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.loses("u2"); err == nil || errors.Is(err, enforcer.ErrBraked) || !strings.Contains(err.Error(), "held by process") {
		t.Errorf("while another process has the lock: %v", err)
	}
	if err := errors.Join(lock.Close(), os.Remove(p.path), os.Mkdir(p.path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := p.loses("u3"); err == nil || errors.Is(err, enforcer.ErrBraked) || !strings.Contains(err.Error(), "read the state of the brake") {
		t.Errorf("with a folder in its place: %v", err)
	}
}

// What cannot be read is not a brake that is off: the error comes with what was known.
func TestBrakesThatCannotBeRead(t *testing.T) {
	p := newPad(t)
	if err := p.loses("u1"); err != nil || !errors.Is(p.loses("u2"), enforcer.ErrBraked) {
		t.Fatal(err)
	}
	good, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string, mode os.FileMode) func() error {
		return func() error { return errors.Join(os.WriteFile(p.path, []byte(text), 0o600), os.Chmod(p.path, mode)) }
	}
	renewed := 0
	for name, spoil := range map[string]func() error{
		"empty": write("", 0o600), "cut": write(string(good[:len(good)/2]), 0o600), "twice": write(string(good)+string(good), 0o600),
		"a later version": write(strings.Replace(string(good), `"version": 1`, `"version": 2`, 1), 0o600),
		"a field more":    write(strings.Replace(string(good), `{`, `{"more": 1,`, 1), 0o600), "writable by others": write(string(good), 0o622),
		"gone": func() error { return os.Remove(p.path) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if state, err := p.brakes.Current(); err == nil || !strings.HasPrefix(err.Error(), "read the state of the brake: ") || !state.On() {
			t.Errorf("%s: %v, and the brake is on: %v", name, err, state.On())
		}
		another, err := enforcer.OpenBrakes(p.path)
		if (err == nil) != (name == "gone") {
			t.Errorf("%s, at the start: %v", name, err)
		}
		if name == "gone" {
			if lost, err := another.Refresh(); lost != nil || err != nil || another.Renewed() != 0 {
				t.Errorf("who has never seen a file writes one: %v, %v", lost, err)
			}
		}
		if name == "gone" || name == "cut" { // before a change
			if err := p.loses("u3"); !errors.Is(err, enforcer.ErrBraked) {
				t.Errorf("%s: %v", name, err)
			}
		}
		renewed++
		if lost, err := p.brakes.Refresh(); err != nil || lost == nil || !strings.HasPrefix(lost.Error(), "read the state of the brake: ") {
			t.Errorf("%s: lost %v, %v", name, lost, err)
		}
		if again, err := enforcer.OpenBrakes(p.path); err != nil || !again.State().On() || len(again.State().People) != 2 {
			t.Errorf("%s: what was written anew says %+v, %v", name, again.State(), err)
		}
		if lost, err := p.brakes.Refresh(); lost != nil || err != nil || p.brakes.Renewed() != renewed {
			t.Errorf("%s: %v, %v, and it was written anew %d times", name, lost, err, p.brakes.Renewed())
		}
	}
	if err := errors.Join(os.Remove(p.path), os.Mkdir(p.path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if lost, err := p.brakes.Refresh(); err == nil || lost != nil || !p.brakes.State().On() {
		t.Errorf("with a folder in its place: %v, %v", lost, err)
	}
	if err := os.Remove(p.path); err != nil {
		t.Fatal(err)
	}
	if _, err := p.hand.Release(p.brakes, nil, "root", "x"); err != nil || p.brakes.State().On() {
		t.Errorf("a release of what is known: %v", err)
	}
}

// What is held stays where it is, and comes back from nowhere.
func TestRestoreOfWhatIsHeld(t *testing.T) {
	held := policy.Former{User: "alice", Grant: policy.Grant{Key: mustKey(t, lineA), Held: "why"}, Since: noon}
	in := enforcer.Input{
		Account: alice, Name: ".ssh/authorized_keys", File: regular(lineB + "\n"), Grants: grants(t, lineB).WithFormer([]policy.Former{held}), Install: true,
	}
	kept := enforcer.Copy{User: "alice", Name: in.Name, Content: []byte(lineA + "\n")}
	look := enforcer.Looker{Homes: shelf{in.Name: in.File}, Grants: in.Grants, Install: true}.Restoring(kept)
	plan, verdicts := look.Look(alice).Plans[0], kept.Judge(in.Grants)
	if plan.Change || len(verdicts) != 1 || verdicts[0].Reason != policy.ReasonHeld || verdicts[0].Granted() {
		t.Errorf("%+v, %v", plan, verdicts)
	}
	in.File = regular(lineA + " mine\n" + lineB + "\n")
	if plan = enforcer.MakePlan(in); plan.Change || plan.Keep[0].Reason != policy.ReasonHeld || plan.Keep[0].Detail != "why" {
		t.Errorf("%+v", plan)
	}
}
