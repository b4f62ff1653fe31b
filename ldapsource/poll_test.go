package ldapsource

import (
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// An entry with a stamp of the future, as slapadd takes it, hides nobody's changes, its own included.
func TestNoticeBesideFutureStamp(t *testing.T) {
	for name, setup := range map[string]testenv.SlapdSetup{"poll": {}, "sync": {Sync: true}} {
		t.Run(name, func(t *testing.T) {
			s := testenv.StartSlapdWith(t, render(append(people(), withAlso(userEntry("ahead", 4200, keyText(60)), "modifyTimestamp", "20990101000000Z"))), setup)
			c := config(s)
			c.Poll = aSecond
			l := listen(t, c)
			l.by(Way(name))
			for i, who := range []string{"user2", "ahead", "user3"} {
				l.drain() // of all, at first, and of who is told twice
				s.Modify(replacing(who, byte(74+i)))
				l.hears(who)
			}
		})
	}
}

func TestStampsAhead(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	year := now.AddDate(1, 0, 0)
	var s stamps
	if !s.since().IsZero() {
		t.Error("stamps before the first")
	}
	for _, step := range []struct {
		dn   string
		at   time.Time
		news bool
	}{
		{"a", year, true},
		{"b", now, true}, // the order does not matter
		{"a", year, true},
		{"a", year, false}, // told twice, and never again
		{"c", now.Add(-slack), true},
		{"d", now.Add(-slack - time.Second), false},
		{"a", now.Add(time.Second), true},
	} {
		if got := s.note(step.dn, step.at, 1); got != step.news {
			t.Errorf("%v is news: %v", step, got)
		}
	}
	if got, want := s.since(), now.Add(time.Second-slack); !got.Equal(want) {
		t.Errorf("asks since %v, want %v", got, want)
	}
	if s.note("a", year, 1) {
		t.Error("what was told of the future is forgotten")
	}
}

// By a clock that is behind all stamps are ahead, and none is passed over.
func TestStampsAllAhead(t *testing.T) {
	year := time.Now().UTC().AddDate(1, 0, 0)
	var s stamps
	s.note("a", year.Add(time.Hour), 1)
	s.note("b", year, 1)
	if got := s.since(); !got.Equal(year) {
		t.Errorf("asks since %v, want %v", got, year)
	}
	if !s.note("b", year.Add(time.Minute), 1) || s.note("a", year.Add(time.Hour), 1) != true || s.note("a", year.Add(time.Hour), 1) {
		t.Error("told too little or too much")
	}
}
