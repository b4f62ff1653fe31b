package enforcer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/registry"
)

// A key that was removed before its registration was read comes back, though the daemon was started again in between.
func TestRunnerRecallsOverARestart(t *testing.T) {
	const late = `command="x" ` + lineB + " new laptop\n"
	for name, play := range map[string]func(d *daemon, a homes.Account){
		"once": func(d *daemon, a homes.Account) {
			d.want(a, clean, "before its registration was read")
			d.source.set(twoKeys(d.t, a), nil)
			time.Sleep(6 * time.Minute)
			d.want(a, clean+late, "after it was read")
			d.write(a, clean)
			d.hints <- "alice"
			time.Sleep(time.Hour)
			d.want(a, clean, "its owner took it out")
			d.end()
			d.equip()
			d.start()
			d.want(a, clean, "after another restart, more than an hour after its removal")
		},
		"not while nothing is changed": func(d *daemon, a homes.Account) {
			d.end()
			d.source.set(twoKeys(d.t, a), nil)
			d.equip()
			enforce := d.settings
			d.settings.Act = nil
			d.start()
			d.want(a, clean, "by a daemon that only reports")
			d.reload(enforce)
			d.want(a, clean+late, "when it does more")
		},
		"not after an hour": func(d *daemon, a homes.Account) {
			time.Sleep(time.Hour)
			d.source.set(twoKeys(d.t, a), nil)
			time.Sleep(6 * time.Minute)
			d.want(a, clean, "an hour after its removal")
		},
		"not one that is not registered": func(d *daemon, a homes.Account) {
			time.Sleep(30 * time.Minute)
			d.want(a, clean, "when many a reading has not shown it")
		},
		"though a copy is broken": func(d *daemon, a homes.Account) {
			d.end()
			broken := filepath.Join(d.hand.Quarantine.Dir, "alice", "00000000T000000.000000Z-authorized_keys-A")
			if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
				d.t.Fatal(err)
			}
			d.source.set(twoKeys(d.t, a), nil)
			d.equip()
			d.start()
			d.want(a, clean+late, "after the restart")
			if d.said("not all of what an earlier daemon removed is known: it does not come back by itself") != 1 {
				d.t.Error("the broken copy was not told of")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCentre(t)
			a := c.account("alice", clean+late)
			synctest.Test(t, func(t *testing.T) {
				d := newDaemon(t, c)
				d.source.set(register(t, nil, onlyA, a), nil)
				d.start()
				d.want(a, clean, "before the restart")
				d.end()
				time.Sleep(time.Minute)
				d.equip()
				d.start()
				play(d, a)
				d.end()
			})
		})
	}
}

// The clock was half an hour ahead when a key went, and is right when the next daemon starts: that the copy is of a later hour does not make it
// one of that daemon's own.
func TestRunnerRecallsAfterAClockAhead(t *testing.T) {
	for _, ahead := range []time.Duration{0, 30 * time.Minute} {
		c := newCentre(t)
		a := c.account("alice", clean+lineB+"\n")
		synctest.Test(t, func(t *testing.T) {
			d := newDaemon(t, c)
			d.hand.Now = func() time.Time { return time.Now().Add(ahead) }
			d.source.set(register(t, nil, onlyA, a), nil)
			d.start()
			d.want(a, clean, "while it is not registered")
			d.end()
			d.hand.Now = time.Now
			d.equip()
			d.start()
			time.Sleep(time.Minute)
			d.source.set(twoKeys(t, a), nil)
			time.Sleep(40 * time.Minute)
			synctest.Wait()
			if got := c.read(a); !strings.Contains(got, lineB) {
				t.Errorf("clock %v ahead: the registered key is not back:\n%s", ahead, got)
			}
			d.end()
		})
	}
}

