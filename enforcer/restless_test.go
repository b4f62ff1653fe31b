package enforcer_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// Who puts back what goes, as fast as he can, is looked at once a second and told of once; others do not notice.
func TestRunnerRestsBetweenManyChanges(t *testing.T) {
	c := newCentre(t)
	a, bob := c.account("alice", mixed), c.account("bob", mixed)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		changes := 0
		act := d.act
		d.act = func(p enforcer.Plan) error {
			if p.Account.Name == "alice" {
				changes++
			}
			return act(p)
		}
		d.source.set(register(t, nil, map[string]string{"alice": lineA, "bob": lineA}, a, bob), nil)
		d.start()
		for range 1000 {
			d.write(a, mixed)
			d.hints <- "alice"
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
		}
		if changes < 10 || changes > 30 {
			t.Errorf("%d changes in 10 s, want 10 at once and one a second then", changes)
		}
		if n := d.said("the user's file is changed again and again; from now on he is looked at once a second"); n != 1 {
			t.Errorf("it was said %d times", n)
		}
		d.write(bob, mixed)
		d.hints <- "bob"
		d.want(bob, clean, "beside the restless user")
		time.Sleep(2 * time.Second)
		d.want(a, clean, "after the last rest")
		time.Sleep(time.Minute)
		d.write(a, mixed)
		d.hints <- "alice"
		d.want(a, clean, "at once, when he kept still for a while")
		d.end()
	})
}

// Where nothing is changed, somebody who makes finding after finding costs no more, and what is left in the end is told.
func TestRunnerRestsBetweenManyFindings(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", clean)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		d.settings.Act = nil
		var looks atomic.Int32
		d.settings.Looked = func(enforcer.Result) { looks.Add(1) }
		d.source.set(register(t, nil, onlyA, a), nil)
		d.start()
		for i := range 1000 {
			d.write(a, fmt.Sprintf("%s# %d\n", mixed, i))
			d.hints <- "alice"
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
		}
		if n := d.said("file would be changed"); n < 9 || n > 11 || looks.Load() > 30 {
			t.Errorf("%d lines of the log after %d looks", n, looks.Load())
		}
		before := d.said("file would be changed")
		time.Sleep(11 * time.Minute)
		if n := d.said("file would be changed"); n != before+1 {
			t.Errorf("%d lines when he keeps still, want one more than %d", n, before)
		}
		time.Sleep(time.Hour)
		if n := d.said("file would be changed"); n != before+1 {
			t.Errorf("the same finding was told %d times", n-before)
		}
		d.end()
	})
}

// A change that fails and makes hints by that is not tried without end: each try is a record and a copy.
func TestRunnerRestsBetweenFailures(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		var tries atomic.Int32
		d.act = func(enforcer.Plan) error {
			tries.Add(1)
			return syscall.EPERM
		}
		d.source.set(register(t, nil, onlyA, a), nil)
		d.start()
		for range 1000 {
			d.hints <- "alice"
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
		}
		if n := tries.Load(); n < 10 || n > 30 {
			t.Errorf("%d tries in 10 s, want 10 at once and one a second then", n)
		}
		d.end()
	})
}

// silent is a door to homes some of which do not answer.
type silent struct {
	enforcer.Homes
	mu   sync.Mutex
	dead map[string]chan struct{} // by user
}

func (s *silent) Read(a homes.Account, name string) (homes.File, error) {
	s.mu.Lock()
	dead := s.dead[a.Name]
	s.mu.Unlock()
	if dead != nil {
		<-dead
	}
	return s.Homes.Read(a, name)
}

// Homes that do not answer keep nobody else waiting; they are named once, and looked at when they come back.
func TestRunnerLeavesSilentHomes(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	all := []homes.Account{a}
	door := &silent{Homes: c.door, dead: make(map[string]chan struct{})}
	lines := map[string]string{"alice": lineA}
	for i := range 10 {
		user := c.account(fmt.Sprintf("dead%d", i), mixed)
		all, lines[user.Name], door.dead[user.Name] = append(all, user), lineA, make(chan struct{})
	}
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		for user := range door.dead {
			door.dead[user] = make(chan struct{}) // of this bubble
		}
		d.runner.Homes = door
		d.source.set(register(t, nil, lines, all...), nil)
		d.start()
		time.Sleep(30 * time.Second)
		d.want(a, clean, "beside ten silent homes and four workers")
		d.write(a, mixed)
		d.hints <- "alice"
		d.want(a, clean, "at once, when they are known")
		for range 100 {
			for _, user := range all[1:] {
				d.hints <- user.Name
			}
		}
		time.Sleep(time.Hour)
		if n := d.said("home does not answer; it is not looked at until it does"); n != 10 {
			t.Errorf("%d homes were named, want each of 10 once", n)
		}
		for _, dead := range door.dead {
			close(dead)
		}
		for _, user := range all[1:] {
			d.want(user, clean, "when it answers again")
		}
		d.end()
	})
}

