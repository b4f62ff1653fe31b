package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/registry"
)

// at is a user whose keys stand in an entry.
func at(u registry.User, origin string) registry.User {
	for i := range u.Records {
		u.Records[i].Origin = origin
	}
	return u
}

func TestContestedAlone(t *testing.T) {
	claim := registry.Claim{Origin: "cn=alice", User: user(t, "alice", lineA)}
	s, err := registry.NewContested(nil, map[string][]registry.Claim{"alice": {claim, claim}}, "test")
	if s != nil || !errors.Is(err, registry.ErrEmpty) || !strings.Contains(err.Error(), `["alice"]`) {
		t.Errorf("%v, %v", s, err)
	}
}

// A name that several entries claim stays with the one that had it; so does what that one has lost meanwhile. Without a word of before
// nobody has it, and nobody else suffers.
func TestSettled(t *testing.T) {
	const mine, other = "cn=alice", "cn=mallory"
	alice, bob := at(user(t, "alice", lineA, lineB), mine), user(t, "bob", lineA)
	revoked, none := at(user(t, "alice", lineA), mine), at(user(t, "alice"), mine)
	mallory := at(user(t, "alice", lineB), other)
	mallory.UID, mallory.Home = 4711, "/home/mallory"
	moved := none
	moved.Home = "/home/elsewhere"
	for name, c := range map[string]struct {
		before []registry.User // beside bob; nil: there was no reading
		claim  registry.User   // alice's
		origin string
		keys   int // that she has; -1: nobody's account
		says   string
	}{
		"as before":               {[]registry.User{alice}, alice, mine, 2, `the user "alice" is still the entry "cn=alice"; no key counts of "cn=mallory"`},
		"with a key less":         {[]registry.User{alice}, revoked, mine, 1, "is still"},
		"with no key any more":    {[]registry.User{alice}, none, mine, 0, "is still"},
		"renamed":                 {[]registry.User{alice}, at(user(t, "alice", lineA), "cn=alice2"), "cn=alice2", 1, "is still"},
		"without keys before":     {[]registry.User{none}, alice, mine, 2, "is still"},
		"with another home since": {[]registry.User{moved}, alice, mine, -1, "contested"},
		"nobody before":           {[]registry.User{bob}, alice, mine, -1, "contested"},
		"no reading before":       {nil, alice, mine, -1, `the user "alice" is contested, and has no key: "cn=alice", "cn=mallory"`},
	} {
		t.Run(name, func(t *testing.T) {
			var before *registry.Snapshot
			if c.before != nil {
				before = snapshot(t, append(c.before, user(t, "zoe", lineA))...)
			}
			s, err := registry.NewContested([]registry.User{bob}, map[string][]registry.Claim{"alice": {{Origin: other, User: mallory}, {Origin: c.origin, User: c.claim}}}, "test")
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Claims("alice")) != 2 || len(s.Claims("bob")) != 1 || len(s.Claims("carol")) != 0 {
				t.Error("claims")
			}
			got, contests := s.Settled(before)
			if len(contests) != 1 || !strings.Contains(contests[0], c.says) {
				t.Errorf("says %q", contests)
			}
			u, there := got.User("alice")
			switch {
			case !there || got.Len() != 2:
				t.Errorf("%+v of %d users", u, got.Len())
			case c.keys < 0 && (u.UID != -1 || len(u.Records) != 0 || len(u.Rejects) != 2):
				t.Errorf("nobody's is %+v", u)
			case c.keys >= 0 && !u.Equal(c.claim):
				t.Errorf("she is %+v, want %+v", u, c.claim)
			}
			if again, contests := got.Settled(before); again != got || contests != nil {
				t.Error("it is contested again")
			}
			if u, _ := got.User("bob"); !u.Equal(bob) {
				t.Errorf("bob is %+v", u)
			}
		})
	}
}
