package enforcer_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// crew is a registry of five with the key A each, and what it says when four have lost theirs.
type crew struct {
	*daemon
	list []homes.Account
}

func newCrew(t *testing.T) *crew {
	t.Helper()
	c := &crew{daemon: newDaemon(t, newCentre(t))}
	c.settings.Hold = usual
	for i := range 5 {
		c.list = append(c.list, c.account(fmt.Sprintf("user%d", i), mixed))
	}
	c.whole()
	return c
}

func (c *crew) whole() { c.registered(len(c.list)) }

// registered sets the registry to one in which the first n have their key.
func (c *crew) registered(n int) {
	lines := make(map[string]string)
	for _, a := range c.list[:n] {
		lines[a.Name] = lineA
	}
	c.source.set(register(c.t, nil, lines, c.list...), nil)
}

// all wants one text in everybody's file, but for the first.
func (c *crew) all(text, when string) {
	c.t.Helper()
	c.want(c.list[0], clean, when)
	for _, a := range c.list[1:] {
		c.want(a, text, when)
	}
}

// accept is what the administrator's command does, without a word past the brake.
func (c *crew) accept() {
	c.t.Helper()
	c.acceptPast("")
}

// acceptPast is what it does with one, if there is a reason for that.
func (c *crew) acceptPast(why string) {
	c.t.Helper()
	g := openGate(c.t, c.dir+"/state/registry")
	v, err := g.Waiting(usual)
	if err != nil || v == nil {
		c.t.Fatalf("held: %v, %v", v, err)
	}
	var past *enforcer.Past
	if why != "" {
		past = c.hand.PastBrake(*v, "root", why)
	}
	if err := c.hand.Accept(g, *v, "root", past); err != nil {
		c.t.Fatal(err)
	}
	c.runner.Accepted()
	synctest.Wait()
}

// restart ends the daemon and begins another on what it left.
func (c *crew) restart() {
	c.t.Helper()
	c.end()
	c.equip()
	c.ready = 0
	c.start()
}

const (
	heldAlarm  = "what was read of the registry is held: it lost too much; what it said before stays in force until it recovers or an administrator accepts this"
	byLastGood = "homes are kept by the last good reading until the registry answers"
	staleAlarm = "the last good reading of the registry is stale; homes are kept by it all the same"
)

