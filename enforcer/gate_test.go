package enforcer_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/registry"
)

// person makes the n-th user of a registry, with a number of keys.
func person(tb testing.TB, n, keys int) registry.User {
	tb.Helper()
	name := fmt.Sprintf("user%04d", n)
	u := registry.User{Name: name, UID: 2000 + n, GID: 100, Home: "/home/" + name}
	for k := range keys {
		point := sha256.Sum256(fmt.Append(nil, n, k))
		key, err := authkeys.ParseBlob(append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), point[:]...))
		if err != nil {
			tb.Fatal(err)
		}
		u.Records = append(u.Records, registry.Record{Key: key})
	}
	return u
}

// people makes a registry of users with one key each; change, which may be nil, is asked of each one whether he stays.
func people(tb testing.TB, n int, change func(i int, u *registry.User) bool) *registry.Snapshot {
	tb.Helper()
	var users []registry.User
	for i := range n {
		u := person(tb, i, 1)
		if change == nil || change(i, &u) {
			users = append(users, u)
		}
	}
	s, err := registry.New(users, "test")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// without makes the same registry without its first users.
func without(tb testing.TB, n, lost int) *registry.Snapshot {
	tb.Helper()
	return people(tb, n, func(i int, _ *registry.User) bool { return i >= lost })
}

func openGate(tb testing.TB, dir string) *enforcer.Gate {
	tb.Helper()
	g, err := enforcer.OpenGate(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

var usual = enforcer.Hold{Percent: 5, Least: 3}

// offerTo offers a reading and keeps what comes of it.
func offerTo(tb testing.TB, g *enforcer.Gate, s *registry.Snapshot) enforcer.Verdict {
	tb.Helper()
	v, err := g.Offer(enforcer.Reading{Snapshot: s, SourceID: "one", Hold: usual})
	if err := errors.Join(err, g.Commit()); err != nil {
		tb.Fatal(err)
	}
	return v
}

// A reading is held when more people lose something by it than may, and not before: users and owners of keys have their own bounds.
func TestGateHolds(t *testing.T) {
	lock := func(u *registry.User) bool { u.Status = registry.Locked; return true }
	noKey := func(u *registry.User) bool { u.Records = nil; return true }
	move := func(u *registry.User) bool { u.Home = "/home/other"; return true }
	noUID := func(u *registry.User) bool { u.UID = -1; return true }
	gone := func(*registry.User) bool { return false }
	for name, c := range map[string]struct {
		people, keyless, lost int
		how                   func(*registry.User) bool
		held                  bool
	}{
		"three of twenty gone":         {20, 0, 3, gone, false},
		"four of twenty gone":          {20, 0, 4, gone, true},
		"all but one gone":             {20, 0, 19, gone, true},
		"five in a hundred gone":       {200, 0, 10, gone, false},
		"more than five in a hundred":  {200, 0, 11, gone, true},
		"three without their keys":     {20, 0, 3, noKey, false},
		"four without their keys":      {20, 0, 4, noKey, true},
		"the last key but one":         {20, 0, 19, noKey, true},
		"three locked":                 {20, 0, 3, lock, false},
		"four locked":                  {20, 0, 4, lock, true},
		"four in another's home":       {20, 0, 4, move, true},
		"four without a uid":           {20, 0, 4, noUID, true},
		"few have keys, and lose them": {20, 1000, 4, noKey, true},
		"few have keys, and are gone":  {20, 1000, 4, gone, true},
		"who has no key, within 5 %":   {20, 1000, 0, gone, false},
	} {
		t.Run(name, func(t *testing.T) {
			with := func(how func(*registry.User) bool) *registry.Snapshot {
				return people(t, c.people+c.keyless, func(i int, u *registry.User) bool {
					if i >= c.people {
						u.Records = nil
					}
					return i >= c.lost || how(u)
				})
			}
			g := openGate(t, filepath.Join(t.TempDir(), "state", "registry"))
			before := with(func(*registry.User) bool { return true })
			if v := offerTo(t, g, before); v.Held {
				t.Fatal("the first reading is held")
			}
			after := with(c.how)
			v := offerTo(t, g, after)
			if v.Held != c.held || v.Fresh != c.held {
				t.Errorf("held %v, fresh %v: %s", v.Held, v.Fresh, v.Summary())
			}
			want := after
			if c.held {
				want = before
				if v := offerTo(t, g, after); !v.Held || v.Fresh {
					t.Errorf("a second time: held %v, fresh %v", v.Held, v.Fresh)
				}
			}
			if got := g.Good("one").Snapshot; got != want || (g.Held() != nil) != c.held {
				t.Error("the wrong reading is in force")
			}
			if v := offerTo(t, g, before); v.Held || g.Held() != nil {
				t.Error("the registry has recovered, and that is held")
			}
		})
	}
}

// Whatever one person does to his own keys does not keep anybody's revocation from arriving.
func TestGateAndANoisyUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, filepath.Join(t.TempDir(), "state", "registry"))
		hoard := func(keys int, revoked int) *registry.Snapshot {
			return people(t, 20, func(i int, u *registry.User) bool {
				if i == 19 {
					*u = person(t, i, keys)
				} else if i < revoked {
					u.Records = nil
				}
				return true
			})
		}
		for i, keys := range []int{500, 0, 10_000, 1, 300, 0, 500, 0} {
			if v := offerTo(t, g, hoard(keys, 0)); v.Held {
				t.Fatalf("step %d, %d keys: held: %s", i, keys, v.Summary())
			}
			time.Sleep(5 * time.Minute)
		}
		if v := offerTo(t, g, hoard(0, 2)); v.Held {
			t.Errorf("two revocations beside him are held: %s", v.Summary())
		}
		if v := offerTo(t, g, hoard(0, 3)); !v.Held {
			t.Errorf("four people lost their keys, and that is not held: %s", v.Summary())
		}
	})
}

