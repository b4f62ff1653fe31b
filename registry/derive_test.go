package registry_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/registry"
)

// A derived snapshot is the one that a whole reading would have made, and leaves that from which it was derived as it was.
func TestDerived(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all := map[string]registry.User{"root": user(t, "root", lineA)}
	now := snapshot(t, slices.Collect(maps.Values(all))...)
	for range 300 {
		before, was := now, slices.Collect(now.Users())
		name := fmt.Sprint("user", random.IntN(9))
		var err error
		if random.IntN(2) == 0 {
			values := []string{lineA, lineB}[:random.IntN(3)]
			all[name] = user(t, name, values...)
			u := user(t, name, values...)
			now, err = now.With(u)
			for i := range u.Records {
				u.Records[i].Label = "changed afterwards"
			}
		} else {
			delete(all, name)
			now, err = now.Without(name)
		}
		if err != nil {
			t.Fatal(err)
		}
		want := snapshot(t, slices.Collect(maps.Values(all))...)
		if d := difference(want, now); d != "" || want.Keys() != now.Keys() || want.Len() != now.Len() || now.Source() != "test" {
			t.Fatalf("%s: %d users, %d keys: %s", name, now.Len(), now.Keys(), d)
		}
		if d := cmp.Diff(registry.Compare(before, now, time.Unix(1e9, 0)), registry.CompareUser(name, before, now, time.Unix(1e9, 0))); d != "" {
			t.Fatalf("%s: other losses where only he differs: %s", name, d)
		}
		changed := []string{name}
		if had, _ := before.User(name); had.Equal(all[name]) {
			changed = nil
		}
		for _, other := range []*registry.Snapshot{now, want} {
			if got := registry.Changed(before, other); !slices.Equal(got, changed) {
				t.Fatalf("%s: %q are said to have changed", name, got)
			}
		}
		if d := difference(snapshot(t, was...), before); d != "" {
			t.Fatalf("the snapshot from which it was derived changed: %s", d)
		}
	}
}

func difference(a, b *registry.Snapshot) string {
	return cmp.Diff(slices.Collect(a.Users()), slices.Collect(b.Users()), cmp.Comparer(func(a, b authkeys.Key) bool { return a == b }),
		cmp.Comparer(func(a, b authkeys.Options) bool { return a == b }))
}

func TestDerivedRefuses(t *testing.T) {
	s := snapshot(t, user(t, "alice", lineA), user(t, "bob"))
	for name, derive := range map[string]func() (*registry.Snapshot, error){
		"the last key goes":           func() (*registry.Snapshot, error) { return s.With(user(t, "alice")) },
		"the last user with one goes": func() (*registry.Snapshot, error) { return s.Without("alice") },
	} {
		if derived, err := derive(); derived != nil || !errors.Is(err, registry.ErrEmpty) {
			t.Errorf("%s: %v, %v", name, derived, err)
		}
	}
	if derived, err := s.With(user(t, "", lineA)); derived != nil || err == nil {
		t.Errorf("a user without a name: %v, %v", derived, err)
	}
}

func BenchmarkWith(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			line, err := authkeys.ParseValue([]byte(lineA))
			if err != nil {
				b.Fatal(err)
			}
			users := make([]registry.User, n)
			for i := range users {
				users[i] = registry.User{Name: fmt.Sprintf("user%06d", i), Records: []registry.Record{{Key: line.Key}}}
			}
			s, err := registry.New(users, "test")
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.With(users[n/2]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
