package enforcer_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

func TestRunner(t *testing.T) {
	for name, play := range map[string]func(d *daemon, a homes.Account){
		"the registry is down at the start": func(d *daemon, a homes.Account) {
			d.source.set(nil, errors.New("connection refused"))
			d.start()
			time.Sleep(time.Hour)
			d.want(a, mixed, "without a registry")
			if d.source.count() < 12 || d.ready != 0 || d.said("the registry could not be read; no home is looked at before it was") == 0 {
				d.t.Errorf("%d attempts, ready %d times", d.source.count(), d.ready)
			}
			d.source.set(register(d.t, nil, onlyA, a), nil)
			time.Sleep(2 * time.Minute)
			d.want(a, clean, "after the first reading")
			if d.ready != 1 {
				d.t.Errorf("ready %d times", d.ready)
			}
		},
		"the registry fails later": func(d *daemon, a homes.Account) {
			d.start()
			d.want(a, clean, "start")
			d.source.set(nil, errors.New("timeout"))
			time.Sleep(time.Hour)
			d.write(a, mixed)
			d.hints <- "alice"
			d.want(a, clean, "the last snapshot stays in force")
		},
		"a hint": func(d *daemon, a homes.Account) {
			d.start()
			d.write(a, mixed)
			d.want(a, mixed, "before the hint")
			d.hints <- "alice"
			d.want(a, clean, "after the hint")
			d.hints <- "nobody"
			synctest.Wait()
		},
		"a key that comes while the watch is set": func(d *daemon, a homes.Account) {
			d.write(a, clean)
			var once sync.Once
			d.runner.Watch = func(homes.Account) error {
				once.Do(func() { d.write(a, mixed) })
				return nil
			}
			d.start()
			d.want(a, clean, "it gave no hint: the look that is behind the watch finds it")
		},
		"lost hints": func(d *daemon, a homes.Account) {
			d.start()
			d.write(a, mixed)
			d.hints <- ""
			d.want(a, clean, "after the loss")
		},
		"no hint at all": func(d *daemon, a homes.Account) {
			d.start()
			d.write(a, mixed)
			time.Sleep(10*time.Minute + time.Second)
			d.want(a, clean, "after the sweep")
		},
		"an active user": func(d *daemon, a homes.Account) {
			d.settings.FastCheck = 15 * time.Second
			d.start()
			d.write(a, mixed)
			time.Sleep(16 * time.Second)
			d.want(a, mixed, "while he has no process")
			d.active.Store(int64(a.UID))
			time.Sleep(16 * time.Second)
			d.want(a, clean, "after the fast check")
		},
		"a key is revoked": func(d *daemon, a homes.Account) {
			d.start()
			d.source.set(register(d.t, nil, map[string]string{"alice": lineB}, a), nil)
			time.Sleep(6 * time.Minute)
			d.want(a, "# mine\n"+lineB+" intruder\n", "after the next reading, which knows the other key")
		},
		"a registration ends": func(d *daemon, a homes.Account) {
			end := time.Now().Add(90 * time.Second)
			d.source.set(register(d.t, func(r *registry.Record) { r.NotAfter = end }, onlyA, a), nil)
			d.start()
			time.Sleep(89 * time.Second)
			d.want(a, clean, "before its end")
			time.Sleep(2 * time.Second)
			d.want(a, "# mine\n", "after its end")
		},
		"a rule ends, and another begins": func(d *daemon, a homes.Account) {
			day := policy.Day(time.Now().UTC().Format(time.DateOnly))
			next := policy.Day(time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly))
			d.settings.Policy = mustCompile(d.t, policy.Rules{Keys: []policy.Rule{{Type: "ed25519", Until: day}, {Type: "rsa", MinBits: 4096, From: next}}})
			midnight := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
			d.settings.Refresh, d.settings.Sweep = 48*time.Hour, 48*time.Hour // the turn alone does it
			d.start()
			d.want(a, clean, "start")
			time.Sleep(time.Until(midnight) - time.Second)
			d.want(a, clean, "to the end of the rule's last day")
			time.Sleep(2 * time.Second)
			d.want(a, "# mine\n", "after it")
		},
		"a home that others may write": func(d *daemon, a homes.Account) {
			if err := os.Chmod(a.Home, 0o777); err != nil {
				d.t.Fatal(err)
			}
			d.start()
			time.Sleep(time.Hour)
			d.want(a, clean, "its file is kept all the same")
			if n := d.said("file is not safe where it is"); n != 1 {
				d.t.Errorf("it was told %d times", n)
			}
		},
		"an account is locked": func(d *daemon, a homes.Account) {
			d.start()
			d.want(a, clean, "start")
			d.source.set(registerAs(d.t, func(u *registry.User) { u.Status = registry.Locked }, onlyA, a), nil)
			time.Sleep(6 * time.Minute)
			d.want(a, "# mine\n", "after the next reading")
			if d.said("account has no keys") != 1 || d.said("account left: its home is left alone from now on") != 0 {
				d.t.Error("nobody was told, or the home is left alone")
			}
			d.write(a, mixed)
			d.hints <- "alice"
			d.want(a, "# mine\n", "his home is still kept")
			time.Sleep(48 * time.Hour)
			d.source.set(register(d.t, nil, onlyA, a), nil)
			time.Sleep(6 * time.Minute)
			d.want(a, clean, "unlocked, he has his key again")
			if d.said("account counts again") != 1 {
				d.t.Error("nobody was told that it counts again")
			}
		},
		"an account ends": func(d *daemon, a homes.Account) {
			end := time.Now().Add(90 * time.Second)
			d.source.set(registerAs(d.t, func(u *registry.User) { u.Until = end }, onlyA, a), nil)
			d.start()
			time.Sleep(89 * time.Second)
			d.want(a, clean, "before its end")
			time.Sleep(2 * time.Second)
			d.want(a, "# mine\n", "after its end, without another reading")
		},
		"report": func(d *daemon, a homes.Account) {
			d.settings.Act = nil
			d.start()
			time.Sleep(time.Hour)
			d.want(a, mixed, "in report mode")
			if n := d.said("file would be changed"); n != 1 {
				d.t.Errorf("the same finding was told %d times", n)
			}
		},
		"a file that root is making": func(d *daemon, a homes.Account) {
			d.start()
			d.restore(a, mixed)
			d.hints <- "alice"
			synctest.Wait()
			if err := os.Chown(d.file(a), a.UID, a.GID); err != nil {
				d.t.Fatal(err)
			}
			d.want(a, mixed, "while it is not finished")
			time.Sleep(2 * time.Second)
			d.want(a, clean, "after its owner got it")
			if entries, err := os.ReadDir(filepath.Dir(d.file(a))); err != nil || len(entries) != 1 {
				d.t.Errorf("something was put aside: %v, %v", entries, err)
			}
		},
		"a file that stays unreadable": func(d *daemon, a homes.Account) {
			d.start()
			d.restore(a, mixed)
			d.hints <- "alice"
			time.Sleep(2 * time.Second)
			d.want(a, lineA+"\n", "at the second look")
		},
		"an act that fails": func(d *daemon, a homes.Account) {
			act, works := d.act, atomic.Bool{}
			d.act = func(p enforcer.Plan) error {
				if !works.Load() {
					return errors.New("no space left on device")
				}
				return act(p)
			}
			d.start()
			time.Sleep(20 * time.Second)
			d.want(a, mixed, "while it fails")
			if n := d.said("home could not be kept in line"); n != 1 {
				d.t.Errorf("the same error was told %d times", n)
			}
			works.Store(true)
			time.Sleep(time.Minute)
			d.want(a, clean, "when it works again, long before the sweep")
		},
		"reload to report": func(d *daemon, a homes.Account) {
			d.start()
			settings := d.settings
			settings.Act = nil
			d.reload(settings)
			d.write(a, mixed)
			d.hints <- "alice"
			d.want(a, mixed, "after the reload")
		},
		"reload to other rules": func(d *daemon, a homes.Account) {
			d.start()
			settings := d.settings
			settings.Policy = mustCompile(d.t, policy.Rules{Keys: []policy.Rule{{Type: "rsa", MinBits: 4096}}})
			d.source.set(nil, errors.New("down"))
			d.reload(settings)
			d.want(a, "# mine\n", "the known snapshot is judged by the new rules at once")
		},
		"reload to another registry": func(d *daemon, a homes.Account) {
			d.start()
			bob := d.account("bob", mixed)
			d.source.set(register(d.t, nil, map[string]string{"alice": lineA, "bob": lineA}, a, bob), nil)
			d.runner.Poke()
			d.want(bob, clean, "start")
			settings := d.settings
			other := &source{err: errors.New("down")}
			settings.Source, settings.SourceID = other, "two"
			d.reload(settings)
			d.write(a, mixed)
			d.hints <- "alice"
			d.want(a, mixed, "before the other registry was read")
			other.set(register(d.t, nil, onlyA, a), nil)
			time.Sleep(2 * time.Minute)
			d.want(a, clean, "after it was read")
			if d.ready != 1 || d.said("account left: its home is left alone from now on") != 1 {
				d.t.Errorf("ready %d times; nobody was told of bob", d.ready)
			}
		},
		"a reading that hangs": func(d *daemon, a homes.Account) {
			d.source.hang = true
			d.start()
			d.want(a, mixed, "while the registry hangs")
			d.source.mu.Lock()
			d.source.hang = false
			d.source.mu.Unlock()
			d.runner.Poke()
			d.want(a, clean, "a new reading replaces the one that hangs")
		},
		"a key that was registered too late": func(d *daemon, a homes.Account) {
			d.write(a, lineA+" me\n"+`command="x" `+lineB+" new laptop\n")
			d.start()
			d.want(a, lineA+" me\n", "before its registration was read")
			d.source.set(twoKeys(d.t, a), nil)
			time.Sleep(6 * time.Minute)
			d.want(a, lineA+" me\n"+`command="x" `+lineB+" new laptop\n", "after it was read")
			d.write(a, lineA+" me\n")
			d.hints <- "alice"
			time.Sleep(time.Hour)
			d.want(a, lineA+" me\n", "its owner took it out, and it does not come back twice")
		},
		"a key that was registered too late, on a full disk": func(d *daemon, a homes.Account) {
			act, works := d.act, atomic.Bool{}
			works.Store(true)
			d.act = func(p enforcer.Plan) error {
				if !works.Load() {
					return errors.New("no space left on device")
				}
				return act(p)
			}
			d.write(a, lineA+"\n"+lineB+"\n")
			d.start()
			d.want(a, lineA+"\n", "before its registration was read")
			works.Store(false)
			d.source.set(twoKeys(d.t, a), nil)
			time.Sleep(6 * time.Minute)
			d.want(a, lineA+"\n", "while nothing can be written")
			works.Store(true)
			time.Sleep(time.Minute)
			d.want(a, lineA+"\n"+lineB+"\n", "when there is room again")
		},
		"two reloads, of which the first names another registry": func(d *daemon, a homes.Account) {
			d.start()
			settings := d.settings
			settings.Source, settings.SourceID = &source{err: errors.New("down")}, "two"
			d.reload(settings)
			d.reload(settings)
			d.write(a, mixed)
			d.hints <- "alice"
			d.want(a, mixed, "the other registry was still not read")
		},
		"a key that was registered much later": func(d *daemon, a homes.Account) {
			d.write(a, lineA+"\n"+lineB+"\n")
			d.start()
			time.Sleep(2 * time.Hour)
			d.source.set(twoKeys(d.t, a), nil)
			time.Sleep(6 * time.Minute)
			d.want(a, lineA+"\n", "two hours after its removal")
		},
		"hints that are lost again and again": func(d *daemon, a homes.Account) {
			d.start()
			for range 100 {
				d.hints <- ""
				time.Sleep(100 * time.Millisecond)
			}
			if n := d.said("hints were lost: looking at every home"); n < 2 || n > 3 {
				d.t.Errorf("every home was looked at %d times in 10 s", n)
			}
			d.write(a, mixed)
			d.hints <- ""
			time.Sleep(5 * time.Second)
			d.want(a, clean, "after the last loss")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCentre(t)
			a := c.account("alice", mixed)
			synctest.Test(t, func(t *testing.T) {
				d := newDaemon(t, c)
				d.source.set(register(t, nil, onlyA, a), nil)
				play(d, a)
				d.end()
			})
		})
	}
}

