package enforcer_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/registry"
)

// expects lets a key of many people past the brake, at noon.
func (p *played) expects(n int) {
	x := enforcer.Expected{At: noon, Keys: make(map[string][]string)}
	for i := range n {
		x.Keys[fmt.Sprintf("u%02d", i)] = []string{p.key.Fingerprint()}
	}
	p.state.Expected = append(p.state.Expected, x)
}

// What was let past the brake neither counts nor is held: that key of that user, lost after it was said, and nothing else.
func TestBrakeExpects(t *testing.T) {
	other := mustKey(t, lineB)
	for name, c := range map[string]struct {
		change func(*enforcer.Loss)
		on     bool
	}{
		"as expected":     {nil, false},
		"another key":     {func(l *enforcer.Loss) { l.Key = other }, true},
		"another user":    {func(l *enforcer.Loss) { l.User += "x" }, true},
		"before it":       {func(l *enforcer.Loss) { l.Since = noon.Add(-time.Second) }, true},
		"days after it":   {func(l *enforcer.Loss) { l.Since = noon.Add(73 * time.Hour) }, true},
		"the day after":   {func(l *enforcer.Loss) { l.Since = noon.Add(24 * time.Hour) }, false},
		"a settled other": {func(l *enforcer.Loss) { l.Key, l.Settled = other, true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t)
			p.expects(20)
			for i := range 20 {
				loss := p.loss(fmt.Sprintf("u%02d", i), 0)
				if c.change != nil {
					c.change(&loss)
				}
				p.state, _ = p.brake.Admit(p.state, loss.User, []enforcer.Loss{loss}, loss.Since)
			}
			if p.state.On() != c.on {
				t.Errorf("the brake is on: %v, and counted are %v", p.state.On(), p.state.Counted)
			}
		})
	}
	// A brake that is on holds others, as it did, and a release is no end of what was expected.
	p := play(t)
	p.expects(10)
	for i := range 4 {
		p.loses(fmt.Sprintf("x%d", i), 0, 0)
	}
	if got := p.holds(p.loss("u01", 0), p.loss("x3", 0)); !p.state.On() || !slices.Equal(got, []string{"x3"}) {
		t.Errorf("held are %v", got)
	}
	if refused := p.crowd(10, 0); refused != 0 {
		t.Errorf("%d of those who were expected are refused", refused)
	}
	p.state = p.state.Release(nil, p.at(1))
	if refused := p.crowd(10, 2); refused != 0 || len(p.state.Counted) != 0 {
		t.Errorf("after a release %d are refused, and counted are %v", refused, p.state.Counted)
	}
}

// What is expected is in the file of the brake, with a record before; where there is none, nothing is.
func TestExpect(t *testing.T) {
	p := newPad(t)
	v := enforcer.Verdict{LossDigest: strings.Repeat("0123456789abcdef", 4), Items: []registry.Item{
		{User: "u1"}, {User: "u1", Key: mustKey(t, lineA)}, {User: "u2", Key: mustKey(t, lineA)}, {User: "u2", Key: mustKey(t, lineB)},
	}}
	full := errors.New("no space left on device")
	p.trail.fail = func(audit.Record) error { return full }
	if _, err := p.hand.Expect(p.brakes, v, "root", "ticket 7"); !errors.Is(err, full) || len(p.brakes.State().Expected) > 0 {
		t.Errorf("without a trail: %v", err)
	}
	p.trail.fail, p.trail.records = nil, nil
	keys, err := p.hand.Expect(p.brakes, v, "root", "ticket 7")
	if want := []string{"intent release-brake brake", "success release-brake brake"}; keys != 3 || err != nil || !slices.Equal(p.trail.outcomes(), want) {
		t.Errorf("%d keys, %v, and the trail has %v", keys, err, p.trail.outcomes())
	}
	if got := p.trail.records[0].Message; got != "beforehand, for 3 keys of 2 people, by the loss 0123456789abcdef, by root: ticket 7" {
		t.Errorf("the trail says %q", got)
	}
	if p.brakes, err = enforcer.OpenBrakes(p.path); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.loses("u1"), p.loses("u2"), p.loses("u3")); err != nil {
		t.Errorf("two who were expected and one: %v", err)
	}
	if err := p.loses("u4"); !errors.Is(err, enforcer.ErrBraked) {
		t.Errorf("one more: %v", err)
	}
	if keys, err := p.hand.Expect(p.brakes, enforcer.Verdict{Items: []registry.Item{{User: "u1"}}}, "root", "x"); keys != 0 || err != nil {
		t.Errorf("nobody loses a key: %d, %v", keys, err)
	}
	// More than the file may hold is refused, and the file stays one that can be read.
	before, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60_000 {
		v.Items = append(v.Items, registry.Item{User: fmt.Sprintf("user%d", i), Key: mustKey(t, lineA)})
	}
	_, err = p.hand.Expect(p.brakes, v, "root", "x")
	if after, wrong := os.ReadFile(p.path); err == nil || wrong != nil || string(before) != string(after) {
		t.Errorf("too many: %v, %v", err, wrong)
	}
}

// An end of a project in one word: everybody whose loss was accepted loses his key, and the next mass loss trips the brake.
func TestRunnerExpects(t *testing.T) {
	for _, past := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrew(t)
			c.settings.Brake.People = 2
			c.start()
			c.registered(1)
			time.Sleep(6 * time.Minute)
			if past {
				v, err := openGate(t, c.dir+"/state/registry").Waiting(usual)
				if err != nil {
					t.Fatal(err)
				}
				brakes, err := enforcer.OpenBrakes(c.dir + "/brake")
				if err != nil {
					t.Fatal(err)
				}
				if keys, err := c.hand.Expect(brakes, *v, "root", "the project ended"); keys != 4 || err != nil {
					t.Fatal(keys, err)
				}
			}
			c.accept()
			left := 0
			for _, a := range c.list[1:] {
				if c.read(a) != none {
					left++
				}
			}
			if on := c.seen.Load().Braked; on == past || past != (left == 0) {
				t.Errorf("let past the brake: %v, but it is on: %v, and %d have their key", past, on, left)
			}
			c.end()
		})
	}
}
