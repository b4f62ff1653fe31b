package enforcer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	past := p.hand.PastBrake(v, "root", "ticket 7")
	p.trail.fail = func(audit.Record) error { return full }
	if err := p.hand.Expect(p.brakes, *past); !errors.Is(err, full) || len(p.brakes.State().Expected) > 0 {
		t.Errorf("without a trail: %v", err)
	}
	p.trail.fail, p.trail.records = nil, nil
	err := errors.Join(p.hand.Expect(p.brakes, *past), p.hand.Expect(p.brakes, *past)) // once, as after a crash
	if want := []string{"intent release-brake brake", "success release-brake brake"}; past.Count() != 3 || err != nil || !slices.Equal(p.trail.outcomes(), want) {
		t.Errorf("%d keys, %v, and the trail has %v", past.Count(), err, p.trail.outcomes())
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
	if past := p.hand.PastBrake(enforcer.Verdict{Items: []registry.Item{{User: "u1"}}}, "root", "x"); past.Count() != 0 || past != nil {
		t.Errorf("nobody loses a key: %v", past)
	}
	// More than the file may hold is refused before anything is accepted.
	for i := range 60_000 {
		v.Items = append(v.Items, registry.Item{User: fmt.Sprintf("user%d", i), Key: mustKey(t, lineA)})
	}
	g := openGate(t, filepath.Join(t.TempDir(), "registry"))
	if err := p.hand.Accept(g, v, "root", p.hand.PastBrake(v, "root", "x")); err == nil || !strings.Contains(err.Error(), "more than can be let past") {
		t.Errorf("too many: %v", err)
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
			c.acceptPast(map[bool]string{true: "the project ended"}[past])
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

// A word past the brake counts with the acceptance that it was given with, and only if that is taken: not where it cannot be written down, nor
// where the directory recovers first, nor where it is void.
func TestRunnerExpectsNothingOfAVoidAcceptance(t *testing.T) {
	for name, void := range map[string]func(c *crew){
		"it cannot be written down": func(c *crew) {
			c.must(os.MkdirAll(c.dir+"/state/registry/accepted/x", 0o700))
			g := openGate(c.t, c.dir+"/state/registry")
			v, err := g.Waiting(usual)
			c.must(err)
			if c.hand.Accept(g, *v, "root", c.hand.PastBrake(*v, "root", "ticket 7")) == nil {
				c.t.Error("it was accepted")
			}
			c.must(os.RemoveAll(c.dir + "/state/registry/accepted"))
			c.whole()
		},
		"another reading is taken first": func(c *crew) {
			g := openGate(c.t, c.dir+"/state/registry")
			v, err := g.Waiting(usual)
			c.must(err)
			c.whole()
			c.runner.Poke()
			synctest.Wait()
			c.must(c.hand.Accept(g, *v, "root", c.hand.PastBrake(*v, "root", "ticket 7")))
			c.runner.Accepted()
		},
		"the brake's file cannot be written": func(c *crew) {
			c.must(os.Mkdir(c.dir+"/brake", 0o700))
			c.acceptPast("ticket 7")
			c.all(clean, "the acceptance waits for the brake")
			c.must(os.Remove(c.dir + "/brake"))
			c.must(os.Remove(c.dir + "/state/registry/accepted"))
			c.whole()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrew(t)
				c.settings.Brake.People = 2
				c.start()
				c.registered(1)
				c.runner.Poke()
				synctest.Wait()
				void(c)
				c.runner.Poke()
				time.Sleep(48 * time.Hour)
				c.all(clean, "it has recovered")
				// Two days later a mistake takes the same keys, below the hold.
				c.settings.Hold = enforcer.Hold{Least: 100}
				c.reload(c.settings)
				c.registered(1)
				c.runner.Poke()
				time.Sleep(time.Minute)
				if !c.seen.Load().Braked {
					c.t.Error("the brake did not stop the third")
				}
				c.end()
			})
		})
	}
}
