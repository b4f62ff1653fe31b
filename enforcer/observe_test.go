package enforcer_test

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// barred makes a user's file one that nobody can change.
type barred struct {
	enforcer.Homes
	user string
}

func (b *barred) Read(a homes.Account, name string) (homes.File, error) {
	file, err := b.Homes.Read(a, name)
	if a.Name == b.user {
		file.Barred = homes.Immutable
	}
	return file, err
}

// What is not in line is counted as long as it is not: a file that is due to be changed and cannot be, one whose change failed,
// and a home that does not answer; nobody else is, and a FIFO, by which nobody gets in, is not.
func TestRunnerObserves(t *testing.T) {
	c := newCentre(t)
	fifo, failing, dead, fine, fixed := c.account("alice", ""), c.account("bob", mixed), c.account("carol", ""), c.account("dave", mixed), c.account("erin", mixed)
	if err := errors.Join(os.Remove(c.file(fifo)), syscall.Mkfifo(c.file(fifo), 0o600)); err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{"alice": lineA, "bob": lineA, "carol": lineA, "dave": lineA, "erin": lineA}
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		homesOf := &silent{Homes: c.door, dead: map[string]chan struct{}{"carol": make(chan struct{})}}
		d.runner.Homes = &barred{homesOf, "erin"}
		act := d.act
		var fails atomic.Bool
		fails.Store(true)
		d.act = func(p enforcer.Plan) error {
			if p.Account.Name == "bob" && fails.Load() {
				return syscall.EIO
			}
			return act(p)
		}
		want := func(when string, homes, silent, unresolved int) {
			t.Helper()
			synctest.Wait()
			got := *d.seen.Load()
			named := 0
			for _, trouble := range got.Troubles {
				if trouble != (enforcer.Trouble{}) {
					named++
				}
			}
			if got.Homes != homes || got.Silent != silent || got.Unresolved != unresolved || got.UnresolvedHomes != unresolved || named != unresolved ||
				got.Reachable != (homes > 0) || got.Waiting != 0 || got.Looking != 0 || got.Keys != got.Users {
				t.Errorf("%s: %+v", when, got)
			}
		}
		d.source.set(nil, errors.New("down"))
		d.start()
		want("without a registry", 0, 0, 0)
		if !d.seen.Load().Registry.IsZero() {
			t.Errorf("the registry was read at %v", d.seen.Load().Registry)
		}
		d.source.set(register(t, nil, keys, fifo, failing, dead, fine, fixed), nil)
		time.Sleep(10 * time.Second)
		want("with all that can be wrong", 5, 1, 3)
		if age := time.Since(d.seen.Load().Registry); age < 0 || age > 10*time.Second {
			t.Errorf("the registry was read %v ago", age)
		}
		close(homesOf.dead["carol"])
		want("with a home that answers", 5, 0, 2)
		fails.Store(false)
		time.Sleep(time.Minute)
		want("with a change that succeeds", 5, 0, 1)
		d.source.set(register(t, nil, keys, fifo, failing, dead, fine), nil)
		d.settings.SourceID = "another one, so that he did not leave"
		d.reload(d.settings)
		want("without the user of the one that cannot be changed", 4, 0, 0)
		d.end()
	})
}

// Of more homes than are named all are counted, and others are named in place of those that are resolved.
func TestRunnerNamesTroubles(t *testing.T) {
	c := newCentre(t)
	keys, accounts := map[string]string{}, []homes.Account{}
	for _, name := range "abcdefghijklmnopqrstuvwxyz" {
		accounts = append(accounts, c.account(string(name), mixed))
		keys[string(name)] = lineA
	}
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		act := d.act
		var mended atomic.Int32 // who comes before that in the alphabet
		d.act = func(p enforcer.Plan) error {
			if int32(p.Account.Name[0]) >= mended.Load() {
				return syscall.EIO
			}
			return act(p)
		}
		d.source.set(register(t, nil, keys, accounts...), nil)
		d.start()
		for _, left := range []int{26, 21, 3, 0} {
			mended.Store(int32('z' + 1 - left))
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			got, named := d.seen.Load(), make(map[string]bool)
			for _, trouble := range got.Troubles {
				if trouble.User == "" {
					continue
				}
				if int32(trouble.User[0]) < mended.Load() || trouble.Why == "" {
					t.Errorf("with %d left %+v is named", left, trouble)
				}
				named[trouble.User] = true
			}
			if got.UnresolvedHomes != left || got.Unresolved != left || len(named) != min(left, enforcer.MaxTroubles) {
				t.Errorf("with %d left %d homes are counted, and %d named", left, got.UnresolvedHomes, len(named))
			}
		}
		d.end()
	})
}

