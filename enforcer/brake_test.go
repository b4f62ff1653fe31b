package enforcer_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
)

func mustKey(tb testing.TB, text string) authkeys.Key {
	tb.Helper()
	line, err := authkeys.ParseValue([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return line.Key
}

// noon is when the brake's tests begin.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// played is a brake that a test drives: minutes are counted from noon.
type played struct {
	t     *testing.T
	brake enforcer.Brake
	state enforcer.BrakeState
	key   authkeys.Key
}

func play(t *testing.T) *played {
	t.Helper()
	return &played{t: t, brake: enforcer.Brake{People: 3, Window: time.Hour}, key: mustKey(t, lineA)}
}

func (p *played) at(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }

func (p *played) loss(user string, since int) enforcer.Loss {
	return enforcer.Loss{User: user, Key: p.key, Since: p.at(since)}
}

// loses lets a user lose a key, which the registry took at a minute, at another one.
func (p *played) loses(user string, since, minute int) error {
	return p.admit(p.loss(user, since), minute)
}

func (p *played) admit(loss enforcer.Loss, minute int) error {
	state, err := p.brake.Admit(p.state, loss.User, []enforcer.Loss{loss}, p.at(minute))
	if err != nil && !errors.Is(err, enforcer.ErrBraked) {
		p.t.Errorf("error %v", err)
	}
	p.state = state
	return err
}

// crowd lets a number of people lose keys that were just taken.
func (p *played) crowd(n, minute int) (refused int) {
	for i := range n {
		if p.loses(fmt.Sprintf("u%02d", i), minute, minute) != nil {
			refused++
		}
	}
	return refused
}

// holds tells whose losses are held, long after.
func (p *played) holds(losses ...enforcer.Loss) (users []string) { return p.holdsAt(1000, losses...) }

func (p *played) holdsAt(minute int, losses ...enforcer.Loss) (users []string) {
	for _, loss := range p.brake.Holds(p.state, losses, p.at(minute)) {
		users = append(users, loss.User)
	}
	return users
}

func TestBrakeTrips(t *testing.T) {
	for name, c := range map[string]struct {
		play func(p *played)
		on   bool
	}{
		"as many as may": {func(p *played) { p.crowd(3, 0) }, false},
		"one more":       {func(p *played) { p.crowd(4, 0) }, true},
		"one person, again and again": {func(p *played) {
			for i := range 50 {
				if p.loses("alice", i, i) != nil {
					p.t.Error("refused")
				}
			}
		}, false},
		"a person a minute more than the window apart": {func(p *played) {
			for i := range 20 {
				if p.loses(fmt.Sprintf("u%d", i), i*21, i*21) != nil {
					p.t.Error("refused")
				}
			}
		}, false},
		"drop by drop within the window": {func(p *played) {
			for i := range 4 {
				p.loses(fmt.Sprintf("u%d", i), i*19, i*19)
			}
		}, true},
		"many who put back what went long ago": {func(p *played) {
			for i := range 50 {
				if p.loses(fmt.Sprintf("u%d", i), 0, 61) != nil {
					p.t.Error("refused")
				}
			}
		}, false},
		"many who put back what was seen to be gone": {func(p *played) {
			for i := range 50 {
				loss := p.loss(fmt.Sprintf("u%d", i), 0)
				loss.Settled = true
				if p.admit(loss, 1) != nil {
					p.t.Error("refused")
				}
			}
		}, false},
		"a clock that was put back": {func(p *played) {
			for i := range 4 {
				p.loses(fmt.Sprintf("u%d", i), 300, 0)
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t)
			if c.play(p); p.state.On() != c.on {
				t.Errorf("the brake is on: %v", p.state.On())
			}
		})
	}
	p := play(t)
	if refused := p.crowd(10, 0); refused != 7 {
		t.Errorf("%d of 10 people were refused", refused)
	}
	if want := []string{"u00", "u01", "u02", "u03"}; !slices.Equal(p.state.People, want) || !p.state.Tripped.Equal(noon) {
		t.Errorf("tripped by %v at %v", p.state.People, p.state.Tripped)
	}
}

// The brake holds what went with many, and is no shield for anything else.
func TestBrakeHolds(t *testing.T) {
	p := play(t)
	if got := p.holds(p.loss("alice", 0)); got != nil {
		t.Errorf("a brake that is not on holds %v", got)
	}
	p.crowd(10, 0)
	settled := p.loss("settled", 0)
	settled.Settled = true
	losses := []enforcer.Loss{p.loss("same", 0), p.loss("earlier", -60), p.loss("long ago", -61), settled, p.loss("later", 90)}
	if got := p.holds(losses...); !slices.Equal(got, []string{"earlier", "same"}) {
		t.Errorf("held are %v", got)
	}
	for _, c := range []struct {
		loss enforcer.Loss
		want bool
	}{{losses[0], true}, {losses[1], true}, {losses[2], false}, {losses[3], false}, {losses[4], false}} {
		if err := p.admit(c.loss, 91); (err != nil) != c.want {
			t.Errorf("%s: %v", c.loss.User, err)
		}
	}
	if len(p.state.People) != 4 {
		t.Errorf("people: %v", p.state.People)
	}
	// The registry goes on losing people while the brake is on: they are held as soon as they are many.
	var more []enforcer.Loss
	for i := range 3 {
		more = append(more, p.loss(fmt.Sprintf("m%d", i), 200+i))
	}
	if got := p.holds(more...); len(got) != 0 {
		t.Errorf("as many as may, and held are %v", got)
	}
	more = append(more, p.loss("m3", 203), p.loss("m3", 204), p.loss("m4", 262), p.loss("m5", 500))
	if got := p.holds(more...); !slices.Equal(got, []string{"m3", "m3"}) {
		t.Errorf("one more, and held are %v", got)
	}
}

// A release admits what was held at that moment, once.
func TestBrakeRelease(t *testing.T) {
	p := play(t)
	p.crowd(10, 0)
	late := p.loss("u08", 15) // its clock was ahead
	losses := []enforcer.Loss{p.loss("u05", 0), p.loss("u06", 0), p.loss("u07", 0), late}
	p.state = p.state.Release(losses, p.at(10))
	if p.state.On() || p.holds(losses...) != nil {
		t.Errorf("after the release: on %v", p.state.On())
	}
	for i := range 10 {
		if err := p.loses(fmt.Sprintf("u%02d", i), 0, 11); err != nil {
			t.Errorf("what was held is refused: %v", err)
		}
	}
	if err := p.admit(late, 16); err != nil || len(p.state.Counted) != 0 {
		t.Errorf("%v, and counted are %v", err, p.state.Counted)
	}
	if refused := p.crowd(10, 20); refused != 7 || !p.state.On() {
		t.Errorf("the next time %d of 10 people are refused", refused)
	}
	if got := p.holds(losses...); got != nil {
		t.Errorf("what was released is held again: %v", got)
	}
}

// year is how far a clock was ahead, in minutes.
const year = 365 * 24 * 60

// What a clock has stamped that was a year ahead neither counts people for a year nor lets the keys of many go.
func TestBrakeAfterAClockAhead(t *testing.T) {
	p := play(t)
	p.crowd(10, year)
	p.state = p.state.Release([]enforcer.Loss{p.loss("u05", year)}, p.at(year+1))
	if err := p.loses("u05", year, 0); err != nil || len(p.state.Counted) != 0 {
		t.Errorf("what was released is refused, or counted: %v, %v", err, p.state.Counted)
	}
	if refused := p.crowd(10, 10); refused != 7 || !p.state.On() {
		t.Errorf("after a release by that clock %d of 10 people are refused", refused)
	}

	p = play(t)
	p.crowd(3, year)
	for _, user := range []string{"v0", "v1", "v2"} {
		if err := p.loses(user, 0, 0); err != nil {
			t.Errorf("whom that clock has counted count: %v", err)
		}
	}
	if p.loses("v3", 0, 0) == nil {
		t.Error("one more was let through")
	}

	p = play(t)
	p.crowd(10, year)
	var losses []enforcer.Loss
	for i := range 4 {
		losses = append(losses, p.loss(fmt.Sprintf("u%02d", i), 0))
	}
	if got := p.holdsAt(1, losses...); len(got) != 4 {
		t.Errorf("of a brake that tripped by that clock, held are %v", got)
	}
	if got := p.holdsAt(1, losses[:3]...); got != nil {
		t.Errorf("as many as may, and held are %v", got)
	}
}

// The brake counts people, not names; and everybody who is another one.
func TestBrakeCountsPersons(t *testing.T) {
	p := play(t)
	named := func(name, person string, minute int) enforcer.Loss {
		loss := p.loss(name, minute)
		loss.Person = person
		return loss
	}
	for i := range 10 {
		if p.admit(named(fmt.Sprint("mallory", i), "uid 7", i), i) != nil {
			t.Error("refused")
		}
	}
	if len(p.state.Counted) != 1 {
		t.Errorf("counted are %v", p.state.Counted)
	}
	for i := range 2 {
		if p.admit(named(fmt.Sprint("u", i), fmt.Sprint("uid ", 20+i), 10), 10) != nil {
			t.Error("as many as may, and one is refused")
		}
	}
	if p.admit(named("u2", "uid 22", 11), 11) == nil || !p.state.On() {
		t.Errorf("one more was let through: %v", p.state)
	}
	// While it is on: what one person lost by many names is no crowd, and what as many people lost is.
	var many, crowd []enforcer.Loss
	for i := range 5 {
		many, crowd = append(many, named(fmt.Sprint("m", i), "uid 7", 300+i)), append(crowd, named(fmt.Sprint("m", i), fmt.Sprint("uid ", i), 300+i))
	}
	if got := p.holds(many...); got != nil {
		t.Errorf("of one person are held %v", got)
	}
	if got := p.holds(crowd...); !slices.Equal(got, []string{"m3", "m4"}) {
		t.Errorf("of five people are held %v", got)
	}
}
