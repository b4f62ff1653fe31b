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
			got.Registry = time.Time{}
			if want := (enforcer.Observation{Homes: homes, Silent: silent, Unresolved: unresolved, Reachable: homes > 0}); got != want {
				t.Errorf("%s: %+v, want %+v", when, got, want)
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
