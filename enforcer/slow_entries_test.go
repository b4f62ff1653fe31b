package enforcer_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/registry"
)

// sluggish is slow with the entries of some users, and gives up on them.
type sluggish struct {
	*directory

	slow []string
}

func (s *sluggish) FetchUser(ctx context.Context, name string) (registry.User, bool, error) {
	user, found, err := s.directory.FetchUser(ctx, name)
	if slices.Contains(s.slow, name) {
		time.Sleep(5 * time.Second)
		return registry.User{}, false, errors.New("too slow")
	}
	return user, found, err
}

// Users whose entries the server is slow with, and who change them all the time, do not keep others from being read.
func TestRunnerSlowEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTold(t)
		s := &sluggish{d.directory, []string{"user1", "user2", "user3", "user4"}}
		d.settings.Source = s
		d.keys(true, 0, 1, 2, 3, 4)
		d.start()
		for i := range 60 {
			d.tell(s.slow...)
			time.Sleep(time.Second)
			if i == 20 {
				d.keys(false, 1, 2, 3, 4)
				d.tell("user0")
				d.want(d.list[0], none, "beside slow ones")
			}
		}
		if _, users := d.directory.count(); users > 3*len(s.slow) {
			t.Errorf("slow ones were read %d times in a minute", users)
		}
		time.Sleep(10 * time.Minute)
		_, before := d.directory.count()
		d.tell(s.slow[0])
		if _, users := d.directory.count(); users != before+1 {
			t.Error("who has rested is not read again")
		}
		time.Sleep(time.Minute)
		d.end()
	})
}
