package main

import (
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
)

func TestStatusLine(t *testing.T) {
	read := time.Date(2026, 11, 26, 14, 3, 5, 0, time.Local)
	for want, c := range map[string]struct {
		refused bool
		o       enforcer.Observation
	}{
		"waiting for the registry, nothing is looked at before it was read; mode enforce":                     {false, enforcer.Observation{}},
		"mode enforce; 1234 homes kept; registry read 2026-11-26 14:03:05":                                    {false, enforcer.Observation{Homes: 1234, Registry: read, Reachable: true}},
		"the registry does not answer; 2 files not resolved; mode enforce; registry read 2026-11-26 14:03:05": {false, enforcer.Observation{Registry: read, Unresolved: 2}},
		"THE BRAKE IS ON, 7 keys held; a reading of the registry is HELD; enforcing is REFUSED: no administrator could log in; the registry is STALE; " +
			"mode enforce; registry read 2026-11-26 14:03:05": {true, enforcer.Observation{Braked: true, HeldKeys: 7, Held: true, Stale: true, Reachable: true, Registry: read}},
	} {
		if got := statusLine("enforce", c.refused, c.o); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}
