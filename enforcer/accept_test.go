package enforcer_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/registry"
)

// What an administrator accepts is a loss: whatever else changes in the directory before the daemon takes his word, exactly that, or
// a part of it, is let through, once. Nobody else's loss is, and nothing else of the same people.
func TestGateAcceptsALoss(t *testing.T) {
	const size, lost = 20, 10
	noKey := func(u *registry.User) bool { u.Records = nil; return true }
	// later makes the reading that comes after the acceptance of ten users without their keys.
	later := func(change func(i int, u *registry.User) bool) *registry.Snapshot {
		return people(t, size+1, func(i int, u *registry.User) bool {
			stays := i < size
			if i == 0 {
				u.Records = person(t, i, 2).Records[1:]
			} else if i < lost {
				stays = noKey(u)
			}
			return change(i, u) || stays && i < size
		})
	}
	nothing := func(int, *registry.User) bool { return false }
	for name, c := range map[string]struct {
		sourceID string
		reading  *registry.Snapshot
		through  bool
		why      string
	}{
		"the same": {"one", later(nothing), true, ""},
		"another label": {"one", later(func(i int, u *registry.User) bool {
			if i == 15 {
				u.Records[0].Label = "new"
			}
			return false
		}), true, ""},
		"a key more": {"one", later(func(i int, u *registry.User) bool {
			if i == 15 {
				u.Records = person(t, i, 2).Records
			}
			return false
		}), true, ""},
		"a user more": {"one", later(func(i int, _ *registry.User) bool { return i == size }), true, ""},
		"a part of it": {"one", later(func(i int, u *registry.User) bool {
			if i == 5 {
				u.Records = person(t, i, 1).Records
			}
			return false
		}), true, ""},
		"somebody else too": {"one", later(func(i int, u *registry.User) bool { return i == 15 && noKey(u) }), false, "user0015"},
		"somebody else instead": {"one", later(func(i int, u *registry.User) bool {
			if i == 5 {
				u.Records = person(t, i, 1).Records
			}
			return i == 15 && noKey(u)
		}), false, "user0015"},
		"one of them is somebody else now": {"one", later(func(i int, u *registry.User) bool {
			if i == 5 {
				u.UID = 2999
			}
			return false
		}), false, "user0005"},
		"another registry": {"two", later(nothing), false, "another registry"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state", "registry")
			g, hand := openGate(t, dir), &enforcer.Enforcer{Trail: (&trail{}).write, Now: time.Now}
			all := people(t, size, nil)
			offerTo(t, g, all)
			offerTo(t, g, later(nothing))
			seen, err := openGate(t, dir).Waiting(usual) // as another process sees it
			if err != nil || len(seen.Items) != lost {
				t.Fatalf("%+v, %v", seen, err)
			}
			v, err := g.Offer(enforcer.Reading{Snapshot: c.reading, SourceID: c.sourceID, Hold: usual})
			if err != nil || !v.Held || v.Fresh == (v.LossDigest == seen.LossDigest) {
				t.Fatalf("before the acceptance: held %v, fresh %v, %v", v.Held, v.Fresh, err)
			}
			if err := hand.Accept(g, *seen, "root", nil); err != nil {
				t.Fatal(err)
			}
			err = errors.Join(g.Accepted(), g.Commit())
			if through := g.Held() == nil; through != c.through || through != (err == nil) {
				t.Errorf("let through: %v, %v", through, err)
			}
			if !c.through && (!strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), "void")) {
				t.Errorf("it said %v", err)
			}
			if v, err := g.Offer(enforcer.Reading{Snapshot: c.reading, SourceID: c.sourceID, Hold: usual}); err != nil || v.Held == c.through {
				t.Errorf("a second time: held %v, %v", v.Held, err)
			}
			offerTo(t, g, all)
			if v := offerTo(t, g, later(nothing)); !v.Held {
				t.Error("the acceptance counted twice")
			}
		})
	}
}

// Who replaces everybody's key by one of his own leaves nobody with less: that is held all the same, and told.
func TestGateHoldsReplacedKeys(t *testing.T) {
	for _, n := range []int{3, 4, 19} {
		g := openGate(t, filepath.Join(t.TempDir(), "state", "registry"))
		offerTo(t, g, people(t, 20, nil))
		v := offerTo(t, g, people(t, 20, func(i int, u *registry.User) bool {
			if i < n {
				u.Records = person(t, i+1000, 1).Records
			}
			return true
		}))
		if v.Held != (n > 3) || len(v.Loss.Replaced) != n || v.Held && !strings.Contains(v.Summary(), "have as many as before") {
			t.Errorf("%d replaced their keys: held %v: %s", n, v.Held, v.Summary())
		}
	}
}
