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

// What is not in line is counted as long as it is not: a file that cannot be decided, one that cannot be changed, and a home
// that does not answer; nobody else is.
func TestRunnerObserves(t *testing.T) {
	c := newCentre(t)
	fifo, fixed, dead, fine := c.account("alice", ""), c.account("bob", mixed), c.account("carol", ""), c.account("dave", mixed)
	if err := errors.Join(os.Remove(c.file(fifo)), syscall.Mkfifo(c.file(fifo), 0o600)); err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{"alice": lineA, "bob": lineA, "carol": lineA, "dave": lineA}
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		homesOf := &silent{Homes: c.door, dead: map[string]chan struct{}{"carol": make(chan struct{})}}
		d.runner.Homes = homesOf
		act := d.settings.Act
		var immutable atomic.Bool
		immutable.Store(true)
		d.settings.Act = func(p enforcer.Plan) error {
			if p.Account.Name == "bob" && immutable.Load() {
				return syscall.EPERM
			}
			return act(p)
		}
		want := func(when string, homes, stuck, unresolved int) {
			t.Helper()
			synctest.Wait()
			got := *d.seen.Load()
			got.Registry = time.Time{}
			if want := (enforcer.Observation{Homes: homes, Stuck: stuck, Unresolved: unresolved}); got != want {
				t.Errorf("%s: %+v, want %+v", when, got, want)
			}
		}
		d.source.set(nil, errors.New("down"))
		d.start()
		want("without a registry", 0, 0, 0)
		if !d.seen.Load().Registry.IsZero() {
			t.Errorf("the registry was read at %v", d.seen.Load().Registry)
		}
		d.source.set(register(t, nil, keys, fifo, fixed, dead, fine), nil)
		time.Sleep(10 * time.Second)
		want("with all that can be wrong", 4, 1, 3)
		if age := time.Since(d.seen.Load().Registry); age < 0 || age > 10*time.Second {
			t.Errorf("the registry was read %v ago", age)
		}
		close(homesOf.dead["carol"])
		want("with a home that answers", 4, 0, 2)
		immutable.Store(false)
		time.Sleep(time.Minute)
		want("with a file that can be changed", 4, 0, 1)
		d.source.set(register(t, nil, keys, []homes.Account{fixed, dead, fine}...), nil)
		time.Sleep(6 * time.Minute)
		want("without the user of the FIFO", 3, 0, 0)
		d.end()
	})
}
