package enforcer_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// An account that leaves while its home is silent leaves nothing behind when the look returns: no watch, no count, no further looks.
func TestRunnerForgetsWhoLeftDuringALook(t *testing.T) {
	c := newCentre(t)
	alice, bob := c.account("alice", clean), c.account("bob", clean)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		door := &lent{Homes: d.door, read: func(homes.File) (homes.File, error) { return homes.File{}, syscall.ESTALE }}
		d.runner.Homes = door
		var mu sync.Mutex
		var calls []string
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, what)
		}
		hold, held := make(chan struct{}), false
		d.runner.Watch = func(a homes.Account) error {
			if a.Name == "bob" {
				mu.Lock()
				wait := held
				mu.Unlock()
				if wait {
					<-hold
				}
				note("watch")
			}
			return nil
		}
		d.runner.Unwatch = func(user string) { note("unwatch " + user) }
		keys := map[string]string{"alice": lineA, "bob": lineA}
		d.source.set(register(t, nil, keys, alice, bob), nil)
		d.start()
		mu.Lock()
		held = true
		mu.Unlock()
		d.hints <- "bob"
		time.Sleep(10 * time.Second)
		if n := d.seen.Load().Silent; n != 1 {
			t.Errorf("%d homes are silent", n)
		}
		root := bob
		root.UID = 0 // which is not kept
		d.source.set(register(t, nil, keys, alice, root), nil)
		time.Sleep(6 * time.Minute)
		door.on.Store(true)
		close(hold)
		time.Sleep(time.Second)
		door.on.Store(false)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := d.seen.Load().Unresolved; n != 0 || d.said("account left: its home is left alone from now on") != 1 {
			t.Errorf("%d files are unresolved a day later", n)
		}
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"watch", "unwatch bob", "watch", "unwatch bob"}; !slices.Equal(calls, want) {
			t.Errorf("%v, want %v", calls, want)
		}
		d.end()
	})
}

// A file that is not kept is told of once, as long as it is there; it is not known for ever.
func TestRunnerForgetsUnkeptFiles(t *testing.T) {
	c := newCentre(t)
	alice := c.account("alice", clean)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		var there atomic.Bool
		there.Store(true)
		d.settings.Files = func(homes.Account) (homes.KeyFiles, error) {
			files := homes.KeyFiles{Paths: enforcer.FileNames()}
			if there.Load() {
				files.Unkept = []homes.Unkept{{Path: "/keys/all", Why: "one for all"}}
			}
			return files, nil
		}
		d.source.set(register(t, nil, onlyA, alice), nil)
		d.start()
		for _, step := range []struct {
			there bool
			lines int
		}{{true, 1}, {false, 1}, {true, 2}} {
			there.Store(step.there)
			time.Sleep(2 * time.Hour)
			if n := d.said("sshd may read a file that is not kept"); n != step.lines {
				t.Errorf("there: %v: told %d times, want %d", step.there, n, step.lines)
			}
		}
		d.end()
	})
}
