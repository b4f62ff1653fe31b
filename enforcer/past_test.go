package enforcer_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/policy"
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

const brakeWasLost = "the state of the brake was lost; it is written anew as it was known"

func TestRunnerBrakes(t *testing.T) {
	for name, play := range map[string]func(d *town){
		"as many as may lose their keys": func(d *town) {
			d.start()
			d.without("p0", "-p1", "p2")
			if got := d.have(); !slices.Equal(got, []string{"p3", "p4", "p5"}) || d.seen.Load().Braked {
				d.t.Errorf("keys have %v", got)
			}
		},
		"one more, and what is left stays": func(d *town) {
			d.tripped()
			entry := d.logs.FilterMessage(brakeIsOn).All()[0].ContextMap()
			people, ok := entry["people"].([]any)
			if !ok || len(people) != 4 {
				d.t.Errorf("the message names %v", entry)
			}
			held := d.have()
			time.Sleep(48 * time.Hour)
			if got := d.have(); !slices.Equal(got, held) || d.said(brakeIsOn) != 1 {
				d.t.Errorf("two days later %v have their keys, and it was told %d times", got, d.said(brakeIsOn))
			}
			d.restart()
			if got := d.have(); !slices.Equal(got, held) || !d.seen.Load().Braked || d.said(brakeIsOn) != 1 {
				d.t.Errorf("after a restart %v have their keys, and it was told %d times", got, d.said(brakeIsOn))
			}
			var trips []string
			for _, r := range d.trail.records {
				if r.Action == audit.TripBrake {
					trips = append(trips, r.Outcome+" "+r.User)
				}
			}
			if len(trips) != 8 {
				d.t.Errorf("the trail has %v", trips)
			}
			d.without()
			if d.seen.Load().HeldKeys != 0 || !d.seen.Load().Braked || !slices.Equal(d.have(), held) {
				d.t.Errorf("the registry is whole again: %+v, keys have %v", d.seen.Load(), d.have())
			}
		},
		"released, what was held goes, and the next time counts anew": func(d *town) {
			d.tripped()
			d.release()
			if got := d.have(); len(got) != 0 || d.seen.Load().Braked || d.said("the brake was released") != 1 {
				d.t.Errorf("keys have %v", got)
			}
			d.without()
			for _, a := range d.people {
				d.puts(a, theirs)
			}
			d.without("p0", "p1", "p2", "p3", "p4", "p5")
			if n := len(d.have()); n != 3 || !d.seen.Load().Braked {
				d.t.Errorf("the next time %d people have their keys", n)
			}
		},
		"an unknown key goes, whatever the brake says": func(d *town) {
			d.tripped()
			held := d.people[slices.IndexFunc(d.people, func(a homes.Account) bool { return a.Name == d.have()[0] })]
			d.puts(held, lineB+" of eve's\n"+theirs+lineD+" nobody's\n")
			d.want(held, theirs, "beside a key that is held")
			d.puts(d.eve, lineB+" me\n"+lineA+" of the others\n")
			d.want(d.eve, lineB+" me\n", "a key that others had is unknown for eve")
		},
		"a key that went before is not held": func(d *town) {
			d.start()
			d.without("-p0")
			time.Sleep(2 * time.Hour)
			d.without("-p0", "p1", "p2", "p3", "p4", "p5")
			if len(d.have()) != 2 || !d.seen.Load().Braked {
				d.t.Fatalf("keys have %v", d.have())
			}
			d.puts(d.people[0], theirs)
			d.want(d.people[0], gone, "what was revoked two hours ago")
		},
		"a key that was removed once is not held": func(d *town) {
			d.tripped()
			for _, a := range d.people {
				if d.daemon.read(a) == gone {
					d.puts(a, theirs)
					d.want(a, gone, "put back")
				}
			}
		},
		"people who put back old keys do not trip it": func(d *town) {
			d.start()
			for i := range d.people { // in small numbers, as it happens
				var names []string
				for _, a := range d.people[:i+1] {
					names = append(names, "-"+a.Name)
				}
				d.without(names...)
				time.Sleep(time.Hour)
			}
			for range 3 {
				for _, a := range d.people {
					d.puts(a, theirs)
					d.want(a, gone, "an old key that "+a.Name+" put back")
				}
			}
			if d.seen.Load().Braked {
				d.t.Error("the brake is on")
			}
			d.keys["eve"] = lineD
			d.source.set(d.registry("-p0", "-p1", "-p2", "-p3", "-p4", "-p5"), nil)
			d.read()
			d.want(d.eve, gone, "eve's key, which was revoked meanwhile")
		},
		"one who makes noise": func(d *town) {
			d.start()
			for range 20 {
				d.without("-p0")
				d.without()
				d.puts(d.people[0], theirs)
			}
			d.without("-p0")
			d.want(d.people[0], gone, "in the end")
			if d.seen.Load().Braked {
				d.t.Error("the brake is on")
			}
		},
		"a key that is revoked while the brake is on": func(d *town) {
			d.tripped()
			time.Sleep(2 * time.Hour)
			d.keys["eve"] = lineD
			d.without("p0", "-p1", "p2", "p3", "-p4", "p5")
			d.want(d.eve, gone, "one alone")
		},
		"many accounts that are locked": func(d *town) {
			d.start()
			d.source.set(registerAs(d.t, func(u *registry.User) {
				if u.Name != "eve" {
					u.Status = registry.Locked
				}
			}, d.keys, append(slices.Clone(d.people), d.eve)...), nil)
			d.read()
			if n := len(d.have()); n != 3 || !d.seen.Load().Braked {
				d.t.Errorf("%d people have their keys", n)
			}
		},
		"many registrations that end": func(d *town) {
			end := time.Now().Add(time.Hour)
			d.source.set(register(d.t, func(r *registry.Record) { r.NotAfter = end }, d.keys, append(slices.Clone(d.people), d.eve)...), nil)
			d.start()
			time.Sleep(2 * time.Hour)
			if n := len(d.have()); n != 0 || d.seen.Load().Braked {
				d.t.Errorf("%d people have their keys", n)
			}
		},
		"report first, then enforce": func(d *town) {
			act := d.settings.Act
			d.settings.Act = nil
			d.start()
			d.without("p0", "-p1", "p2", "p3", "-p4", "p5")
			if len(d.have()) != 6 || d.seen.Load().Braked {
				d.t.Errorf("keys have %v", d.have())
			}
			d.settings.Act = act
			d.reload(d.settings)
			d.read()
			if n := len(d.have()); n != 3 || !d.seen.Load().Braked {
				d.t.Errorf("%d people have their keys", n)
			}
		},
		"the state cannot be written": func(d *town) {
			d.start()
			if err := os.Mkdir(d.dir+"/brake", 0o700); err != nil {
				d.t.Fatal(err)
			}
			d.without("p0")
			d.want(d.people[0], theirs, "nobody knows whether he may lose it")
			d.puts(d.eve, lineB+" me\n"+lineA+" of the others\n")
			d.want(d.eve, lineB+" me\n", "an unknown key")
			if err := os.Remove(d.dir + "/brake"); err != nil {
				d.t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
			d.want(d.people[0], gone, "when it can")
		},
		"the state is taken away": func(d *town) {
			d.start()
			d.without("-p0")
			if err := os.Remove(d.dir + "/brake"); err != nil {
				d.t.Fatal(err)
			}
			d.without("-p0", "-p1", "-p2")
			if got := d.have(); !slices.Equal(got, []string{"p3", "p4", "p5"}) || d.said(brakeWasLost) != 1 || d.seen.Load().BrakeRenewed != 1 {
				d.t.Errorf("keys have %v; told %d times; %+v", got, d.said(brakeWasLost), d.seen.Load())
			}
			d.without("-p0", "-p1", "-p2", "-p3")
			if n := len(d.have()); n != 3 || !d.seen.Load().Braked {
				d.t.Errorf("who was counted before is forgotten: %d people have their keys", n)
			}
		},
		"the state is damaged while it is on": func(d *town) {
			d.tripped()
			held := d.have()
			if err := os.WriteFile(d.dir+"/brake", nil, 0o600); err != nil {
				d.t.Fatal(err)
			}
			d.runner.Brake() // its file changed
			synctest.Wait()
			d.puts(d.eve, lineB+" me\n"+lineA+" of the others\n")
			d.want(d.eve, lineB+" me\n", "an unknown key")
			d.restart()
			if got := d.have(); !slices.Equal(got, held) || !d.seen.Load().Braked {
				d.t.Errorf("after a restart keys have %v", got)
			}
		},
		"the trail cannot be written": func(d *town) {
			d.start()
			fails := true
			d.trail.fail = func(r audit.Record) error {
				if r.Action == audit.TripBrake && fails {
					return errors.New("no space left on device")
				}
				return nil
			}
			d.without("p0", "p1", "p2", "p3", "p4", "p5")
			if n := len(d.have()); n != 3 || d.seen.Load().Braked {
				d.t.Errorf("%d people have their keys", n)
			}
			d.trail.mu.Lock()
			fails = false
			d.trail.mu.Unlock()
			time.Sleep(2 * time.Minute)
			if n := len(d.have()); n != 3 || !d.seen.Load().Braked {
				d.t.Errorf("%d people have their keys when it can", n)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { inTown(t, play) })
	}
}

// While the registry cannot be read, keys stay that only its last reading did not have.
func TestRunnerHoldsWhileTheRegistryIsAway(t *testing.T) {
	down := errors.New("connection refused")
	act := func(d *town, fails *atomic.Bool) func(enforcer.Plan) error {
		return func(p enforcer.Plan) error {
			if fails.Load() {
				return errors.New("stale file handle")
			}
			return d.hand.Apply(p)
		}
	}
	inTown(t, func(d *town) {
		var fails atomic.Bool
		fails.Store(true)
		d.act = act(d, &fails)
		d.start()
		d.without("p0") // the home does not let itself be changed
		d.source.set(nil, down)
		d.read()
		fails.Store(false)
		time.Sleep(24 * time.Hour)
		d.want(d.people[0], theirs, "one reading did not have it, and there was none since")
		d.puts(d.people[0], theirs+lineB+"\n")
		d.want(d.people[0], theirs, "an unknown key goes")
		d.restart()
		d.source.set(d.registry("p0"), nil)
		d.read()
		d.want(d.people[0], gone, "the next reading does not have it either")
		d.source.set(nil, down)
		d.read()
		d.puts(d.people[0], theirs)
		d.want(d.people[0], gone, "put back in the next outage")
	})
	inTown(t, func(d *town) {
		var fails atomic.Bool
		fails.Store(true)
		d.act = act(d, &fails)
		d.start()
		d.without("p0")
		d.without("p0")
		d.source.set(nil, down)
		d.read()
		fails.Store(false)
		time.Sleep(2 * time.Minute)
		d.want(d.people[0], gone, "two readings did not have it")
	})
	inTown(t, func(d *town) {
		d.start()
		d.without("-p0")
		d.want(d.people[0], gone, "one reading is enough while the registry answers")
		d.source.set(nil, down)
		d.read()
		d.runner.Brake() // whatever makes the world anew
		synctest.Wait()
		d.puts(d.people[0], theirs)
		d.want(d.people[0], gone, "put back in an outage, after it was removed")
		d.source.set(d.registry(), nil)
		d.read()
		d.puts(d.people[0], theirs)
		d.want(d.people[0], theirs, "registered again")
		d.without("-p0")
		d.want(d.people[0], gone, "one reading is enough after an outage too")
	})
}

// Who left the registry is still kept, and has no keys.
func TestRunnerKeepsWhoLeft(t *testing.T) {
	inTown(t, func(d *town) {
		e := exception(d.t, "p0", lineB)
		e.Since, e.Until = time.Now(), time.Now().AddDate(0, 1, 0)
		d.runner.Exceptions = func() ([]policy.Exception, error) { return []policy.Exception{e}, nil }
		d.write(d.people[0], theirs+lineB+"\n")
		d.start()
		d.want(d.people[0], theirs+lineB+"\n", "by an exception")
		d.without("p0")
		d.want(d.people[0], gone, "an exception of who left")
	})
	inTown(t, func(d *town) {
		d.start()
		d.without("p0")
		d.want(d.people[0], gone, "after he left")
		if d.said("user left the registry: he has no keys any more") != 1 || d.said("account left: its home is left alone from now on") != 0 {
			d.t.Error("it was not told")
		}
		d.restart()
		d.puts(d.people[0], theirs)
		d.want(d.people[0], gone, "put back after a restart")
		d.keys["p0"] = lineA
		d.without()
		d.puts(d.people[0], theirs)
		d.want(d.people[0], theirs, "when he is back")
	})
	inTown(t, func(d *town) {
		d.start()
		if err := os.Chown(d.people[0].Home, d.eve.UID, d.eve.GID); err != nil {
			d.t.Fatal(err)
		}
		d.without("p0")
		d.want(d.people[0], theirs, "in a home that is another one's by now")
		if d.said("home could not be kept in line") != 0 || d.seen.Load().Unresolved != 0 {
			d.t.Error("it is told for ever")
		}
	})
	inTown(t, func(d *town) {
		d.start()
		next := d.people[0]
		next.Name = "next"
		d.source.set(register(d.t, nil, map[string]string{"next": lineB, "eve": lineB}, next, d.eve), nil)
		d.read()
		d.want(d.people[0], gone, "what another one has in the same home with the same uid")
		d.puts(next, gone+lineB+" me\n")
		d.want(next, gone+lineB+" me\n", "it is his now")
	})
	inTown(t, func(d *town) {
		d.start()
		d.source.set(d.registry("p0"), nil)
		d.settings.SourceID = "another filter"
		d.reload(d.settings)
		d.read()
		d.want(d.people[0], theirs, "who is not in another registry did not leave")
		if d.said("user of the registry before is not in this one: he is forgotten") != 1 || d.said("account left: its home is left alone from now on") != 1 {
			d.t.Error("it was not told")
		}
	})
}
