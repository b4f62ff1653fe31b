package enforcer_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// firstUID is the first uid of the tests' homes when they run as root; nobody has it.
const firstUID = 65001

// centre is a folder of real homes, and the real door to them.
type centre struct {
	tb    testing.TB
	dir   string
	door  *homes.Door
	count int
}

func newCentre(tb testing.TB) *centre {
	tb.Helper()
	dir, err := os.MkdirTemp("", "keyreeve-enforcer-") //nolint:usetesting // t.TempDir is closed to the uids of the homes
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	door, err := homes.Open(homes.Options{})
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := door.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &centre{tb: tb, dir: dir, door: door}
}

// account makes a home, whose authorized_keys has the text.
func (c *centre) account(name, text string) homes.Account {
	c.tb.Helper()
	a := homes.Account{Name: name, UID: os.Geteuid(), GID: os.Getegid(), Home: filepath.Join(c.dir, name)}
	if a.UID == 0 {
		a.UID, a.GID = firstUID+c.count, firstUID+c.count
	}
	c.count++
	for _, err := range []error{
		os.MkdirAll(filepath.Join(a.Home, ".ssh"), 0o700), os.WriteFile(c.file(a), []byte(text), 0o600), os.Chmod(a.Home, 0o700),
	} {
		if err != nil {
			c.tb.Fatal(err)
		}
	}
	for _, path := range []string{a.Home, filepath.Join(a.Home, ".ssh"), c.file(a)} {
		if err := os.Lchown(path, a.UID, a.GID); err != nil {
			c.tb.Fatal(err)
		}
	}
	return a
}

func (c *centre) file(a homes.Account) string {
	return filepath.Join(a.Home, ".ssh/authorized_keys")
}

func (c *centre) read(a homes.Account) string {
	c.tb.Helper()
	data, err := os.ReadFile(c.file(a))
	if err != nil {
		c.tb.Fatal(err)
	}
	return string(data)
}

// plan reads and plans alice's file for real.
func (c *centre) plan(a homes.Account, registered ...string) enforcer.Plan {
	c.tb.Helper()
	file, err := c.door.Read(a, ".ssh/authorized_keys")
	if err != nil {
		c.tb.Fatal(err)
	}
	return enforcer.MakePlan(enforcer.Input{Account: a, Name: ".ssh/authorized_keys", File: file, Grants: grants(c.tb, registered...)})
}

// trail remembers records and what the file held when they came.
type trail struct {
	mu      sync.Mutex
	records []audit.Record
	fail    func(audit.Record) error
	seen    func()
}

func (t *trail) write(records ...audit.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen != nil {
		t.seen()
	}
	for _, r := range records {
		if t.fail != nil {
			if err := t.fail(r); err != nil {
				return err
			}
		}
	}
	t.records = append(t.records, records...)
	return nil
}

func (t *trail) outcomes() []string {
	var list []string
	for _, r := range t.records {
		list = append(list, r.Outcome+" "+r.Action+" "+r.Reason)
	}
	return list
}

func (c *centre) enforcer(tr *trail) *enforcer.Enforcer {
	return &enforcer.Enforcer{
		Homes: c.door, Trail: tr.write, Now: func() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) },
		Quarantine: &enforcer.Quarantine{Dir: filepath.Join(c.dir, "quarantine"), Budget: 3000},
	}
}

const (
	mixed = "# mine\n" + lineB + " intruder\n" + lineA + " me\n"
	clean = "# mine\n" + lineA + " me\n"
)

// pending reports whether a look found something to change.
func pending(r enforcer.Result) bool {
	return slices.ContainsFunc(r.Plans, func(p enforcer.Plan) bool { return p.Change })
}
