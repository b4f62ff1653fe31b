package enforcer_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
)

// sshd is told anew after each reading, one that changes nothing or fails too, so that its file comes back; how long the answers count goes by
// the last word of the registry, which may be held, and not by one that did not come.
func TestTellSSHD(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t)
		c.settings.Refuse = true
		type word struct {
			world *enforcer.World
			end   time.Time
		}
		var words []word
		c.runner.Answer = func(w *enforcer.World, end time.Time) { words = append(words, word{w, end}) }
		begun := time.Now()
		c.start()
		last := func(when string, more bool, left time.Duration) *enforcer.World {
			t.Helper()
			synctest.Wait()
			if (len(words) > 0) != more {
				t.Fatalf("%s: %d words", when, len(words))
			}
			w := words[len(words)-1]
			if got := w.end.Sub(begun); got != left {
				t.Errorf("%s: it counts for %v, want %v", when, got, left)
			}
			words = words[:0]
			return w.world
		}
		stale, refresh := c.settings.MaxStale, c.settings.Refresh
		first := last("start", true, stale)
		time.Sleep(refresh)
		last("confirmed", true, stale+refresh)
		c.registered(1)
		time.Sleep(refresh)
		held := last("held", true, stale+2*refresh)
		if len(held.Grants.For("user4")) != len(first.Grants.For("user4")) {
			t.Error("a reading that is held changed what is granted")
		}
		c.source.set(nil, errors.New("down"))
		time.Sleep(refresh)
		last("down", true, stale+2*refresh)
		time.Sleep(3 * c.settings.Sweep)
		last("sweep", true, stale+2*refresh)
		c.end()
	})
}