// Keys that went with an account come back when it counts again, however long that was and however often the daemon was started;
// what went before for another reason stays away.
func TestRunnerRecallsWithTheAccount(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", clean+lineB+" gone for long\n")
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		d.source.set(register(t, nil, onlyA, a), nil)
		d.start()
		d.want(a, clean, "without the key that is not registered")
		d.source.set(registerAs(t, func(u *registry.User) { u.Status = registry.Locked }, onlyA, a), nil)
		time.Sleep(6 * time.Minute)
		d.want(a, "# mine\n", "locked")
		for range 2 {
			d.end()
			time.Sleep(30 * 24 * time.Hour)
			d.equip()
			d.start()
		}
		d.want(a, "# mine\n", "still locked")
		d.source.set(twoKeys(t, a), nil)
		time.Sleep(6 * time.Minute)
		d.want(a, clean, "unlocked")
		d.end()
	})
}

// Of a line that an earlier daemon removed more than once, the last form comes back, to each of its users.
func TestRunnerRecallsTheNewest(t *testing.T) {
	c := newCentre(t)
	both := []homes.Account{c.account("alice", clean), c.account("bob", clean)}
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		d.source.set(register(t, nil, map[string]string{"alice": lineA, "bob": lineA}, both...), nil)
		d.start()
		for _, comment := range []string{" first\n", " second\n", " third\n"} {
			for _, a := range both {
				d.write(a, clean+lineB+comment)
				d.hints <- a.Name
				d.want(a, clean, "before the restart")
			}
			time.Sleep(time.Second)
		}
		d.end()
		d.equip()
		d.source.set(twoKeys(t, both...), nil)
		d.start()
		for _, a := range both {
			d.want(a, clean+lineB+" third\n", "after it")
		}
		d.end()
	})
}

// A key comes back to whose it was, in whatever home that account has by now, and to nobody else who has the name.
func TestRunnerRecallsForTheSameAccount(t *testing.T) {
	testenv.Need(t, "root") // each home has a uid of its own
	const late = lineB + " new laptop\n"
	for name, play := range map[string]func(d *daemon, old, next homes.Account){
		"another one of that name": func(d *daemon, _, next homes.Account) {
			d.source.set(twoKeys(d.t, next), nil)
			time.Sleep(6 * time.Minute)
			d.want(next, clean, "of the next one")
			d.end()
			d.equip()
			d.start()
			time.Sleep(6 * time.Minute)
			d.want(next, clean, "of the next one after a restart")
		},
		"in another home": func(d *daemon, old, _ homes.Account) {
			moved := old
			moved.Home += "-moved"
			if err := os.Rename(old.Home, moved.Home); err != nil {
				d.t.Fatal(err)
			}
			d.source.set(twoKeys(d.t, moved), nil)
			time.Sleep(6 * time.Minute)
			d.want(moved, clean+late, "in the home that moved")
		},
		"in another home, after a restart": func(d *daemon, old, _ homes.Account) {
			d.end()
			moved := old
			moved.Home += "-moved"
			if err := os.Rename(old.Home, moved.Home); err != nil {
				d.t.Fatal(err)
			}
			d.source.set(twoKeys(d.t, moved), nil)
			d.equip()
			d.start()
			d.want(moved, clean+late, "in the home that moved")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCentre(t)
			old, next := c.account("alice", clean+late), c.account("next", clean)
			next.Name = old.Name
			synctest.Test(t, func(t *testing.T) {
				d := newDaemon(t, c)
				d.source.set(register(t, nil, onlyA, old), nil)
				d.start()
				d.want(old, clean, "before its registration was read")
				play(d, old, next)
				d.end()
			})
		})
	}
}

// lent is a door to homes that are not as they should be for a while.
type lent struct {
	enforcer.Homes
	on   atomic.Bool
	read func(homes.File) (homes.File, error)
}

func (l *lent) Read(a homes.Account, name string) (homes.File, error) {
	file, err := l.Homes.Read(a, name)
	if l.on.Load() && err == nil && name == ".ssh/authorized_keys" {
		return l.read(file)
	}
	return file, err
}

