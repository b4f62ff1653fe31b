package enforcer_test

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/policy"
)

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
