package enforcer_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// cleaner notes what is cleaned, and what the file was then.
type cleaner struct {
	enforcer.Homes
	mu    sync.Mutex
	files []string
	found homes.File
}

func (c *cleaner) Clean(a homes.Account, files ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = append(c.files, files...)
	c.found, _ = c.Read(a, files[0])
	c.Homes.Clean(a, files...)
}

// What a crash left goes at the first look of a run, after the file was put right; who only looks removes nothing.
func TestCleansOnce(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		door := &cleaner{Homes: c.door}
		d.runner.Homes = door
		act := d.settings.Act
		d.settings.Act = nil
		d.source.set(register(t, nil, onlyA, a), nil)
		d.start()
		time.Sleep(time.Hour)
		if len(door.files) > 0 {
			t.Errorf("a daemon that reports cleaned beside %q", door.files)
		}
		settings := d.settings
		settings.Act = act
		d.reload(settings)
		time.Sleep(time.Hour)
		if want := enforcer.FileNames(); !slices.Equal(door.files, want) {
			t.Errorf("cleaned beside %q, want %q", door.files, want)
		}
		if got := string(door.found.Data); !strings.HasSuffix(got, lineA+" me\n") || strings.Contains(got, lineB) {
			t.Errorf("at that time the file held %q", got)
		}
		d.end()
		door.files = nil
		enforcer.Looker{Homes: door, Grants: grants(t, lineA), Clean: true}.Look(a)
		if len(door.files) > 0 {
			t.Errorf("a look cleaned beside %q", door.files)
		}
	})
}
