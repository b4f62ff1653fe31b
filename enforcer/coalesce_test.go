package enforcer_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// mover is a crew whose people move; it counts what costs all users.
type mover struct {
	*told

	world  *enforcer.World
	homes  int          // how often whose homes are kept was worked out
	wholes atomic.Int32 // how often all were evaluated
}

func inMotion(t *testing.T, play func(d *mover)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &mover{told: newTold(t)}
		d.settings.Hold = enforcer.Hold{Least: 100}
		d.settings.Entered = func(w *enforcer.World) { d.world = w }
		d.settings.Scope.Local = func() ([]homes.Account, error) {
			d.homes++
			return nil, nil
		}
		d.runner.Exceptions = func() ([]policy.Exception, error) {
			d.wholes.Add(1)
			return nil, nil
		}
		d.keys(true, 0, 1, 2, 3, 4)
		d.start()
		play(d)
		d.end()
	})
}

// changes edits entries of the directory, and tells whose.
func (d *mover) changes(change func(u *registry.User), people ...int) {
	d.t.Helper()
	for _, i := range people {
		name := d.list[i].Name
		d.directory.change(func(dir *directory) {
			u, _ := dir.live.User(name)
			change(&u)
			next, err := dir.live.With(u)
			if err != nil {
				d.t.Fatal(err)
			}
			dir.live = next
		})
		d.tell(name)
	}
}

func (d *mover) leaves(i int) {
	d.t.Helper()
	d.directory.change(func(dir *directory) { dir.live, _ = dir.live.Without(d.list[i].Name) })
	d.tell(d.list[i].Name)
}

func moves(u *registry.User)  { u.Home += "-elsewhere" }
func strips(u *registry.User) { u.Records = nil }

// at wants the present world to have a user at a home.
func (d *mover) at(i int, home, when string) {
	d.t.Helper()
	synctest.Wait()
	if a, _ := d.world.Account(d.list[i].Name); a.Home != home {
		d.t.Errorf("%s: the home is %q, want %q", when, a.Home, home)
	}
}

const left = "user left the registry: he has no keys any more"

func TestRunnerMovesTogether(t *testing.T) {
	for name, play := range map[string]func(d *mover){
		"who move without end cost all users once in five seconds, and nobody waits for them": func(d *mover) {
			d.homes = 0
			for i := range 30 {
				d.changes(func(u *registry.User) { u.Home = fmt.Sprintf("/nowhere/%s-%d", u.Name, i) }, 1, 2, 3, 4)
				if i == 17 {
					d.changes(strips, 0)
					d.want(d.list[0], none, "beside those who move")
				}
				time.Sleep(time.Second)
			}
			if d.homes < 5 || d.homes > 7 {
				d.t.Errorf("whose homes are kept was worked out %d times in 30 s, want one in 5 s", d.homes)
			}
			time.Sleep(6 * time.Second)
			for i := range 4 {
				d.at(i+1, fmt.Sprintf("/nowhere/user%d-29", i+1), "in the end")
			}
		},
		"the first one does not wait": func(d *mover) {
			d.changes(moves, 1)
			d.at(1, d.list[1].Home+"-elsewhere", "at once")
		},
		"what a move takes goes at once, the account follows": func(d *mover) {
			d.changes(moves, 1)
			d.changes(func(u *registry.User) {
				moves(u)
				u.Records = []registry.Record{record(d.t, lineB)}
			}, 2)
			d.want(d.list[2], none, "with the move")
			if n := len(d.world.Grants.For("user2")); n != 0 {
				d.t.Errorf("%d keys came before the account", n)
			}
			d.at(2, d.list[2].Home, "before its turn")
			time.Sleep(5 * time.Second)
			d.at(2, d.list[2].Home+"-elsewhere", "after the pause")
			if n := len(d.world.Grants.For("user2")); n != 1 {
				d.t.Errorf("%d keys came with the account", n)
			}
		},
		"who is gone has no keys at once": func(d *mover) {
			d.changes(moves, 1)
			d.leaves(3)
			d.want(d.list[3], none, "at once")
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if _, departed := d.world.Departed()["user3"]; !departed || d.said(left) != 1 {
				d.t.Errorf("departed: %v, told %d times", departed, d.said(left))
			}
		},
		"who comes is kept after the pause": func(d *mover) {
			d.leaves(4)
			d.directory.change(func(dir *directory) {
				dir.live, _ = dir.live.With(registry.User{Name: "user4", UID: d.list[4].UID, GID: d.list[4].GID, Home: d.list[4].Home, Records: []registry.Record{record(d.t, lineA)}})
			})
			d.tell("user4")
			d.write(d.list[4], mixed)
			d.hints <- "user4"
			time.Sleep(5 * time.Second)
			d.write(d.list[4], mixed)
			d.hints <- "user4"
			d.want(d.list[4], clean, "as somebody registered")
		},
		"a world that is made of all takes those who wait": func(d *mover) {
			d.changes(moves, 1)
			d.changes(moves, 2)
			d.leaves(3)
			d.runner.Except()
			d.at(2, d.list[2].Home+"-elsewhere", "with the others")
			if _, departed := d.world.Departed()["user3"]; !departed || d.said(left) != 1 {
				d.t.Errorf("departed: %v, told %d times", departed, d.said(left))
			}
			d.homes = 0
			time.Sleep(10 * time.Second)
			if synctest.Wait(); d.homes != 0 || d.said(left) != 1 {
				d.t.Errorf("worked out %d times more, told %d times", d.homes, d.said(left))
			}
		},
		"who waits does not undo a whole reading": func(d *mover) {
			d.changes(moves, 1)
			d.changes(moves, 2)
			d.keys(true, 1, 2, 3, 4)
			d.runner.Poke()
			d.want(d.list[0], none, "by the whole reading")
			time.Sleep(10 * time.Second)
			d.write(d.list[0], mixed)
			d.hints <- "user0"
			d.want(d.list[0], none, "after the pause")
		},
	} {
		t.Run(name, func(t *testing.T) { inMotion(t, play) })
	}
}

// With the brake on a notice costs its user, and who loses a key, or is found without one that is held, costs nobody an evaluation either.
func TestRunnerNoticesWhileBraked(t *testing.T) {
	inMotion(t, func(d *mover) {
		d.settings.Brake.People = 1
		d.reload(d.settings)
		d.changes(strips, 1, 2)
		d.leaves(3)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !d.seen.Load().Braked || d.seen.Load().HeldKeys != 2 {
			d.t.Fatalf("the brake does not hold: %+v", d.seen.Load())
		}
		d.wholes.Store(0)
		d.homes = 0
		d.changes(func(u *registry.User) { u.Records = append(u.Records, record(d.t, lineB)) }, 4)
		d.changes(strips, 4)
		d.write(d.list[3], none)
		d.hints <- "user3"
		time.Sleep(10 * time.Second)
		if synctest.Wait(); d.wholes.Load() != 0 || d.homes != 0 {
			d.t.Errorf("all users were evaluated %d times, and whose homes are kept %d times", d.wholes.Load(), d.homes)
		}
		d.write(d.list[3], clean)
		d.hints <- "user3"
		d.want(d.list[3], none, "what he took out himself and puts back")
		d.want(d.list[2], clean, "what is held")
	})
}