// A round ends when every home was looked at, but for those that do not answer; who could not be watched is counted.
func TestRunnerMeasuresRounds(t *testing.T) {
	c := newCentre(t)
	dead, slow, fine := c.account("alice", ""), c.account("bob", ""), c.account("carol", "")
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		answers := make(chan struct{})
		d.runner.Homes = &silent{Homes: c.door, dead: map[string]chan struct{}{"alice": answers}}
		var blind atomic.Bool
		d.runner.Watch = func(a homes.Account) error {
			if a.Name == "bob" {
				time.Sleep(2 * time.Second)
			}
			if blind.Load() {
				return errors.New("no watch left")
			}
			return nil
		}
		d.source.set(register(t, nil, map[string]string{"alice": lineA}, dead, slow, fine), nil)
		d.start()
		want := func(rounds, unwatched int, took time.Duration) {
			t.Helper()
			synctest.Wait()
			if got := d.seen.Load(); got.Rounds != rounds || got.RoundTook != took || got.Unwatched != unwatched {
				t.Errorf("%d rounds, the last took %v, %d homes are not watched; want %d, %v, %d", got.Rounds, got.RoundTook, got.Unwatched, rounds, took, unwatched)
			}
		}
		want(0, 0, 0)
		time.Sleep(6 * time.Second) // alice is silent
		want(1, 0, 5*time.Second)
		blind.Store(true)
		time.Sleep(10 * time.Minute)
		want(2, 2, 2*time.Second)
		if age := time.Since(d.seen.Load().RoundEnded); age > time.Minute {
			t.Errorf("the last round ended %v ago", age)
		}
		blind.Store(false)
		time.Sleep(10 * time.Minute)
		want(3, 0, 2*time.Second)
		close(answers)
		d.end()
	})
}

// What is told of an event is when its line went, over attempts that came to nothing; looks without an event tell of none.
func TestRunnerTellsWhenLinesWent(t *testing.T) {
	c := newCentre(t)
	alice := c.account("alice", mixed)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		var after []time.Duration
		d.runner.Removed = func(d time.Duration) { after = append(after, d) }
		act, fails := d.act, 0
		d.act = func(p enforcer.Plan) error {
			if fails--; fails >= 0 {
				return syscall.EIO
			}
			time.Sleep(time.Millisecond)
			return act(p)
		}
		d.source.set(register(t, nil, onlyA, alice), nil)
		d.start()
		time.Sleep(time.Second)
		d.want(alice, clean, "at the start")
		for _, failures := range []int{0, 2} {
			fails = failures
			d.write(alice, mixed)
			d.hints <- "alice"
			time.Sleep(10 * time.Second)
			d.want(alice, clean, "after an event")
		}
		d.write(alice, "# mine\n  "+lineA+" me\n") // no line goes
		d.hints <- "alice"
		time.Sleep(time.Minute)
		d.want(alice, clean, "after an event of another kind")
		d.write(alice, mixed)
		time.Sleep(10 * time.Minute)
		d.want(alice, clean, "after a sweep")
		// The second attempt comes a second after the first, the third two seconds later.
		if len(after) != 2 || after[0] != time.Millisecond || after[1] != 3*time.Second+time.Millisecond {
			t.Errorf("lines went %v after their events", after)
		}
		d.end()
	})
}
