package enforcer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// locked is a door to homes whose files are held by their user, so that no change of them comes back.
type locked struct {
	enforcer.Homes
	file, whole bool // what he holds: the file, the home too
	tries       int
}

func (l *locked) Replace(a homes.Account, file string, before homes.Version, after []byte, others ...string) error {
	if l.file {
		l.tries++
		return fmt.Errorf("replace: %w", homes.ErrStuck)
	}
	return l.Homes.Replace(a, file, before, after, others...)
}

func (l *locked) Renew(a homes.Account, file string, after []byte) error {
	if l.whole {
		return fmt.Errorf("renew: %w", homes.ErrStuck)
	}
	return l.Homes.Renew(a, file, after)
}

// A change that is stuck makes .ssh give way; the audit trail and the quarantine come first there too, and what narrows a
// granted key stays.
func TestLookRenewsWhatIsStuck(t *testing.T) {
	c := newCentre(t)
	restricted := `command="x" ` + lineA + "\n"
	a := c.account("alice", restricted)
	second := filepath.Join(filepath.Dir(c.file(a)), "authorized_keys2")
	if err := errors.Join(os.WriteFile(second, []byte(lineB+"\n"), 0o600), os.Lchown(second, a.UID, a.GID)); err != nil {
		t.Fatal(err)
	}
	tr := &trail{}
	hand := c.enforcer(tr)
	hand.Homes = &locked{Homes: c.door, file: true}
	result := enforcer.Looker{Homes: c.door, Grants: grants(t, lineA), Act: hand.Apply}.Look(a)
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	if got := c.read(a); got != restricted {
		t.Errorf("the file holds %q, want %q", got, restricted)
	}
	if _, err := os.Lstat(second); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the second file: %v", err)
	}
	want := []string{
		"intent replace-file ", "intent remove-line unregistered", "failure replace-file ",
		"intent replace-file stuck", "intent remove-line unregistered", "success replace-file stuck",
	}
	if diff := cmp.Diff(want, tr.outcomes()); diff != "" {
		t.Error(diff)
	}
	copies, err := hand.Quarantine.List("alice")
	whole := func(c enforcer.Copy) bool {
		found, err := hand.Quarantine.Find(c.ID) // a list has no content
		return err == nil && string(found.Content) == restricted+lineB+"\n"
	}
	if err != nil || !slices.ContainsFunc(copies, whole) {
		t.Errorf("no copy of both files in %+v, %v", copies, err)
	}
}

// A home that is held itself is named, and costs a record a second at most.
func TestRunnerTellsOfWhatCannotBeFreed(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	synctest.Test(t, func(t *testing.T) {
		d := newDaemon(t, c)
		door := &locked{Homes: c.door, file: true, whole: true}
		hand := c.enforcer(&trail{})
		hand.Homes = door
		d.settings.Act = hand.Apply
		d.source.set(register(t, nil, onlyA, a), nil)
		d.start()
		for range 1000 {
			d.hints <- "alice"
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
		}
		if door.tries > 30 {
			t.Errorf("%d attempts in 10 s", door.tries)
		}
		if n := d.said("a user keeps his key file as it is by locks of the kernel's that he does not give back; what is in it may log in"); n != 1 {
			t.Errorf("it was said %d times", n)
		}
		d.want(a, mixed, "while the home is held")
		door.whole = false
		time.Sleep(time.Minute)
		d.want(a, lineA+" me\n", "when it is let go")
		d.end()
	})
}
