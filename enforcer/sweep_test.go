package enforcer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// Homes that do not answer are given up and named; the others are kept, and a look that was given up changes nothing later.
func TestSweepGivesUpSilentHomes(t *testing.T) {
	c := newCentre(t)
	hand := c.enforcer(&trail{})
	var all []homes.Account
	var dead []string
	for i := range 6 {
		a := c.account(fmt.Sprintf("u%d", i), mixed)
		if i%2 == 0 {
			dead = append(dead, a.Name)
		}
		all = append(all, a)
	}
	synctest.Test(t, func(t *testing.T) {
		door := &silent{Homes: c.door, dead: make(map[string]chan struct{})}
		for _, name := range dead {
			door.dead[name] = make(chan struct{})
		}
		var results []enforcer.Result
		begin := time.Now()
		err := enforcer.Looker{Homes: door, Grants: grants(t, lineA), Act: hand.Apply}.Sweep(t.Context(), all, 1, always(hand.Apply),
			func(r enforcer.Result) { results = append(results, r) })
		if err != nil || len(results) != len(all) || time.Since(begin) > 25*time.Second {
			t.Errorf("%d of %d results after %v: %v", len(results), len(all), time.Since(begin), err)
		}
		for i, r := range results {
			silent := i%2 == 0
			if r.Account != all[i] || (r.Err != nil) != silent || r.Changed() == silent || silent && !strings.Contains(r.Err.Error(), all[i].Home+" does not answer") {
				t.Errorf("%s: %v", r.Account.Name, r.Err)
			}
		}
		for _, back := range door.dead {
			close(back)
		}
		synctest.Wait()
		for i, a := range all {
			if text := c.read(a); (text == mixed) != (i%2 == 0) {
				t.Errorf("%s holds %q when all answer again", a.Name, text)
			}
		}
	})
}

// Of one server no more homes hold a thread than beside the daemon's loop.
func TestSweepSparesADeadServer(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", clean)
	synctest.Test(t, func(t *testing.T) {
		door := &silent{Homes: c.door, dead: map[string]chan struct{}{"dead": make(chan struct{})}}
		all := []homes.Account{a}
		for i := range 300 {
			all = append(all, homes.Account{Name: "dead", UID: a.UID, GID: a.GID, Home: fmt.Sprintf("/dead/%d", i)})
		}
		look := enforcer.Looker{Homes: door, Grants: grants(t, lineA), Server: func(home string) string { return strings.Split(home, "/")[1] }}
		silent, spared := 0, 0
		err := look.Sweep(t.Context(), append(all, a), 4, nil, func(r enforcer.Result) {
			switch {
			case r.Account.Name == "alice" && r.Err == nil:
			case r.Account.Name == "dead" && strings.Contains(r.Err.Error(), "does not answer"):
				silent++
			case r.Account.Name == "dead" && strings.Contains(r.Err.Error(), "others of its file server do not answer"):
				spared++
			default:
				t.Errorf("%s: %v", r.Account.Name, r.Err)
			}
		})
		if err != nil || silent != 64 || spared != 300-64 {
			t.Errorf("%d homes were asked, %d not: %v", silent, spared, err)
		}
		close(door.dead["dead"])
	})
}

// What was found before the end is told, though a home before it is silent.
func TestSweepTellsWhatItHasWhenItEnds(t *testing.T) {
	c := newCentre(t)
	dead, alive := c.account("dead", mixed), c.account("alive", clean)
	synctest.Test(t, func(t *testing.T) {
		door := &silent{Homes: c.door, dead: map[string]chan struct{}{"dead": make(chan struct{})}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		var seen []string
		err := enforcer.Looker{Homes: door, Grants: grants(t, lineA)}.Sweep(ctx, []homes.Account{dead, alive, alive}, 2, nil, func(r enforcer.Result) {
			seen = append(seen, r.Account.Name)
		})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "after 2 of 3 accounts") || strings.Join(seen, " ") != "dead alive" {
			t.Errorf("%v, and %v", seen, err)
		}
		close(door.dead["dead"])
	})
}