// Homes of a server that is silent are not looked at in any number; those of another server, in the same folder, are.
func TestRunnerCountsSilentHomesByTheirServer(t *testing.T) {
	c := newCentre(t)
	zoe := c.account("zoe", mixed)
	all, lines := []homes.Account{zoe}, map[string]string{"zoe": lineA}
	door := &silent{Homes: c.door, dead: make(map[string]chan struct{})}
	for i := range 500 {
		user := c.account(fmt.Sprintf("%c%03d", 'a'+rune(i/100), i), mixed)
		all, lines[user.Name], door.dead[user.Name] = append(all, user), lineA, nil
	}
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		for user := range door.dead {
			door.dead[user] = make(chan struct{}) // of this bubble
		}
		d.runner.Homes = door
		d.runner.Server = func(home string) string { return filepath.Base(home)[:1] }
		d.source.set(register(t, nil, lines, all...), nil)
		d.start()
		time.Sleep(10 * time.Minute)
		d.want(zoe, clean, "beside five silent servers with a hundred homes each")
		const silence = "home does not answer; it is not looked at until it does"
		if n := d.said(silence); n < 256 || n > 256+d.runner.Workers {
			t.Errorf("%d homes hold a thread, want 64 of each of four servers or a few more", n)
		}
		if n := d.said("file server does not answer; none of its homes is looked at until one answers"); n != 4 || d.seen.Load().Silent != 500 {
			t.Errorf("%d servers are named, want 4, and %d homes count as silent, want all 500", n, d.seen.Load().Silent)
		}
		d.write(zoe, mixed)
		d.hints <- "zoe"
		d.want(zoe, clean, "at once")
		for _, dead := range door.dead {
			close(dead)
		}
		for _, user := range all[1:] {
			d.want(user, clean, "when the server answers again")
		}
		d.end()
	})
}

// Homes of one disk that are silent are somebody's doing: the others on it are looked at.
func TestRunnerLooksBesideSilentHomesOfADisk(t *testing.T) {
	c := newCentre(t)
	zoe := c.account("zoe", mixed)
	all, lines := []homes.Account{zoe}, map[string]string{"zoe": lineA}
	door := &silent{Homes: c.door, dead: make(map[string]chan struct{})}
	for i := range 100 {
		user := c.account(fmt.Sprintf("a%03d", i), mixed)
		all, lines[user.Name], door.dead[user.Name] = append(all, user), lineA, nil
	}
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		for user := range door.dead {
			door.dead[user] = make(chan struct{}) // of this bubble
		}
		d.runner.Homes, d.runner.Server = door, func(string) string { return "xfs 8:1" }
		d.source.set(register(t, nil, lines, all...), nil)
		d.start()
		time.Sleep(10 * time.Minute)
		d.want(zoe, clean, "beside a hundred silent homes of the same disk")
		d.write(zoe, mixed)
		d.hints <- "zoe"
		d.want(zoe, clean, "at once")
		if n := d.said("file server does not answer; none of its homes is looked at until one answers"); n != 0 {
			t.Error("the disk counts as a dead server")
		}
		for _, dead := range door.dead {
			close(dead)
		}
		for _, user := range all[1:] {
			d.want(user, clean, "when it answers again")
		}
		d.end()
	})
}

// A daemon that is told to end does not wait for a home that is silent.
func TestRunnerEndsBesideASilentHome(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	synctest.Test(t, func(t *testing.T) {
		door := &silent{Homes: c.door, dead: map[string]chan struct{}{"alice": make(chan struct{})}}
		d := newDaemon(t, c)
		d.runner.Homes = door
		d.source.set(register(t, nil, onlyA, a), nil)
		d.start()
		time.Sleep(10 * time.Second)
		d.stop()
		begin := time.Now()
		if err := <-d.ended; err != nil || time.Since(begin) > time.Second {
			t.Errorf("it ended with %v after %v", err, time.Since(begin))
		}
		close(door.dead["alice"])
	})
}
