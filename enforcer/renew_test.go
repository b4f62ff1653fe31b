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
	blind       string // a file that cannot be read either
	back        int    // how often what was stuck is back when its directory is to give way
	renews      int
}

func (l *locked) Read(a homes.Account, file string) (homes.File, error) {
	if file == l.blind {
		return homes.File{}, fmt.Errorf("read: %w", homes.ErrStuck)
	}
	return l.Homes.Read(a, file)
}

func (l *locked) Replace(a homes.Account, file string, before homes.Version, after []byte, others ...string) error {
	if l.file {
		l.tries++
		return fmt.Errorf("replace: %w", homes.ErrStuck)
	}
	return l.Homes.Replace(a, file, before, after, others...)
}

func (l *locked) Renew(a homes.Account, file string, after []byte, anyway bool, others ...string) error {
	l.renews++
	if l.whole {
		return fmt.Errorf("renew: %w", homes.ErrStuck)
	}
	if l.back > 0 && !anyway {
		l.back--
		return fmt.Errorf("renew: %w", homes.ErrChanged)
	}
	l.blind, l.file = "", false
	return l.Homes.Renew(a, file, after, true, others...) // in truth nothing is stuck
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
	if got, err := os.ReadFile(second); err != nil || string(got) != restricted {
		t.Errorf("the second file, which may be that of other connections: %q, %v", got, err)
	}
	want := []string{
		"intent replace-file ", "intent remove-line unregistered", "failure replace-file ",
		"intent replace-file stuck", "intent remove-line unregistered", "success replace-file stuck",
		"intent replace-file unreadable", "success replace-file unreadable",
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
		d.settings.Act = always(hand.Apply)
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
		if n := d.said("somebody keeps a key file as it is by locks of the kernel's on the home that he does not give back; what is in it may log in"); n != 1 {
			t.Errorf("it was said %d times", n)
		}
		d.want(a, mixed, "while the home is held")
		door.whole = false
		time.Sleep(time.Minute)
		d.want(a, lineA+" me\n", "when it is let go")
		d.end()
	})
}

// hold is a Looker whose acts go by a locked door, and the door.
func (c *centre) hold(door *locked) (enforcer.Looker, *locked) {
	door.Homes = c.door
	hand := c.enforcer(&trail{})
	hand.Homes = door
	return enforcer.Looker{Homes: door, Grants: grants(c.tb, lineA), Act: hand.Apply}, door
}

// Where not even a read comes back, every granted key gets in, and what was read keeps its options. A look that may change nothing
// says so.
func TestLookRenewsWhatCannotBeRead(t *testing.T) {
	const restricted = `command="x" ` + lineA + "\n"
	for blind, want := range map[string]string{".ssh/authorized_keys": lineA + "\n", ".ssh/authorized_keys2": restricted} {
		c := newCentre(t)
		a := c.account("alice", restricted)
		look, door := c.hold(&locked{blind: blind})
		act := look.Act
		look.Act = nil
		if result := look.Look(a); !errors.Is(result.Err, homes.ErrStuck) {
			t.Errorf("a look that changes nothing at %s: %v", blind, result.Err)
		}
		look.Act = act
		if result := look.Look(a); result.Err != nil {
			t.Errorf("%s: %v", blind, result.Err)
		}
		if got := c.read(a); door.renews != 1 || got != want {
			t.Errorf("%s: after %d renewals the file holds %q, want %q", blind, door.renews, got, want)
		}
	}
}

// What nothing is known of may have been there, for other connections: it gets the same keys, as narrow as they were.
func TestLookRenewsFilesOfOtherConnections(t *testing.T) {
	const restricted = `command="x" ` + lineA + "\n"
	c := newCentre(t)
	a := c.account("alice", restricted+lineB+"\n")
	look, door := c.hold(&locked{file: true})
	if result := look.Look(a); result.Err != nil || door.renews != 1 {
		t.Errorf("%d renewals, %v", door.renews, result.Err)
	}
	for _, file := range []string{c.file(a), c.file(a) + "2"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != restricted {
			t.Errorf("%s: %q %v", file, got, err)
		}
	}
}

// What has come back is planned again; what is stuck again then gives way all the same.
func TestLookPlansAgainWhatCameBack(t *testing.T) {
	c := newCentre(t)
	a := c.account("alice", mixed)
	look, door := c.hold(&locked{file: true, back: 5})
	if result := look.Look(a); result.Err != nil || door.renews != 2 {
		t.Errorf("%d renewals, %v", door.renews, result.Err)
	}
	if got := c.read(a); got != lineA+" me\n" {
		t.Errorf("the file holds %q", got)
	}
}

// Any directory of key files below the home gives way, but neither the home itself nor what is outside of it.
func TestLookRenewsOtherDirectories(t *testing.T) {
	for file, gives := range map[string]bool{".keys/auth": true, ".keys/deep/auth": true, "auth": false} {
		c := newCentre(t)
		a := c.account("alice", "")
		path := filepath.Join(a.Home, file)
		for dir := filepath.Dir(path); dir != a.Home; dir = filepath.Dir(dir) {
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.Lchown(dir, a.UID, a.GID)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.WriteFile(path, []byte(mixed), 0o600), os.Lchown(path, a.UID, a.GID)); err != nil {
			t.Fatal(err)
		}
		look, door := c.hold(&locked{file: true})
		look.Files = func(homes.Account) (homes.KeyFiles, error) {
			return homes.KeyFiles{Paths: []string{".ssh/authorized_keys", path}}, nil
		}
		result := look.Look(a)
		got, err := os.ReadFile(path)
		if gives != (result.Err == nil && door.renews == 1 && string(got) == lineA+" me\n") {
			t.Errorf("%s: %d renewals, %v; it holds %q, %v", file, door.renews, result.Err, got, err)
		}
		if !gives && !errors.Is(result.Err, homes.ErrStuck) {
			t.Errorf("%s: %v", file, result.Err)
		}
	}
}
