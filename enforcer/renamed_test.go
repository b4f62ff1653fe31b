package enforcer_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/registry"
)

// One person who renames himself again and again counts once for the hold; as many people who are gone count each, with one uid or not.
func TestRunnerCountsWhoRenamesHimselfOnce(t *testing.T) {
	testenv.Need(t, "root") // each person has a uid of his own
	rename := func(d *told, who, round int) {
		d.list[who].Name = fmt.Sprint("other", who, "-", round)
	}
	for name, c := range map[string]struct {
		play func(d *told, round int)
		held bool
	}{
		"one, four times":       {func(d *told, round int) { rename(d, 0, round) }, false},
		"one, with other homes": {func(d *told, round int) { rename(d, 0, round); d.list[0].Home += fmt.Sprint("-", round) }, false},
		"four, once each":       {func(d *told, round int) { rename(d, round, round) }, true},
		"four who leave":        {func(d *told, _ int) { d.list = d.list[1:] }, true},
		"four who have one uid": {func(d *told, _ int) { d.list = d.list[1:] }, true},
		"one, and three who leave": {func(d *told, round int) {
			rename(d, len(d.list)-1, round)
			d.list = d.list[min(round, 1):]
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTold(t)
				for i := range d.list {
					d.list[i].UID = d.list[0].UID + i
					if name == "four who have one uid" {
						d.list[i].UID = d.list[0].UID
					}
					d.must(chown(d.list[i].Home, d.list[i].UID))
				}
				d.whole()
				d.start()
				for round := range 4 {
					c.play(d, round)
					d.only(d.list...)
					if name == "one, with other homes" { // as a directory that is polled tells of a renamed entry
						d.directory.change(func(dir *directory) { dir.live = dir.snapshot })
						d.tell(d.list[0].Name)
					} else {
						d.changes <- "" // as the stream does
					}
					time.Sleep(6 * time.Second)
				}
				d.changes <- ""
				synctest.Wait()
				if o := d.seen.Load(); o.Held != c.held {
					d.t.Errorf("held: %v, %d users are lost", o.Held, o.LostUsers)
				}
				d.end()
			})
		})
	}
}

// Where changes are polled, a renamed entry is told by its new name alone. Both would have one uid and one home, and be left alone; or, with another
// home, be two people, and who renames himself again and again as many as the hold or the brake has patience with.
func TestRunnerReadsAllOfWhoIsRenamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(a *homes.Account)
		whole  int
	}{
		"renamed":       {func(*homes.Account) {}, 2},
		"another home":  {func(a *homes.Account) { a.Home += "-new" }, 2},
		"another's uid": {func(a *homes.Account) { a.UID = 5000 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTold(t)
				d.start()
				next := d.list[0]
				next.Name = "next"
				c.change(&next)
				d.only(append(d.list[1:], next)...)
				d.directory.change(func(dir *directory) { dir.live = dir.snapshot })
				d.tell("next")
				d.reads(c.whole, 1, "after the notice")
				if next.Home == d.list[0].Home && c.whole == 2 {
					d.write(d.list[0], mixed)
					d.hints <- "next"
					d.want(d.list[0], clean, "by his new name")
				}
				d.end()
			})
		})
	}
}

// Whose name an accomplice takes is known by one of his own: his home is kept, over a restart too, and the accomplice has his own.
func TestRunnerKeepsWhoseNameIsTaken(t *testing.T) {
	inTown(t, func(d *town) {
		d.start()
		left, own := d.people[0], d.people[0]
		own.Name = fmt.Sprint("p0.", left.UID)
		d.without("p0")
		d.want(left, gone, "after he left")
		eve := d.eve
		eve.Name = "p0"
		accounts := append(slices.Clone(d.people[1:]), eve)
		d.keys["p0"] = lineB
		d.source.set(register(d.t, nil, d.keys, accounts...), nil)
		d.read()
		if d.said("the name of a user who left the registry is another's now: he is known by one of his own") != 1 || d.said("account left") != 0 {
			d.t.Error("it was not told")
		}
		for range 2 {
			d.puts(own, theirs)
			d.want(left, gone, "his key, when an accomplice has his name")
			d.puts(eve, theirs+lineB+" me\n")
			d.want(eve, gone+lineB+" me\n", "the accomplice's")
			d.restart()
		}
	})
}

// A key that was registered too late comes back to whoever has another name by then; to two who exchanged their names, each one's own.
func TestRunnerRecallsByAnotherName(t *testing.T) {
	inTown(t, func(d *town) {
		d.start()
		one, two := d.people[0], d.people[1]
		d.puts(one, theirs+lineB+" one\n")
		d.puts(two, theirs+lineD+" two\n")
		d.want(one, theirs, "not registered yet")
		d.want(two, theirs, "not registered yet")
		users := slices.Collect(d.registry().Users())
		for i := range users {
			switch users[i].Name {
			case "p0":
				users[i] = registry.User{Name: "p1", UID: one.UID, GID: one.GID, Home: one.Home, Records: []registry.Record{record(d.t, lineA), record(d.t, lineB)}}
			case "p1":
				users[i] = registry.User{Name: "p0", UID: two.UID, GID: two.GID, Home: two.Home, Records: []registry.Record{record(d.t, lineA), record(d.t, lineD)}}
			}
		}
		s, err := registry.New(users, "test")
		if err != nil {
			d.t.Fatal(err)
		}
		d.source.set(s, nil)
		d.read()
		time.Sleep(time.Hour / 2)
		d.want(one, theirs+lineB+" one\n", "registered by another name")
		d.want(two, theirs+lineD+" two\n", "registered by another name")
	})
}

// Of who has a uid by one name after the other the names before are not told again and again.
func TestRunnerTellsNamesOnce(t *testing.T) {
	inTown(t, func(d *town) {
		twin := d.people[1]
		twin.UID, twin.Name = d.people[0].UID, "twin" // two have it: no name moves
		d.keys["twin"] = lineA
		d.source.set(register(d.t, nil, d.keys, append(slices.Clone(d.people), twin)...), nil)
		d.start()
		for round := range 8 {
			people := slices.Clone(d.people)
			people[0].Name = fmt.Sprint("other", round)
			d.keys[people[0].Name] = lineA
			d.source.set(register(d.t, nil, d.keys, append(people, twin)...), nil)
			d.read()
		}
		if n := d.said("account left alone"); n < 8 || n > 9 {
			d.t.Errorf("8 names are told in %d lines", n)
		}
	})
}
