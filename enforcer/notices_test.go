package enforcer_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/registry"
)

// directory is a registry that can be read user by user, and whose whole readings can take their time.
type directory struct {
	*source

	mu    sync.Mutex
	live  *registry.Snapshot // as it is now; nil: what the whole readings give
	err   error
	reads int
	stall chan struct{} // a reading of one user waits for it
	slow  chan struct{} // a whole reading waits for it, and gives what was there when it began
}

func (d *directory) Fetch(ctx context.Context) (*registry.Snapshot, error) {
	snapshot, err := d.source.Fetch(ctx)
	d.mu.Lock()
	slow := d.slow
	d.mu.Unlock()
	if slow != nil {
		<-slow
	}
	return snapshot, err
}

func (d *directory) FetchUser(_ context.Context, name string) (registry.User, bool, error) {
	d.mu.Lock()
	d.reads++
	live, err, stall := d.live, d.err, d.stall
	d.mu.Unlock()
	if stall != nil {
		<-stall
	}
	if err != nil {
		return registry.User{}, false, err
	}
	user, found := live.User(name)
	return user, found, nil
}

// change makes the directory what it is from now on.
func (d *directory) change(fn func(d *directory)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fn(d)
}

func (d *directory) count() (whole, users int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.source.count(), d.reads
}

// told is a crew whose registry says what changes.
type told struct {
	*crew

	directory *directory
	changes   chan string
}

func newTold(t *testing.T) *told {
	t.Helper()
	c := newCrew(t)
	d := &told{crew: c, directory: &directory{source: c.source}, changes: make(chan string)}
	d.runner.Changes, d.settings.Source = d.changes, d.directory
	return d
}

// keys makes the directory one in which the users of the list have the key A; whole readings show it too, if they are to.
func (d *told) keys(whole bool, users ...int) {
	lines := make(map[string]string)
	for _, i := range users {
		lines[d.list[i].Name] = lineA
	}
	now := register(d.t, nil, lines, d.list...)
	d.directory.change(func(dir *directory) { dir.live = now })
	if whole {
		d.source.set(now, nil)
	}
}

// tell names users to the daemon.
func (d *told) tell(users ...string) {
	for _, user := range users {
		d.changes <- user
	}
	synctest.Wait()
}

// late lets the first user be read while some have a key, and that be answered after a whole reading, when others have.
func (d *told) late(before, after []int) {
	d.keys(true, 1, 2, 3, 4)
	d.start()
	stall := make(chan struct{})
	d.keys(false, before...)
	d.directory.change(func(dir *directory) { dir.stall = stall })
	d.tell("user0")
	d.keys(true, after...)
	d.directory.change(func(dir *directory) { dir.stall = nil })
	d.runner.Poke()
	synctest.Wait()
	close(stall)
	synctest.Wait()
	d.write(d.list[0], mixed)
	d.hints <- "user0"
}

// reads wants as many readings since the last call.
func (d *told) reads(whole, users int, when string) {
	d.t.Helper()
	synctest.Wait()
	gotWhole, gotUsers := d.directory.count()
	if gotWhole != whole || gotUsers != users {
		d.t.Errorf("%s: %d whole readings and %d of users, want %d and %d", when, gotWhole, gotUsers, whole, users)
	}
}

const none = "# mine\n" // a file without a granted key

