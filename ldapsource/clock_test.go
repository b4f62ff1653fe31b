package ldapsource

import (
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// clock asks by a configuration.
func clock(t *testing.T, c LDAPConfig) (ahead time.Duration, known bool, err error) {
	t.Helper()
	l, err := NewLDAP(filled(c))
	if err != nil {
		t.Fatal(err)
	}
	return l.Clock(t.Context())
}

// near reports whether a clock is as far ahead as it should be: servers tell whole seconds, and a test may have to wait.
func near(got, want time.Duration) bool { return (got - want).Abs() < 20*time.Second }

func TestClockOfSlapd(t *testing.T) {
	s := testenv.StartSlapdWith(t, render(people()), testenv.SlapdSetup{Database: "database monitor\naccess to * by users read\n"})
	if ahead, known, err := clock(t, config(s)); err != nil || !known || !near(ahead, 0) {
		t.Errorf("%v ahead, known %v, error %v", ahead, known, err)
	}
	// Who may not see it, and one that tells none.
	hidden := testenv.StartSlapdWith(t, render(people()), testenv.SlapdSetup{Database: "database monitor\naccess to * by * none\n"})
	for _, s := range []*testenv.Slapd{hidden, testenv.StartSlapd(t, render(people()))} {
		if ahead, known, err := clock(t, config(s)); err != nil || known {
			t.Errorf("%v ahead, known %v, error %v", ahead, known, err)
		}
	}
	s.Stop()
	if _, known, err := clock(t, config(s)); err == nil || known {
		t.Errorf("known %v, error %v, of a server that is down", known, err)
	}
}

func TestClockThatIsApart(t *testing.T) {
	for _, want := range []time.Duration{time.Hour, -3 * time.Minute} {
		for _, form := range []string{"20060102150405Z", "20060102150405.0Z"} {
			told := time.Now().UTC().Add(want).Format(form)
			c := hostile(t, func(s search) ([]byte, bool) {
				if s.base != "" {
					return doneMessage(s.id, 32), true
				}
				e := Entry{Attributes: []Attribute{{Name: "currenttime", Values: [][]byte{[]byte(told)}}}}
				return append(entryMessage(s.id, e), doneMessage(s.id, 0)...), true
			})
			if ahead, known, err := clock(t, c); err != nil || !known || !near(ahead, want) {
				t.Errorf("%v ahead, known %v, error %v, want %v", ahead, known, err, want)
			}
		}
	}
	c := hostile(t, func(s search) ([]byte, bool) {
		e := Entry{DN: s.base, Attributes: []Attribute{{Name: s.attributes[0], Values: [][]byte{[]byte("noon")}}}}
		return append(entryMessage(s.id, e), doneMessage(s.id, 0)...), true
	})
	if _, known, err := clock(t, c); err != nil || known {
		t.Errorf("known %v, error %v, of a text that is no time", known, err)
	}
}