func TestRunnerHolds(t *testing.T) {
	for name, play := range map[string]func(*crew){
		"three lose their keys": func(c *crew) {
			c.start()
			c.registered(2)
			time.Sleep(6 * time.Minute)
			c.want(c.list[1], clean, "with a key that stayed")
			c.want(c.list[4], "# mine\n", "with a key that went")
			if c.said(heldAlarm) != 0 || c.seen.Load().Held {
				c.t.Error("that was held")
			}
		},
		"four lose their keys, and that is accepted": func(c *crew) {
			c.start()
			c.registered(1)
			time.Sleep(time.Hour)
			for _, a := range c.list {
				c.write(a, mixed)
				c.hints <- a.Name
			}
			c.all(clean, "while the reading is held: registered keys stay, others go")
			if o := *c.seen.Load(); !o.Held || !o.Reachable || o.LostKeys != 4 || o.LostUsers != 0 || time.Since(o.Registry) < 50*time.Minute {
				c.t.Errorf("observed: %+v", o)
			}
			if n := c.said(heldAlarm); n != 1 {
				c.t.Errorf("the alarm was raised %d times", n)
			}
			c.accept()
			c.all("# mine\n", "after the acceptance, without a reading")
			if o := *c.seen.Load(); o.Held || o.LostKeys != 0 {
				c.t.Errorf("observed: %+v", o)
			}
			c.whole()
			time.Sleep(6 * time.Minute)
			c.registered(1)
			time.Sleep(6 * time.Minute)
			c.all(clean, "the acceptance counts once")
			if n := c.said(heldAlarm); n != 2 {
				c.t.Errorf("the alarm was raised %d times", n)
			}
		},
		"the registry recovers": func(c *crew) {
			c.start()
			c.registered(1)
			time.Sleep(20 * time.Minute)
			c.whole()
			time.Sleep(6 * time.Minute)
			c.all(clean, "after it has recovered")
			if c.seen.Load().Held {
				c.t.Error("something is held still")
			}
		},
		"four lose their keys while the daemon does not run": func(c *crew) {
			c.start()
			c.registered(1)
			c.restart()
			c.all(clean, "what the last daemon knew counts")
			if c.ready != 1 || c.said(heldAlarm) != 1 || !c.seen.Load().Held {
				c.t.Errorf("ready %d times, %d alarms", c.ready, c.said(heldAlarm))
			}
			c.end()
			c.equip()
			gate := c.runner.Gate
			c.runner.Gate = openGate(c.t, c.dir+"/state/registry")
			if gate.Good("one") == nil {
				c.t.Error("a held reading took the good one's place")
			}
			c.source.set(nil, errors.New("down"))
			c.start()
			if c.said(heldAlarm) != 1 || !c.seen.Load().Held || c.seen.Load().LostKeys != 4 {
				c.t.Errorf("what the last daemon held is not told: %+v", *c.seen.Load())
			}
			c.accept()
			c.all(clean, "accepted, but nothing that was registered goes while the registry is down")
			if c.seen.Load().Held {
				c.t.Error("it is held still")
			}
			c.registered(1)
			time.Sleep(2 * time.Minute)
			c.all("# mine\n", "when it answers again")
		},
		"the registry is down at the start": func(c *crew) {
			c.start()
			c.all(clean, "start")
			c.source.set(nil, errors.New("down"))
			c.restart()
			if c.ready != 1 || c.said(byLastGood) != 1 {
				c.t.Errorf("ready %d times, told %d times", c.ready, c.said(byLastGood))
			}
			time.Sleep(25 * time.Hour)
			for _, a := range c.list {
				c.write(a, mixed)
				c.hints <- a.Name
			}
			c.all(clean, "however old the reading is: registered keys stay, others go")
			if o := *c.seen.Load(); o.Reachable || !o.Stale || time.Since(o.Registry) < 25*time.Hour {
				c.t.Errorf("observed: %+v", o)
			}
			if n := c.said(staleAlarm); n != 1 {
				c.t.Errorf("it was told %d times that the reading is stale", n)
			}
			c.registered(2)
			time.Sleep(2 * time.Minute)
			c.want(c.list[4], "# mine\n", "when the registry answers again")
			if o := *c.seen.Load(); !o.Reachable || o.Stale || c.ready != 1 {
				c.t.Errorf("observed: %+v, ready %d times", o, c.ready)
			}
		},
		"a reading that is given up": func(c *crew) {
			c.start()
			c.source.mu.Lock()
			c.source.hang = true
			c.source.mu.Unlock()
			for range 2 {
				c.runner.Poke()
				synctest.Wait()
			}
			if !c.runner.Gate.Reach().OK {
				c.t.Error("it is told as one that failed")
			}
		},
		"another registry is down at the start": func(c *crew) {
			c.start()
			for _, a := range c.list {
				c.want(a, clean, "start")
				c.write(a, mixed)
			}
			c.source.set(nil, errors.New("down"))
			c.settings.SourceID = "two"
			c.restart()
			time.Sleep(time.Hour)
			c.want(c.list[0], mixed, "the last good reading is not its")
			if c.ready != 0 {
				c.t.Error("ready without a registry")
			}
			c.registered(1)
			time.Sleep(2 * time.Minute)
			c.want(c.list[0], mixed, "it lost too much, compared with the one before")
			c.accept()
			c.all("# mine\n", "after the acceptance")
		},
		"the configuration comes back to the first registry, which is down": func(c *crew) {
			c.start()
			c.source.set(nil, errors.New("down"))
			settings := c.settings
			settings.SourceID = "two"
			c.reload(settings)
			c.write(c.list[0], mixed)
			c.hints <- c.list[0].Name
			c.want(c.list[0], mixed, "before the second registry was read")
			c.reload(c.settings)
			c.all(clean, "with the last good reading of the first one")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCrew(t)
				play(c)
				c.end()
			})
		})
	}
}

// Since when the registry does not answer is known, to other processes too.
func TestRunnerNotesReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t)
		c.start()
		if !c.runner.Gate.Reach().OK {
			t.Error("not reachable after a reading")
		}
		began := time.Now()
		time.Sleep(time.Minute)
		c.source.set(nil, errors.New("down"))
		time.Sleep(time.Hour)
		reach := openGate(t, c.dir+"/state/registry").Reach()
		if reach.OK || reach.Error != "down" || reach.Since.Sub(began) != 5*time.Minute {
			t.Errorf("reach on disk: %+v", reach)
		}
		c.end()
	})
}

// Stale is older than may be.
func TestStale(t *testing.T) {
	s, read := enforcer.Settings{MaxStale: time.Hour}, time.Unix(1e9, 0)
	if s.Stale(read, read.Add(time.Hour)) || !s.Stale(read, read.Add(time.Hour+1)) {
		t.Error("stale too soon, or not at all")
	}
}
