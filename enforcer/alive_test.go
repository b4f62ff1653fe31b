package enforcer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/registry"
)

// silentSource is a registry that does not answer.
type silentSource struct{}

func (silentSource) Fetch(ctx context.Context) (*registry.Snapshot, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Whoever asks whether the daemon lives is answered while homes and the registry hang, and is not when the loop stands still.
func TestAlive(t *testing.T) {
	alive := func(d *daemon) error {
		ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
		defer cancel()
		return d.runner.Alive(ctx)
	}
	for name, play := range map[string]struct {
		hang func(d *daemon, release chan struct{})
		want error
	}{
		"every home hangs": {func(d *daemon, release chan struct{}) {
			door := &lent{Homes: d.door, read: func(f homes.File) (homes.File, error) { <-release; return f, nil }}
			door.on.Store(true)
			d.runner.Homes = door
		}, nil},
		"every watch hangs": {func(d *daemon, release chan struct{}) {
			d.runner.Watch = func(homes.Account) error { <-release; return nil }
		}, nil},
		"the registry hangs": {func(d *daemon, _ chan struct{}) { d.settings.Source = silentSource{} }, nil},
		"the loop hangs": {func(d *daemon, release chan struct{}) {
			d.runner.Observe = func(enforcer.Observation) { <-release }
		}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCentre(t)
			a := c.account("alice", clean)
			synctest.Test(t, func(t *testing.T) {
				d, release := newDaemon(t, c), make(chan struct{})
				d.source.set(register(t, nil, onlyA, a), nil)
				play.hang(d, release)
				d.start()
				for range 3 {
					if err := alive(d); !errors.Is(err, play.want) {
						t.Errorf("got %v, want %v", err, play.want)
					}
					time.Sleep(time.Minute)
				}
				close(release)
				d.end()
			})
		})
	}
}