func TestRunnerNotices(t *testing.T) {
	for name, play := range map[string]func(*told){
		"a key that is gone goes at once, and comes back at once": func(d *told) {
			d.start()
			d.keys(false, 1, 2, 3, 4)
			d.tell("user0")
			d.want(d.list[0], none, "without its key")
			d.want(d.list[1], clean, "another one")
			d.reads(1, 1, "one user")
			d.keys(false, 0, 1, 2, 3, 4)
			d.tell("user0")
			d.write(d.list[0], mixed)
			d.hints <- "user0"
			d.want(d.list[0], clean, "with its key again")
			d.tell("user0")
			d.reads(1, 3, "nothing new")
			if n := d.said("user of the registry read again"); n != 2 {
				d.t.Errorf("told %d times", n)
			}
		},
		"a reading of one user that fails reads all": func(d *told) {
			d.start()
			d.keys(true, 1, 2, 3, 4)
			d.directory.change(func(dir *directory) { dir.err = errors.New("doubt") })
			d.tell("user1")
			d.want(d.list[0], none, "what the whole reading shows")
			d.reads(2, 1, "after the failure")
		},
		"everything, again and again, is read with pauses": func(d *told) {
			d.start()
			d.tell("", "", "")
			d.reads(2, 0, "at once")
			time.Sleep(6 * time.Second)
			d.reads(3, 0, "after the pause")
			time.Sleep(time.Minute)
			d.reads(3, 0, "no more")
		},
		"a change during a whole reading is read after it": func(d *told) {
			d.start()
			slow := make(chan struct{})
			d.directory.change(func(dir *directory) { dir.slow = slow })
			d.runner.Poke()
			synctest.Wait()
			d.keys(true, 1, 2, 3, 4)
			d.tell("")
			d.directory.change(func(dir *directory) { dir.slow = nil })
			close(slow)
			d.want(d.list[0], none, "what came after the slow reading began")
			d.reads(3, 0, "the slow one and one more")
		},
		"a whole reading that began before does not undo a change": func(d *told) {
			d.start()
			slow := make(chan struct{})
			d.directory.change(func(dir *directory) { dir.slow = slow })
			d.runner.Poke()
			synctest.Wait()
			d.keys(false, 1, 2, 3, 4)
			d.tell("user0")
			d.want(d.list[0], none, "before the slow reading ends")
			close(slow)
			synctest.Wait()
			d.write(d.list[0], mixed)
			d.hints <- "user0"
			d.want(d.list[0], none, "after it")
			time.Sleep(6 * time.Minute)
			d.write(d.list[0], mixed)
			d.hints <- "user0"
			d.want(d.list[0], clean, "what a later reading shows counts")
		},
		"a key that came and went within a whole reading": func(d *told) {
			d.keys(true, 1, 2, 3, 4)
			d.start()
			d.want(d.list[0], none, "before it came")
			slow := make(chan struct{})
			d.keys(true, 0, 1, 2, 3, 4) // the reading passes it now
			d.directory.change(func(dir *directory) { dir.slow = slow })
			d.runner.Poke()
			synctest.Wait()
			d.keys(true, 1, 2, 3, 4)
			d.tell("user0")
			close(slow)
			synctest.Wait()
			d.write(d.list[0], mixed)
			d.hints <- "user0"
			d.want(d.list[0], none, "after the slow reading")
		},
		"an answer that is older than a whole reading is asked for again": func(d *told) {
			d.late([]int{0, 1, 2, 3, 4}, []int{1, 2, 3, 4})
			d.want(d.list[0], none, "a late answer let a key in")
			d.reads(2, 2, "once more, alone")
		},
		"nor does it take a key that was registered meanwhile": func(d *told) {
			d.late([]int{1, 2, 3, 4}, []int{0, 1, 2, 3, 4})
			d.want(d.list[0], clean, "a late answer took a registered key")
		},
		"many at once are read all together": func(d *told) {
			d.start()
			stall := make(chan struct{})
			d.directory.change(func(dir *directory) { dir.stall = stall })
			d.keys(true, 1, 2, 3, 4)
			for i := range 200 {
				d.changes <- "somebody" + string(rune('a'+i%26)) + string(rune('a'+i/26))
			}
			d.want(d.list[0], none, "what the whole reading shows")
			if whole, users := d.directory.count(); whole != 2 || users != 4 {
				d.t.Errorf("%d whole readings, %d of users", whole, users)
			}
			d.directory.change(func(dir *directory) { dir.stall = nil })
			close(stall)
			synctest.Wait()
		},
		"nothing passes piece by piece while a reading is held": func(d *told) {
			d.start()
			d.keys(true, 0)
			time.Sleep(6 * time.Minute)
			d.tell("user1", "user2")
			d.want(d.list[1], clean, "while the reading is held")
			if d.said(heldAlarm) != 1 {
				d.t.Error("nothing is held")
			}
			time.Sleep(10 * time.Second)
			if whole, _ := d.directory.count(); whole < 3 {
				d.t.Error("the notice did not lead to a whole reading")
			}
		},
		"losses by notice add up": func(d *told) {
			d.start()
			d.keys(true, 0)
			d.tell("user1", "user2", "user3")
			for _, a := range d.list[1:4] {
				d.want(a, none, "as many as may")
			}
			d.reads(1, 3, "one by one")
			d.tell("user4")
			d.want(d.list[4], clean, "one too many")
			d.reads(2, 4, "the whole registry is asked")
			if d.said(heldAlarm) != 1 {
				d.t.Error("it was not held")
			}
		},
		"what was noticed outlives a restart": func(d *told) {
			d.start()
			read := time.Now()
			time.Sleep(time.Minute)
			d.keys(false, 1, 2, 3, 4)
			d.tell("user0")
			d.want(d.list[0], none, "by notice")
			d.end()
			d.equip()
			d.runner.Changes = d.changes
			d.source.set(nil, errors.New("down"))
			time.Sleep(time.Hour)
			d.start()
			d.write(d.list[0], mixed)
			d.hints <- "user0"
			d.want(d.list[0], none, "by what was kept")
			if got := d.seen.Load().Registry; got.After(read) {
				d.t.Errorf("what was read alone made the reading younger: %v, read at %v", got, read)
			}
		},
		"a registry that is read whole or not at all": func(d *told) {
			d.settings.Source = d.source
			d.start()
			d.keys(true, 1, 2, 3, 4)
			d.tell("user0")
			d.want(d.list[0], none, "by the whole reading")
			d.reads(2, 0, "no user alone")
		},
		"a registry that is down is asked no more often": func(d *told) {
			d.source.set(nil, errors.New("down"))
			d.start()
			before := d.source.count()
			d.tell("user0", "", "user1")
			d.reads(before, 0, "before the next attempt")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newTold(t)
				play(d)
				d.end()
			})
		})
	}
}

