package enforcer_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// slow is a door that is told when the look at one user goes on, and counts the readings of each user's files.
type slow struct {
	enforcer.Homes

	mu    sync.Mutex
	user  string
	pass  chan struct{}
	reads map[string]int
}

func (s *slow) Read(a homes.Account, name string) (homes.File, error) {
	s.mu.Lock()
	s.reads[a.Name+" "+name]++
	user := s.user
	s.mu.Unlock()
	if a.Name == user && name == ".ssh/authorized_keys" {
		file, err := s.Homes.Read(a, name)
		<-s.pass
		return file, err
	}
	return s.Homes.Read(a, name)
}

// hold makes the looks at a user wait.
func (s *slow) hold(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user = user
}

func (s *slow) count(user string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads[user+" .ssh/authorized_keys"]
}

func throughSlowDoor(t *testing.T, play func(*told, *slow)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := newTold(t)
		door := &slow{Homes: d.door, pass: make(chan struct{}), reads: make(map[string]int)}
		d.runner.Homes = door
		d.start()
		play(d, door)
		d.end()
	})
}

// toggle changes the entry of the first user, and tells of it.
func (d *told) toggle(i int) {
	if i%2 == 0 {
		d.keys(false, 1, 2, 3, 4)
	} else {
		d.keys(false, 0, 1, 2, 3, 4)
	}
	d.tell("user0")
}

// However often one user's entry changes, a look at another one that is under way acts; it is not begun anew.
func TestRunnerEndsLooksBesideOneWhoChanges(t *testing.T) {
	throughSlowDoor(t, func(d *told, door *slow) {
		door.hold("user1")
		before := door.count("user1")
		d.write(d.list[1], mixed)
		d.hints <- "user1"
		synctest.Wait()
		for i := range 9 {
			d.toggle(i)
		}
		if got := d.read(d.list[0]); got != none {
			d.t.Errorf("the one who changes has %q", got)
		}
		door.hold("")
		door.pass <- struct{}{}
		d.want(d.list[1], clean, "after one look")
		if n := door.count("user1") - before; n != 1 {
			d.t.Errorf("%d looks, want one", n)
		}
	})
}

// A look at a user whose own grants changed does not act by the old ones, nor does any by settings of before.
func TestRunnerAbandonsLooksAtWhoChanged(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*told)
		want   string
		acts   int
	}{
		"his key is gone": {func(d *told) {
			d.keys(false, 0, 2, 3, 4)
			d.tell("user1")
		}, none, 1},
		"nothing is to be changed any more": {func(d *told) {
			settings := d.settings
			settings.Act = nil
			d.reload(settings)
		}, mixed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			throughSlowDoor(t, func(d *told, door *slow) {
				acts := 0
				act := d.act
				d.act = func(p enforcer.Plan) error {
					acts++
					return act(p)
				}
				door.hold("user1")
				d.write(d.list[1], mixed)
				d.hints <- "user1"
				synctest.Wait()
				c.change(d)
				door.hold("")
				door.pass <- struct{}{}
				d.want(d.list[1], c.want, "by what is so now")
				if acts != c.acts {
					d.t.Errorf("%d changes, want %d", acts, c.acts)
				}
			})
		})
	}
}

// A look at somebody with whom another account came to share the uid does not act: whether they have one home is to be asked first.
func TestRunnerAbandonsLooksAtTwins(t *testing.T) {
	testenv.Need(t, "root") // each home has a uid of its own
	throughSlowDoor(t, func(d *told, door *slow) {
		door.hold("user1")
		d.write(d.list[1], mixed)
		d.hints <- "user1"
		synctest.Wait()
		twin := d.list[0]
		twin.UID = d.list[1].UID
		now := register(d.t, nil, map[string]string{"user0": lineA, "user1": lineA}, twin, d.list[1], d.list[2], d.list[3], d.list[4])
		d.directory.change(func(dir *directory) { dir.live = now })
		d.tell("user0")
		door.hold("")
		door.pass <- struct{}{}
		d.want(d.list[1], mixed, "though the home of the other, which is a stranger's, cannot be asked for")
		if d.said("home could not be kept in line") == 0 {
			d.t.Error("it was not asked")
		}
	})
}

