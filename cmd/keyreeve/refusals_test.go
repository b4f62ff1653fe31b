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
		counted, wanted, err := countRefusal(c, user, at)
		if err != nil || wanted != want || wanted && counted.missed != wantMissed {
			t.Errorf("%s: to be recorded is %v with %d missed, %v; want %v and %d", user, wanted, counted.missed, err, want, wantMissed)
		}
		if wanted {
			if err := counted.recorded(); err != nil {
				t.Error(err)
			}
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
	if _, wanted, err := countRefusal(c, "ada", now); err == nil || !wanted {
		t.Errorf("to be recorded is %v, %v, where it cannot be counted", wanted, err)
	}
}

// What the trail does not take is counted as missed, with those that were before, until a record has it.
func TestRefusedWhileTheTrailFails(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	s.put("registry.ldif", "")
	s.configure("enforce", s.ldifRegistry())
	refuse := func(status int) {
		s.keyreeve(status, "audit", "refused", "--user=ada", "--reason=not-granted", "--message=no")
	}
	refuse(statusOK)
	trail := s.path("log", "audit.jsonl")
	if err := errors.Join(os.Rename(trail, trail+".away"), os.Mkdir(trail, 0o700)); err != nil {
		t.Fatal(err)
	}
	refuse(statusError)
	refuse(statusError)
	if err := errors.Join(os.Remove(trail), os.Rename(trail+".away", trail)); err != nil {
		t.Fatal(err)
	}
	refuse(statusOK)
	refuse(statusOK)
	if text := s.audit(); strings.Count(text, "refuse-session") != 3 || strings.Count(text, "no (2 more of this user's were not recorded before it)") != 1 || strings.Count(text, "more of this user's") != 1 {
		t.Error(text)
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
