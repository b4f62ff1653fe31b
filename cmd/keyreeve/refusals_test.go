package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Of one user's refused sessions some are recorded in each minute, and the others are counted in the next record; nobody uses up what is another's,
// and where they cannot be counted each is recorded.
func TestCountRefusal(t *testing.T) {
	c, now := config.Config{StateDir: filepath.Join(t.TempDir(), "state")}, time.Unix(1_000_000_020, 0)
	count := func(user string, at time.Time, want bool, wantMissed int) {
		t.Helper()
		recorded, missed, err := countRefusal(c, user, at)
		if err != nil || recorded != want || recorded && missed != wantMissed {
			t.Errorf("%s: recorded is %v with %d missed, %v; want %v and %d", user, recorded, missed, err, want, wantMissed)
		}
	}
	for range refusalsPerMinute {
		count("ada", now, true, 0)
	}
	count("ada", now.Add(30*time.Second), false, 0)
	count("ADA", now.Add(30*time.Second), false, 0)
	count("eve", now, true, 0)
	count("ada", now.Add(time.Minute), true, 2)
	for range refusalsPerMinute - 1 {
		count("ada", now.Add(time.Minute), true, 0)
	}
	count("ada", now.Add(time.Minute), false, 0)
	count("ada", now, true, 1) // a clock that is set back
	list, err := filepath.Glob(filepath.Join(c.StateDir, "refused", "*"))
	if err != nil || len(list) != 2 {
		t.Fatalf("files %v, %v", list, err)
	}
	for _, path := range list {
		if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	count("ada", now, true, 0)
	if err := errors.Join(os.RemoveAll(c.StateDir), os.WriteFile(c.StateDir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if recorded, _, err := countRefusal(c, "ada", now); err == nil || !recorded {
		t.Errorf("recorded is %v, %v, where it cannot be counted", recorded, err)
	}
}

// A loop of refused logins does not fill the trail. Twice as many as a minute has are recorded if it passes meanwhile.
func TestRefusedInALoop(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	s.put("registry.ldif", "")
	s.configure("enforce", s.ldifRegistry())
	for range 2*refusalsPerMinute + 5 {
		s.keyreeve(statusOK, "audit", "refused", "--user=ada", "--reason=not-granted")
	}
	if n := strings.Count(s.audit(), `"event.action":"refuse-session"`); n < refusalsPerMinute || n > 2*refusalsPerMinute {
		t.Errorf("%d records", n)
	}
	s.keyreeve(statusOK, "audit", "verify")
}