// Whose entry changes without end is read once a second, and notices of others as before; what he is in the end counts.
func TestRunnerRestsBetweenManyEntries(t *testing.T) {
	throughSlowDoor(t, func(d *told, _ *slow) {
		for i := range 1000 {
			d.toggle(i)
			time.Sleep(10 * time.Millisecond)
		}
		whole, users := d.directory.count()
		if whole != 1 || users < 15 || users > 30 {
			d.t.Errorf("%d whole readings and %d of users, want 10 at once and one a second then", whole, users)
		}
		if n := d.said("the user's entry in the registry changes again and again; from now on it is read once a second"); n != 1 {
			d.t.Errorf("it was said %d times", n)
		}
		d.keys(false, 2, 3, 4)
		d.tell("user0", "user1")
		d.want(d.list[1], none, "somebody else, at once")
		time.Sleep(3 * time.Second)
		d.want(d.list[0], none, "after a rest")
		d.write(d.list[1], mixed)
		d.keys(false, 0, 1, 2, 3, 4)
		d.tell("user1")
		d.want(d.list[1], clean, "and back")
		time.Sleep(time.Hour)
		d.keys(false, 1, 2, 3, 4)
		d.tell("user0")
		d.want(d.list[0], none, "at once, when he kept still for a while")
	})
}

// He cannot keep his own home from being decided, however slow it is: his entry waits for the look, and where that is silent it is read,
// and the look acts all the same.
func TestRunnerLetsLooksEndAtWhoChanges(t *testing.T) {
	for _, seconds := range []int{4, 8} { // that each look takes
		throughSlowDoor(t, func(d *told, door *slow) {
			for i := range 20 {
				d.toggle(i)
			}
			time.Sleep(20 * time.Second)
			d.write(d.list[0], "# "+lineB+"\n"+mixed)
			door.hold("user0")
			acts := 0
			act := d.act
			d.act = func(p enforcer.Plan) error { acts++; return act(p) }
			for i := range 400 {
				if i%(10*seconds) == 10*seconds-1 {
					select {
					case door.pass <- struct{}{}:
					default:
					}
				}
				d.toggle(i)
				time.Sleep(100 * time.Millisecond)
			}
			if acts == 0 || strings.Contains(d.read(d.list[0]), "\n"+lineB) {
				d.t.Errorf("looks of %d s: %d changes in 40 s, and the unregistered key is there", seconds, acts)
			}
			door.hold("")
			close(door.pass)
			time.Sleep(5 * time.Second)
		})
	}
}

// Nor does a home that hangs keep his entry from being read, by which sshd may be answered.
func TestRunnerReadsWhoChangesWhoseHomeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTold(t)
		door := &slow{Homes: d.door, pass: make(chan struct{}), reads: make(map[string]int)}
		d.runner.Homes = door
		var world *enforcer.World
		d.settings.Entered = func(w *enforcer.World) { world = w }
		d.start()
		door.hold("user0")
		d.hints <- "user0"
		for i := range 20 {
			d.toggle(i)
		}
		time.Sleep(10 * time.Second)
		d.keys(false, 0, 1, 2, 3, 4)
		d.tell("user0")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(world.Grants.For("user0")); n != 1 {
			t.Errorf("%d keys, want the one that is registered", n)
		}
		d.keys(false, 1, 2, 3, 4)
		d.tell("user0")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(world.Grants.For("user0")); n != 0 {
			t.Errorf("%d keys, and it was revoked", n)
		}
		door.hold("")
		close(door.pass)
		d.want(d.list[0], none, "when the home answers")
		d.end()
	})
}

func TestRunnerAbandonsOldLooks(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		records := &trail{}
		d.hand.Trail = records.write
		d.source.set(register(t, nil, onlyA, a), nil)
		blocked := make(chan struct{})
		d.runner.Watch = func(homes.Account) error {
			<-blocked
			return nil
		}
		d.start()
		d.source.set(register(t, nil, map[string]string{"alice": lineB}, a), nil)
		d.runner.Poke()
		synctest.Wait()
		close(blocked)
		d.want(a, "# mine\n"+lineB+" intruder\n", "B is registered now")
		if slices.ContainsFunc(records.records, func(r audit.Record) bool { return r.Action == audit.RemoveLine && r.Comment == "intruder" }) {
			t.Error("the look that began before has removed it, if only for a moment")
		}
		d.end()
	})
}
