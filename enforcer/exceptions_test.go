package enforcer_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/policy"
)

// exception is one for a line that is in force in November 2026, where most tests play.
func exception(tb testing.TB, user, text string) policy.Exception {
	tb.Helper()
	line, err := authkeys.ParseValue([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return policy.Exception{
		ID: "E" + user, User: user, Key: line.Key, Options: line.Options, Comment: line.Comment, Owner: "root", Reason: "ticket 7",
		Since: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Copy: "C",
	}
}

// except makes exceptions as the command line does.
func (c *centre) except(tr *trail, x *enforcer.Exceptions, list ...policy.Exception) error {
	var made []enforcer.Excepted
	for _, e := range list {
		made = append(made, enforcer.Excepted{Exception: e, UID: 7, Refused: policy.ReasonUnregistered})
	}
	return c.enforcer(tr).Except(x, made)
}

func (c *centre) exceptions() *enforcer.Exceptions {
	c.tb.Helper()
	x, err := enforcer.OpenExceptions(filepath.Join(c.dir, "exceptions.json"))
	if err != nil {
		c.tb.Fatal(err)
	}
	return x
}

func TestExceptionsOnDisk(t *testing.T) {
	c, tr := newCentre(t), &trail{}
	x := c.exceptions()
	one, two := exception(t, "alice", "restrict "+lineA+" \u00fc \"x\""), exception(t, "bob", lineB)
	old := exception(t, "carol", lineD)
	old.Since, old.Until = old.Since.AddDate(0, -2, 0), old.Since.AddDate(0, -1, 0)
	if err := c.except(tr, x, old, one, two); err != nil {
		t.Fatal(err)
	}
	list, err := c.exceptions().Current()
	if diff := cmp.Diff([]policy.Exception{old, one, two}, list, cmp.AllowUnexported(authkeys.Key{}, authkeys.Options{})); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got := tr.outcomes(); len(got) != 6 || got[0] != "intent add-exception unregistered" || got[5] != "success add-exception unregistered" {
		t.Errorf("trail: %v", got)
	}
	// A newer one takes the place of the older, and what ended long ago leaves the file, but not the trail.
	newer := one
	newer.ID, newer.Options = "N", authkeys.Options{}
	if err := c.except(tr, x, newer); err != nil {
		t.Fatal(err)
	}
	if list, err = x.Current(); err != nil || len(list) != 3 || !list[0].Until.Equal(c.enforcer(tr).Now()) || list[2].ID != "N" {
		t.Errorf("%v, %v", list, err)
	}
	ended, err := c.enforcer(tr).Revoke(x, "N")
	if err != nil || ended.User != "alice" || !slices.Contains(tr.outcomes(), "success end-exception revoked") {
		t.Errorf("%v, %v, %v", ended, err, tr.outcomes())
	}
	for _, id := range []string{"N", "E" + "alice", "", "nothing"} {
		if _, err := c.enforcer(tr).Revoke(x, id); err == nil {
			t.Errorf("%q was ended for the second time", id)
		}
	}
}

// Without its record an exception is not made; without its file it is not in force, and the trail says so.
func TestExceptStops(t *testing.T) {
	c := newCentre(t)
	x := c.exceptions()
	full := errors.New("no space left on device")
	tr := &trail{fail: func(r audit.Record) error {
		if r.Action == audit.AddException {
			return full
		}
		return nil
	}}
	if err := c.except(tr, x, exception(t, "alice", lineB)); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "exceptions.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was written: %v", err)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "exceptions.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := statefile.Lock(filepath.Join(c.dir, "exceptions.json.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.except(&trail{}, x, exception(t, "alice", lineB)); err == nil || !strings.Contains(err.Error(), "held by process") {
		t.Errorf("two at once: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.except(&trail{}, x, exception(t, "alice", lineB)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder in its place: %v", err)
	}
}

// What cannot be read is not empty: the error comes with the last good list, or with none at the start.
func TestExceptionsThatCannotBeRead(t *testing.T) {
	c := newCentre(t)
	x, path := c.exceptions(), filepath.Join(c.dir, "exceptions.json")
	if err := c.except(&trail{}, x, exception(t, "alice", lineB)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if _, unread := x.Current(); err != nil || unread != nil {
		t.Fatal(err)
	}
	good := string(data)
	write := func(text string) func() error {
		return func() error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	for name, spoil := range map[string]func() error{
		"empty":           write(""),
		"half":            write(good[:len(good)/2]),
		"twice":           write(good + good),
		"another version": write(strings.Replace(good, `"version": 1`, `"version": 2`, 1)),
		"unknown field":   write(strings.Replace(good, `"copy"`, `"copie"`, 1)),
		"no owner":        write(strings.Replace(good, `"owner": "root"`, `"owner": ""`, 1)),
		"no end":          write(strings.Replace(good, `"until": "2026-`, `"until": "2036-`, 1)),
		"authority":       write(strings.Replace(good, `"line": "`, `"line": "cert-authority `, 1)),
		"no key":          write(strings.Replace(good, `"line": "ssh-`, `"line": "`, 1)),
		"link":            func() error { return errors.Join(os.Remove(path), os.Symlink(path+".good", path)) },
		"gone":            func() error { return os.Remove(path) },
		"others write":    func() error { return errors.Join(write(good)(), os.Chmod(path, 0o620)) },
		"another's": func() error {
			return errors.Join(write(good)(), os.Chown(path, firstUID, firstUID))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "another's" {
				testenv.Need(t, "root")
			}
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			list, err := x.Current()
			if err == nil || len(list) != 1 || list[0].User != "alice" {
				t.Errorf("%v, %v; want an error and the last good list", list, err)
			}
			if name != "gone" {
				if _, err := enforcer.OpenExceptions(path); err == nil {
					t.Error("it is a good beginning")
				}
			}
			if err := errors.Join(os.RemoveAll(path), write(good)()); err != nil {
				t.Fatal(err)
			}
			if list, err := x.Current(); err != nil || len(list) != 1 {
				t.Errorf("repaired: %v, %v", list, err)
			}
		})
	}
}

// An exception comes, stays while its file is broken, and ends by itself.
func TestRunnerExceptions(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		d.source.set(register(t, nil, onlyA, a), nil)
		e := exception(t, "alice", lineB)
		e.Since, e.Until = time.Now(), time.Now().Add(50*time.Hour)
		var mu sync.Mutex
		var list []policy.Exception
		var wrong error
		d.runner.Exceptions = func() ([]policy.Exception, error) {
			mu.Lock()
			defer mu.Unlock()
			return list, wrong
		}
		set := func(now []policy.Exception, err error) {
			mu.Lock()
			defer mu.Unlock()
			list, wrong = now, err
		}
		d.start()
		d.want(a, clean, "without an exception")
		set([]policy.Exception{e}, nil)
		d.runner.Except()
		d.want(a, clean+lineB+" intruder\n", "it comes back by itself within the hour of its removal")
		d.write(a, mixed+lineD+"\n")
		d.hints <- "alice"
		d.want(a, mixed, "with the exception")
		set([]policy.Exception{e}, errors.New("not JSON"))
		d.runner.Except()
		time.Sleep(30 * time.Hour)
		d.want(a, mixed, "with a broken file")
		if d.said("the exceptions could not be read; those that were known stay in force") == 0 || d.said("exception") == 0 {
			t.Error("the log says nothing of it")
		}
		time.Sleep(20*time.Hour + time.Second)
		d.want(a, clean, "after its end, broken or not")
		e.Until = time.Now().Add(time.Hour)
		set([]policy.Exception{e}, nil)
		d.runner.Except()
		d.write(a, mixed)
		d.hints <- "alice"
		d.want(a, mixed, "in force again")
		set(nil, nil)
		time.Sleep(d.settings.Sweep)
		d.want(a, clean, "taken out of a file that nobody watches: found by the sweep")
	})
}
