package enforcer_test

import (
	"errors"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/registry"
)

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
