package enforcer_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/registry"
)

// town is a daemon over the homes of six people, who have the key A, and of eve, whose key is B. More than three may not lose theirs
// within an hour.
type town struct {
	*daemon
	trail  *trail
	people []homes.Account
	eve    homes.Account
	keys   map[string]string
}

const (
	theirs = "# mine\n" + lineA + " me\n"
	gone   = "# mine\n"
)

func inTown(t *testing.T, play func(d *town)) {
	t.Helper()
	testenv.Need(t, "root") // each home has a uid of its own
	c := newCentre(t)
	d := &town{keys: make(map[string]string), trail: &trail{}}
	for i := range 6 {
		a := c.account(fmt.Sprintf("p%d", i), theirs)
		d.people = append(d.people, a)
		d.keys[a.Name] = lineA
	}
	d.eve = c.account("eve", "# mine\n"+lineB+" me\n")
	d.keys["eve"] = lineB
	synctest.Test(t, func(t *testing.T) {
		d.daemon = newDaemon(t, c)
		d.hand.Trail = d.trail.write
		d.settings.Brake.People = 3
		d.source.set(d.registry(), nil)
		play(d)
		d.end()
	})
}

// registry has everybody but those without; who is named with a dash has an entry without a key.
func (d *town) registry(without ...string) *registry.Snapshot {
	keys := maps.Clone(d.keys)
	var accounts []homes.Account
	for _, a := range append(slices.Clone(d.people), d.eve) {
		if slices.Contains(without, "-"+a.Name) {
			delete(keys, a.Name)
		}
		if !slices.Contains(without, a.Name) {
			accounts = append(accounts, a)
		}
	}
	return register(d.t, nil, keys, accounts...)
}

// without takes people out of the registry, and lets the daemon read it.
func (d *town) without(names ...string) {
	d.t.Helper()
	d.source.set(d.registry(names...), nil)
	d.read()
}

func (d *town) read() {
	d.t.Helper()
	d.runner.Poke()
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

// have tells whose files hold the key A.
func (d *town) have() (names []string) {
	for _, a := range d.people {
		if strings.Contains(d.daemon.read(a), lineA) {
			names = append(names, a.Name)
		}
	}
	return names
}

// puts writes a file and gives the hint.
func (d *town) puts(a homes.Account, text string) {
	d.t.Helper()
	d.write(a, text)
	d.hints <- a.Name
	time.Sleep(time.Second)
	synctest.Wait()
}

func (d *town) restart() {
	d.t.Helper()
	d.end()
	d.equip()
	d.start()
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

func (d *town) release() {
	d.t.Helper()
	brakes, err := enforcer.OpenBrakes(d.dir + "/brake")
	if err == nil {
		_, err = d.hand.Release(brakes, d.runner.Memory.Ledger.AllLosses(), "root", "they were dismissed")
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.runner.Brake()
	time.Sleep(time.Second)
	synctest.Wait()
}

// tripped takes all six out of the registry: three lose their keys, and the others' are held.
func (d *town) tripped() {
	d.t.Helper()
	d.start()
	time.Sleep(time.Minute)
	d.without("p0", "-p1", "p2", "p3", "-p4", "p5")
	if n := d.said("home could not be kept in line"); n != 0 {
		d.t.Errorf("what is held is told as an error %d times", n)
	}
	if n := len(d.have()); n != 3 || d.said(brakeIsOn) != 1 || !d.seen.Load().Braked || d.seen.Load().HeldKeys != 3 {
		d.t.Fatalf("%d people have their keys; told %d times; %+v", n, d.said(brakeIsOn), d.seen.Load())
	}
}

const brakeIsOn = "the brake is on: too many people lost a registered key; such keys stay until it is released"