// Losses that each are allowed add up within an hour, over a restart too; one person counts once.
func TestGateAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state", "registry")
		offerTo(t, openGate(t, dir), without(t, 100, 0))
		lost := 0
		for range 20 {
			time.Sleep(5 * time.Minute)
			g := openGate(t, dir)
			if v := offerTo(t, g, without(t, 100, lost+4)); !v.Held {
				lost += 4
			}
		}
		if lost != 8 { // in a hundred minutes
			t.Errorf("%d of 100 were lost drop by drop", lost)
		}
		time.Sleep(2 * time.Hour)
		g := openGate(t, dir)
		for range 10 {
			for _, n := range []int{lost + 4, lost} {
				if v := offerTo(t, g, without(t, 100, n)); v.Held {
					t.Errorf("the same four again and again are held: %s", v.Summary())
				}
			}
		}
		time.Sleep(time.Minute)
		if v := offerTo(t, g, people(t, 100, func(i int, _ *registry.User) bool { return i < 98 })); !v.Held {
			t.Errorf("with two others they are six, and not held: %s", v.Summary())
		}
	})
}

// An acceptance counts for one reading, once.
func TestGateAccept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "registry")
	all, half, third := without(t, 20, 0), without(t, 20, 10), without(t, 20, 15)
	tr := &trail{}
	hand := &enforcer.Enforcer{Trail: tr.write, Now: time.Now}
	g := openGate(t, dir)
	offerTo(t, g, all)
	if v, err := g.Waiting(usual); v != nil || err != nil {
		t.Fatalf("nothing is held: %v, %v", v, err)
	}
	offerTo(t, g, half)
	accept := func() {
		t.Helper()
		v, err := openGate(t, dir).Waiting(usual) // as another process does
		if err != nil || v == nil || len(v.Loss.Users) != 10 || !v.Held {
			t.Fatalf("held on disk: %+v, %v", v, err)
		}
		if err := hand.Accept(g, *v, "root", nil); err != nil {
			t.Fatal(err)
		}
	}
	want := func(s *registry.Snapshot, when string) {
		t.Helper()
		for name, g := range map[string]*enforcer.Gate{"memory": g, "disk": openGate(t, dir)} {
			if got := g.Good("one"); got.Digest != s.Digest() {
				t.Errorf("%s: the good reading of %s has %d users", when, name, got.Snapshot.Len())
			}
		}
	}
	want(all, "before the acceptance")
	accept()
	if got := tr.outcomes(); len(got) != 2 || got[0] != "intent registry-accepted loss" || got[1] != "success registry-accepted loss" {
		t.Errorf("the trail has %q", got)
	}
	if err := errors.Join(g.Accepted(), g.Commit(), g.Accepted()); err != nil || g.Held() != nil {
		t.Fatal(err, g.Held())
	}
	want(half, "after the acceptance")
	for _, name := range []string{"accepted", "held"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there still: %v", name, err)
		}
	}
	offerTo(t, g, all)
	if v := offerTo(t, g, half); !v.Held || !v.Fresh {
		t.Error("the acceptance counted twice")
	}
	// The next process takes it, and judges by it what has changed since.
	accept()
	g = openGate(t, dir)
	if v := offerTo(t, g, without(t, 20, 12)); v.Held {
		t.Errorf("two users less than what was accepted: %s", v.Summary())
	}
	// A registry that recovers uses the acceptance up.
	offerTo(t, g, all)
	offerTo(t, g, half)
	accept()
	g = openGate(t, dir)
	offerTo(t, g, all)
	offerTo(t, g, half)
	want(all, "after the registry has recovered")
	// None counts for another reading than the one that is held.
	v, err := g.Waiting(usual)
	if err != nil {
		t.Fatal(err)
	}
	offerTo(t, g, third)
	if err := hand.Accept(g, *v, "root", nil); err != nil {
		t.Fatal(err)
	}
	if err := g.Accepted(); err == nil || !strings.Contains(err.Error(), "the acceptance is void") {
		t.Errorf("the reading before the held one was accepted: %v", err)
	}
	want(all, "after a void acceptance")
}

// What was lost before an acceptance does not count against what follows it.
func TestGateBeginsAnewWithAnAcceptance(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "registry")
	g := openGate(t, dir)
	for _, lost := range []int{0, 2, 10} {
		offerTo(t, g, without(t, 20, lost))
	}
	if err := (&enforcer.Enforcer{Trail: (&trail{}).write, Now: time.Now}).Accept(g, *g.Held(), "root", nil); err != nil {
		t.Fatal(err)
	}
	if v := offerTo(t, g, without(t, 20, 13)); v.Held {
		t.Errorf("three after an acceptance are held: %s", v.Summary())
	}
}
