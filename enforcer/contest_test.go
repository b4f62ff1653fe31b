package enforcer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/registry"
)

// contested makes a registry in which one user's name is claimed by another entry as well, with another account and a key of its own.
func contested(t *testing.T, s *registry.Snapshot, victim string) *registry.Snapshot {
	t.Helper()
	var others []registry.User
	var claims []registry.Claim
	for u := range s.Users() {
		if u.Name != victim {
			others = append(others, u)
			continue
		}
		thief := u
		thief.UID, thief.Home, thief.Records = 9999, "/home/thief", person(t, 4711, 1).Records
		claims = []registry.Claim{{Origin: "cn=a thief", User: thief}, {Origin: "cn=" + victim, User: u}}
	}
	s, err := registry.NewContested(others, map[string][]registry.Claim{victim: claims}, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Who takes another's name stops no reading and takes nothing from him, over a restart too; a key that is taken from the victim
// does not outlive it.
func TestGateContested(t *testing.T) {
	dir := t.TempDir()
	before := people(t, 20, func(_ int, u *registry.User) bool {
		u.Records = append(u.Records, person(t, 100+u.UID, 1).Records...)
		return true
	})
	if v := offerTo(t, openGate(t, dir), before); v.Held || v.Contests != nil {
		t.Fatalf("%+v", v)
	}
	const victim = "user0003"
	now := people(t, 20, func(i int, u *registry.User) bool {
		if i != 3 {
			u.Records = append(u.Records, person(t, 100+u.UID, 1).Records...)
		}
		return true
	})
	g := openGate(t, dir)
	v := offerTo(t, g, contested(t, now, victim))
	if v.Held || len(v.Contests) != 1 || !strings.Contains(v.Contests[0], `the user "user0003" is still the entry "cn=user0003"`) || !slices.Equal(v.Loss.Keys, []string{victim}) {
		t.Errorf("%+v", v)
	}
	if got, want := g.Good("one").Digest, now.Digest(); got != want {
		t.Error("what is good is not what is there without the claim")
	}
	u, _ := now.User(victim)
	if err := g.Amend(enforcer.Amendment{SourceID: "one", Name: victim, User: u, Found: true, Hold: usual, Since: g.Begin()}); err != nil {
		t.Error(err)
	}
}

// Whose a contested name is, is told once.
func TestRunnerContested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const alarm = "several entries of the registry have one user's name"
		d := newTold(t)
		d.start()
		d.keys(true, 0, 1, 2, 3, 4)
		whole, _ := d.source.Fetch(t.Context())
		d.source.set(contested(t, whole, d.list[0].Name), nil)
		for range 3 {
			time.Sleep(6 * time.Minute)
			synctest.Wait()
		}
		d.write(d.list[0], mixed)
		d.hints <- "user0"
		d.want(d.list[0], clean, "the victim's own key")
		if n := d.said(alarm); n != 1 {
			t.Errorf("told %d times", n)
		}
		d.source.set(whole, nil)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if d.said("no user's name in the registry is several entries' any more") != 1 {
			t.Error("the end is not told")
		}
		d.end()
	})
}

// For the hold of a reading, one whose entry has no uid is one person by whatever names, and two who contest one name after the other are two; as
// many as are really gone count.
func TestGateCountsPersons(t *testing.T) {
	rename := func(n int) func(round int) *registry.Snapshot {
		return func(round int) *registry.Snapshot {
			return people(t, 20, func(i int, u *registry.User) bool {
				if i < n {
					u.Name, u.UID = fmt.Sprintf("none%d-%d", i, round), -1
				}
				return true
			})
		}
	}
	contest := func(round int) *registry.Snapshot {
		var others []registry.User
		var claims []registry.Claim
		name := fmt.Sprint("name", round)
		for u := range people(t, 20, nil).Users() {
			if u.UID == 2000 || u.UID == 2001 {
				claims = append(claims, registry.Claim{Origin: "cn=" + u.Name, User: called(u, name)})
				continue
			}
			others = append(others, u)
		}
		if round%2 == 0 { // they go back between
			return people(t, 20, nil)
		}
		s, err := registry.NewContested(others, map[string][]registry.Claim{name: claims}, "test")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, c := range map[string]struct {
		reading func(round int) *registry.Snapshot
		users   int
		held    bool
	}{
		"one without a uid": {rename(1), 1, false}, "three": {rename(3), 3, false}, "four": {rename(4), 4, true},
		"two who contest": {contest, 2, false},
		"one after the other": {func(round int) *registry.Snapshot {
			return people(t, 20, func(i int, u *registry.User) bool { u.UID = -1; return i >= min(round, 4) })
		}, 4, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := openGate(t, t.TempDir())
			var v enforcer.Verdict
			for round := range 8 {
				if v = offerTo(t, g, c.reading(round)); v.Held {
					break
				}
			}
			if v.Held != c.held || v.Users != c.users && len(v.Loss.Users) > 0 {
				t.Errorf("held %v: %d users of %d are lost", v.Held, v.Users, v.MostUsers)
			}
		})
	}
}
