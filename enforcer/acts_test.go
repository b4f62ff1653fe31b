package enforcer_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// Each account has its own act, or none; a look without one is told of, and changes nothing. What an account is to have is asked
// anew at each look.
func TestRunnerActsByAccount(t *testing.T) {
	c := newCentre(t)
	alice, bob := c.account("alice", mixed), c.account("bob", mixed)
	lines := map[string]string{"alice": lineA, "bob": lineA}
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		d.source.set(register(t, nil, lines, alice, bob), nil)
		var mu sync.Mutex
		kept, looked := map[string]bool{"alice": true}, map[string]int{}
		d.settings.Act = func(a homes.Account) func(enforcer.Plan) error {
			mu.Lock()
			defer mu.Unlock()
			if kept[a.Name] {
				return d.hand.Apply
			}
			return nil
		}
		d.settings.Looked = func(r enforcer.Result) {
			mu.Lock()
			defer mu.Unlock()
			looked[r.Account.Name]++
			if !pending(r) || r.Changed() {
				t.Errorf("a look without an act: %+v", r)
			}
		}
		d.start()
		d.want(alice, clean, "with an act")
		d.want(bob, mixed, "without one")
		if n := d.said("file would be changed"); n != 1 || looked["bob"] != 1 || looked["alice"] != 0 {
			t.Errorf("told %d times, looks without an act: %v", n, looked)
		}
		mu.Lock()
		kept["bob"] = true
		mu.Unlock()
		time.Sleep(11 * time.Minute)
		d.want(bob, clean, "with an act from the next look on")
		d.end()
	})
}

// So it is in a pass.
func TestSweepActsByAccount(t *testing.T) {
	c := newCentre(t)
	accounts := []homes.Account{c.account("alice", mixed), c.account("bob", mixed)}
	hand := c.enforcer(&trail{})
	look := enforcer.Looker{Homes: c.door, Grants: grants(t, lineA)}
	err := look.Sweep(t.Context(), accounts, 2, func(a homes.Account) func(enforcer.Plan) error {
		if a.Name == "alice" {
			return nil
		}
		return hand.Apply
	}, func(r enforcer.Result) {
		if r.Err != nil || r.Changed() != (r.Account.Name == "bob") {
			t.Errorf("%+v", r)
		}
	})
	if err != nil {
		t.Error(err)
	}
	if got := c.read(accounts[0]); got != mixed {
		t.Errorf("the file that was only looked at holds %q", got)
	}
}
