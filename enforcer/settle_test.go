package enforcer_test

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A FIFO in the place of another file lets nobody in, and hides nothing: a revoked key that was removed beside it is settled, and
// cannot be put back for as long as the registry is away.
func TestRunnerSettlesBesideAFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTold(t)
		a := d.list[1]
		if err := syscall.Mkfifo(filepath.Join(a.Home, ".ssh", "authorized_keys2"), 0o600); err != nil {
			t.Fatal(err)
		}
		d.start()
		d.keys(true, 0, 2, 3, 4)
		d.tell("user1")
		time.Sleep(time.Second)
		synctest.Wait()
		if strings.Contains(d.read(a), lineA) {
			t.Fatal("the revoked key was not removed")
		}
		d.source.set(nil, errors.New("down"))
		d.runner.Poke()
		time.Sleep(time.Second)
		synctest.Wait()
		d.write(a, clean)
		d.hints <- a.Name
		time.Sleep(time.Hour)
		synctest.Wait()
		if strings.Contains(d.read(a), lineA) {
			t.Error("a revoked key that was removed came back for the outage")
		}
		d.end()
	})
}