// A registered key comes back however long its file could not take it, and for whatever reason.
func TestRunnerRecallsWhenTheFileIsBack(t *testing.T) {
	for name, read := range map[string]func(homes.File) (homes.File, error){
		"no home":   func(homes.File) (homes.File, error) { return homes.File{}, homes.ErrNoHome },
		"an error":  func(homes.File) (homes.File, error) { return homes.File{}, syscall.EIO },
		"immutable": func(f homes.File) (homes.File, error) { f.Barred = homes.Immutable; return f, nil },
		"missing":   func(homes.File) (homes.File, error) { return homes.File{}, nil },
		"dangling":  func(homes.File) (homes.File, error) { return homes.File{Detail: "a link to what is not mounted"}, nil },
		"a FIFO":    func(homes.File) (homes.File, error) { return homes.File{State: homes.Irregular, Detail: "a FIFO"}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCentre(t)
			a := c.account("alice", clean)
			synctest.Test(t, func(t *testing.T) {
				d := newDaemon(t, c)
				door := &lent{Homes: d.door, read: read}
				d.runner.Homes = door
				d.source.set(registerAs(t, func(u *registry.User) { u.Status = registry.Locked }, onlyA, a), nil)
				d.start()
				d.want(a, "# mine\n", "locked")
				door.on.Store(true)
				d.source.set(register(t, nil, onlyA, a), nil)
				time.Sleep(2 * time.Hour)
				d.want(a, "# mine\n", "while the file cannot take it")
				door.on.Store(false)
				time.Sleep(11 * time.Minute)
				d.want(a, clean, "when it can")
				d.write(a, "# mine\n")
				d.hints <- "alice"
				d.want(a, "# mine\n", "its owner took it out")
				d.end()
			})
		})
	}
}

// A change that was made and ended in an error is a change: what it took comes back.
func TestRunnerRecallsAfterAnError(t *testing.T) {
	const late = lineB + " new laptop\n"
	for name, harm := range map[string]func(d *daemon){
		"the outcome is not on the trail": func(d *daemon) {
			d.hand.Trail = (&trail{fail: func(r audit.Record) error {
				if r.Outcome == audit.Success {
					return syscall.ENOSPC
				}
				return nil
			}}).write
		},
		"the new file was swapped at once": func(d *daemon) {
			d.act = func(p enforcer.Plan) error { return errors.Join(d.hand.Apply(p), homes.ErrChanged) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCentre(t)
			a := c.account("alice", clean+late)
			synctest.Test(t, func(t *testing.T) {
				d := newDaemon(t, c)
				d.source.set(register(t, nil, onlyA, a), nil)
				harm(d)
				d.start()
				d.want(a, clean, "before its registration was read")
				d.source.set(twoKeys(t, a), nil)
				time.Sleep(6 * time.Minute)
				d.want(a, clean+late, "after it was read")
				d.end()
			})
		})
	}
}

// A directory that gave way is one that did, though only its intent is on the trail: its other files are made anew.
func TestLookCountsWhatIsUntold(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", lineA+"\n")
	second := filepath.Join(filepath.Dir(c.file(a)), "authorized_keys2")
	if err := errors.Join(os.WriteFile(second, []byte(lineA+"\n"), 0o600), os.Lchown(second, a.UID, a.GID)); err != nil {
		t.Fatal(err)
	}
	hand := c.enforcer(&trail{fail: func(r audit.Record) error {
		if r.Outcome == audit.Success {
			return syscall.ENOSPC
		}
		return nil
	}})
	hand.Homes = &locked{Homes: c.door, blind: ".ssh/authorized_keys"}
	result := enforcer.Looker{Homes: hand.Homes, Grants: grants(t, lineA), Act: hand.Apply}.Look(a)
	if !errors.Is(result.Err, enforcer.ErrUntold) || !errors.Is(result.Err, syscall.ENOSPC) || !result.Changed() {
		t.Errorf("error %v, changed %v", result.Err, result.Changed())
	}
	if got, err := os.ReadFile(second); err != nil || string(got) != lineA+"\n" {
		t.Errorf("the second file holds %q, %v", got, err)
	}
}
