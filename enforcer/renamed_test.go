package enforcer_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
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
					d.changes <- "" // as the stream tells of a renamed entry
					time.Sleep(6 * time.Second)
				}
				synctest.Wait()
				if o := d.seen.Load(); o.Held != c.held {
					d.t.Errorf("held: %v, %d users are lost", o.Held, o.LostUsers)
				}
				d.end()
			})
		})
	}
}

// Where changes are polled, a renamed entry is told by its new name alone: both would have one uid and one home, and be left alone.
func TestRunnerReadsAllOfWhoIsRenamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(a *homes.Account)
		whole  int
	}{
		"renamed":       {func(*homes.Account) {}, 2},
		"another home":  {func(a *homes.Account) { a.Home += "-new" }, 1},
		"another's uid": {func(a *homes.Account) { a.UID++ }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTold(t)
				d.start()
				next := d.list[0]
				next.Name = "next"
				c.change(&next)
				d.only(append(d.list[1:], next)...)
				d.directory.change(func(dir *directory) { dir.live = dir.source.snapshot })
				d.tell("next")
				d.reads(c.whole, 1, "after the notice")
				if c.whole == 2 {
					d.write(d.list[0], mixed)
					d.hints <- "next"
					d.want(d.list[0], clean, "by his new name")
				}
				d.end()
			})
		})
	}
}