// One user is never looked at twice at once, a hint that comes during the look leads to another one, and a look that began
// before a reload does not act after it.
func TestRunnerLooksOneAfterAnother(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		d.source.set(register(t, nil, onlyA, a), nil)
		inside, acts := 0, 0
		release := make(chan struct{})
		act := d.act
		d.act = func(p enforcer.Plan) error {
			acts++
			if inside++; inside > 1 {
				t.Error("two looks at once")
			}
			<-release
			inside--
			return act(p)
		}
		d.start()
		for range 5 {
			d.hints <- "alice"
		}
		synctest.Wait()
		if acts != 1 {
			t.Errorf("%d acts began, want 1", acts)
		}
		d.write(a, mixed+"# changed during the look\n")
		release <- struct{}{}
		synctest.Wait()
		release <- struct{}{}
		d.want(a, clean+"# changed during the look\n", "after the looks")
		d.end()
	})
}

// Run does not return before a change that has begun is over.
func TestRunnerEndsBetweenChanges(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		d.source.set(register(t, nil, onlyA, a), nil)
		release := make(chan struct{})
		act := d.act
		d.act = func(p enforcer.Plan) error {
			<-release
			return act(p)
		}
		d.start()
		d.stop()
		synctest.Wait()
		select {
		case err := <-d.ended:
			t.Errorf("Run returned %v during a change", err)
		default:
		}
		close(release)
		if err := <-d.ended; err != nil {
			t.Error(err)
		}
		d.want(a, clean, "after the end")
	})
}