// What is amended does not go back to what an older reading says, and is told apart from what a newer one says.
func TestGateAmends(t *testing.T) {
	c := newCentre(t)
	list := []string{"alice", "bob"}
	a, b := c.account("alice", ""), c.account("bob", "")
	whole := register(t, nil, map[string]string{"alice": lineA, "bob": lineA}, a, b)
	g, err := enforcer.OpenGate(t.TempDir() + "/registry")
	if err != nil {
		t.Fatal(err)
	}
	offer := func(s *registry.Snapshot, id string, since uint64) {
		t.Helper()
		if v, err := g.Offer(enforcer.Reading{Snapshot: s, SourceID: id, Hold: usual, Since: since}); err != nil || v.Held {
			t.Fatalf("%+v, %v", v, err)
		}
	}
	holders := func(id string) (names []string) {
		for _, name := range list {
			if u, there := g.Good(id).Snapshot.User(name); there && len(u.Records) > 0 {
				names = append(names, name)
			}
		}
		return names
	}
	amend := func(id, name string, found bool) bool {
		user, _ := register(t, nil, map[string]string{"bob": lineA}, a, b).User(name)
		err := g.Amend(enforcer.Amendment{SourceID: id, Name: name, User: user, Found: found, Hold: usual, Since: g.Begin()})
		if err != nil && !errors.Is(err, enforcer.ErrWhole) {
			t.Error(err)
		}
		return err == nil
	}
	if amend("one", "alice", true) {
		t.Error("amended before there was anything")
	}
	offer(whole, "one", g.Begin())
	if amend("two", "alice", true) || !slices.Equal(holders("one"), list) {
		t.Error("amended with what another registry says")
	}
	older := g.Begin()
	if !amend("one", "alice", true) || !slices.Equal(holders("one"), []string{"bob"}) {
		t.Errorf("not amended: %q", holders("one"))
	}
	offer(whole, "one", older)
	if got := holders("one"); !slices.Equal(got, []string{"bob"}) {
		t.Errorf("after a reading that began before: %q", got)
	}
	offer(whole, "one", g.Begin())
	if got := holders("one"); !slices.Equal(got, list) {
		t.Errorf("after a reading that began later: %q", got)
	}
	older = g.Begin()
	if user, _ := whole.User("bob"); g.Amend(enforcer.Amendment{SourceID: "one", Name: "bob", User: user, Found: true, Hold: usual, Since: older}) != nil {
		t.Error("what is so already is not decided")
	}
	if g.Amend(enforcer.Amendment{SourceID: "one", Name: "bob", Hold: usual, Since: older}) != nil || !slices.Equal(holders("one"), []string{"alice"}) {
		t.Errorf("bob is not gone: %q", holders("one"))
	}
	if amend("one", "alice", false) {
		t.Error("the registry was emptied")
	}
	offer(whole, "two", older)
	if got := holders("two"); !slices.Equal(got, list) {
		t.Errorf("another registry's reading was amended: %q", got)
	}
}
