package cow_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/keyreeve/keyreeve/internal/cow"
)

// A map is what a plain one is after the same changes, leaves that from which it was made as it was, and names what differs.
func TestMap(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var m cow.Map[int]
	plain := make(map[string]int)
	for round := range 2000 {
		before, was := m, maps.Clone(plain)
		some := make(map[string]int)
		for range random.IntN(4) {
			some[fmt.Sprint("user", random.IntN(1500))] = round
		}
		if random.IntN(3) == 0 {
			m = m.Without(slices.Collect(maps.Keys(some))...)
			maps.DeleteFunc(plain, func(key string, _ int) bool { _, gone := some[key]; return gone })
		} else {
			m = m.With(some)
			maps.Copy(plain, some)
		}
		for _, c := range []struct {
			got  cow.Map[int]
			want map[string]int
		}{{m, plain}, {before, was}, {cow.Of(plain), plain}} {
			if !maps.Equal(maps.Collect(c.got.All()), c.want) || c.got.Len() != len(c.want) {
				t.Fatalf("round %d: %d keys, want %d", round, c.got.Len(), len(c.want))
			}
		}
		for key := range some {
			got, there := m.Get(key)
			if want, is := plain[key]; there != is || got != want {
				t.Fatalf("%s: %d, %v; want %d, %v", key, got, there, want, is)
			}
		}
		named := slices.Collect(cow.Differing(before, m))
		if unrelated := slices.Collect(cow.Differing(cow.Of(was), m)); len(unrelated) < len(named) {
			t.Fatalf("%d keys may differ from an unrelated map, %d from the one it was made of", len(unrelated), len(named))
		}
		for key := range some {
			_, had := was[key]
			if _, has := plain[key]; (had || has) && !slices.Contains(named, key) {
				t.Fatalf("%s is not named among %q", key, named)
			}
		}
		if len(named) > 100 || len(slices.Compact(slices.Sorted(slices.Values(named)))) != len(named) {
			t.Fatalf("%d keys may differ", len(named))
		}
	}
}
