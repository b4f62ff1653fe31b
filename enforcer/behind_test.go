package enforcer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// without sets the registry to one that does not have the first user, whom single readings still find.
func (d *told) without() { d.only(d.list[1:]...) }

// only sets the registry to one that has these accounts, each with the key A.
func (d *told) only(accounts ...homes.Account) {
	lines := make(map[string]string)
	for _, a := range accounts {
		lines[a.Name] = lineA
	}
	d.source.set(register(d.t, nil, lines, accounts...), nil)
}

// Who came, and was in the last good reading on disk but not in the ledger's file, is known all the same after a crash: when he has left
// he is one who left, not a stranger.
func TestRunnerLearnsWhatTheLedgerMissed(t *testing.T) {
	for name, between := range map[string]func(d *told){
		"killed between the two writes": func(d *told) {
			d.keys(false, 0, 1, 2, 3, 4)
			d.tell("user0")
			time.Sleep(2 * time.Second)
			synctest.Wait()
		},
		"the ledger cannot be written": func(d *told) {
			d.must(os.Rename(d.path("ledger"), d.path("old")), os.Mkdir(d.path("ledger"), 0o700))
			d.whole()
			time.Sleep(time.Hour)
			synctest.Wait()
			d.must(os.Remove(d.path("ledger")), os.Rename(d.path("old"), d.path("ledger")))
		},
	} {
		for after, gone := range map[string]bool{"and he left": true, "and he is still there": false} {
			t.Run(name+" "+after, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newTold(t)
					d.without()
					d.start()
					time.Sleep(time.Minute)
					between(d)
					ledger, err := os.ReadFile(d.path("ledger"))
					good, wrong := os.ReadFile(d.path("state/registry/good"))
					d.must(err, wrong)
					d.end()
					d.must(os.WriteFile(d.path("ledger"), ledger, 0o600), os.WriteFile(d.path("state/registry/good"), good, 0o600)) // as kill -9 leaves it
					want := clean
					if d.whole(); gone {
						d.without()
						want = none
					}
					d.write(d.list[0], mixed)
					d.equip()
					d.runner.Changes = d.changes
					d.start()
					time.Sleep(time.Minute)
					d.want(d.list[0], want, "after the restart")
					d.source.set(nil, errors.New("down"))
					d.end()
					d.equip()
					d.runner.Changes = d.changes
					d.start()
					time.Sleep(time.Minute)
					d.want(d.list[0], want, "in an outage")
					d.end()
				})
			})
		}
	}
}

func (d *told) path(name string) string { return filepath.Join(d.dir, name) }

func (d *daemon) must(errs ...error) {
	d.t.Helper()
	if err := errors.Join(errs...); err != nil {
		d.t.Fatal(err)
	}
}

// A whole reading that is amended before the loop hears of it is one all the same: what a second one does not have is gone for sure, and
// no outage brings it back. An amendment of somebody else alone says nothing of it.
func TestRunnerLearnsOfAnAmendedReading(t *testing.T) {
	for name, whole := range map[string]bool{"a second reading, amended at once": true, "another one's notice alone": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTold(t)
				act := d.act
				d.act = func(p enforcer.Plan) error {
					if p.Account.Name == "user0" {
						return errors.New("his home hangs")
					}
					return act(p)
				}
				var world *enforcer.World
				d.settings.Entered = func(w *enforcer.World) { world = w }
				d.start()
				d.keys(true, 1, 2, 3, 4)
				d.runner.Poke()
				synctest.Wait()
				if gate := d.runner.Gate; whole {
					_, err := gate.Offer(enforcer.Reading{Snapshot: d.directory.live, SourceID: "one", Hold: usual, Since: gate.Begin()})
					d.must(err)
				}
				d.keys(false, 1, 2, 3) // user4 takes his own key out of his entry
				d.tell("user4")
				if losses := d.runner.Memory.Ledger.Losses("user0"); len(losses) != 1 || losses[0].Confirmed != whole {
					d.t.Errorf("the ledger has %+v", losses)
				}
				d.source.set(nil, errors.New("down"))
				d.runner.Poke()
				synctest.Wait()
				if n := len(world.Grants.For("user0")); n == 0 != whole {
					d.t.Errorf("in an outage the key is granted %d times", n)
				}
				d.end()
			})
		})
	}
}

// What one user's reading takes while the whole ones fail goes, whether or not a sweep came in between; what only a whole reading took
// stays.
func TestRunnerAmendsWhileAway(t *testing.T) {
	for name, wait := range map[string]time.Duration{"before a sweep": 30 * time.Second, "after a sweep": 11 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTold(t)
				var works atomic.Bool
				act := d.act
				d.act = func(p enforcer.Plan) error {
					if p.Account.Name == "user1" && !works.Load() {
						return errors.New("his home hangs")
					}
					return act(p)
				}
				d.start()
				d.keys(true, 0, 2, 3, 4)
				d.runner.Poke()
				synctest.Wait()
				d.source.set(nil, errors.New("two entries for the user"))
				time.Sleep(5*time.Minute + wait)
				synctest.Wait()
				works.Store(true)
				d.keys(false, 2, 3, 4)
				d.tell("user0")
				d.want(d.list[0], none, "by a notice")
				time.Sleep(4 * time.Hour)
				d.want(d.list[0], none, "hours later")
				d.want(d.list[1], clean, "by the last whole reading alone")
				d.end()
			})
		})
	}
}

// Who left has no keys, whoever names his home in his own entry, and whether or not that one leaves in his turn. In a home that is the
// other one's, or root's, it is not the keys of who left that are in question.
func TestRunnerKeepsWhoLeftBesideAnother(t *testing.T) {
	testenv.Need(t, "root") // homes of several owners
	for name, c := range map[string]struct {
		owner      int // of the home of who left: 0 root, 1 he, 2 the other one
		left       string
		thenLeaves bool
	}{
		"an accomplice names it":             {owner: 1, left: none},
		"an accomplice names it, and leaves": {owner: 1, left: none, thenLeaves: true},
		"it was given to the other one":      {owner: 2, left: clean},
		"it is root's":                       {owner: 0, left: mixed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTold(t)
				a, b := d.list[0], d.list[4]
				a.UID = b.UID + 1
				d.must(chown(a.Home, a.UID))
				d.list[0] = a
				d.whole()
				d.start()
				d.want(a, clean, "before he left")
				d.without()
				time.Sleep(6 * time.Minute)
				d.want(a, none, "after he left")
				d.must(chown(a.Home, []int{0, a.UID, b.UID}[c.owner]))
				b.Home = a.Home
				d.only(d.list[1], d.list[2], d.list[3], b)
				time.Sleep(6 * time.Minute)
				if c.thenLeaves {
					d.only(d.list[1:4]...)
					time.Sleep(6 * time.Minute)
				}
				d.write(a, mixed)
				d.hints <- a.Name
				d.hints <- b.Name
				time.Sleep(time.Hour)
				d.want(a, c.left, "beside the other one")
				d.want(d.list[1], clean, "a third one")
				for _, line := range d.logs.FilterMessage("home could not be kept in line").All() {
					if why := fmt.Sprint(line.ContextMap()); strings.Contains(why, "both are left alone") {
						d.t.Errorf("told for ever: %v", why)
					}
				}
				d.end()
			})
		})
	}
}

// chown gives a directory and all in it to an owner.
func chown(dir string, uid int) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error { return errors.Join(err, os.Lchown(path, uid, -1)) })
}
