package enforcer_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// One worker, and looks that end when the test says so: a hint is next although a look at everybody has begun, and those who give
// hints without end do not keep the others from being looked at.
func TestRunnerLooksAtNewsFirst(t *testing.T) {
	c := newCentre(t)
	var all []homes.Account
	lines := make(map[string]string)
	for i := range 40 {
		a := c.account(fmt.Sprintf("u%02d", i), clean)
		all, lines[a.Name] = append(all, a), lineA
	}
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		d.source.set(register(t, nil, lines, all...), nil)
		d.runner.Workers = 1
		looks := make(chan string)
		d.runner.Watch = func(a homes.Account) error {
			looks <- a.Name
			return nil
		}
		d.start()
		for range all {
			<-looks
		}
		synctest.Wait()
		d.runner.LookAtAll()
		synctest.Wait()
		d.hints <- "u39"
		if got := []string{<-looks, <-looks}; got[1] != "u39" {
			t.Errorf("looked at %q, and u39 has news since the first of them", got)
		}
		seen := make(map[string]bool)
		for range 4 * len(all) { // three are always new
			for _, noisy := range all[:3] {
				d.hints <- noisy.Name
			}
			seen[<-looks] = true
			synctest.Wait()
		}
		for _, a := range all[:38] {
			if !seen[a.Name] {
				t.Errorf("%s was not looked at, beside three who give hints without end", a.Name)
			}
		}
		go func() {
			for range looks { // until the end
			}
		}()
		d.end()
		close(looks)
	})
}
