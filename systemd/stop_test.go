package systemd_test

import (
	"errors"
	"os"
	"testing"
)

// A stop in the middle of the first sweep leaves each file as it was or as it is to be, ends in time and without an error, and the next start ends the work.
func TestStopInASweep(t *testing.T) {
	const homes = 400
	s := newSite(t, homes)
	_, bad := s.stranger()
	old := 0
	for try := 0; old == 0; try++ {
		if try == 10 {
			t.Fatal("each sweep had ended before the stop, so that this shows nothing")
		}
		old = s.stopInASweep(bad)
	}
	s.Run("systemctl", "start", "keyreeve")
	for _, u := range s.users {
		s.becomes(u, u.key+"\n")
	}
	s.Run("keyreeve", "audit", "verify")
}

// stopInASweep spoils all files, starts the daemon and stops it, and says how many files are as they were.
func (s *site) stopInASweep(bad string) (old int) {
	t := s.t
	t.Helper()
	for _, u := range s.users {
		path := s.Path(u.file())
		err := os.WriteFile(path, []byte(u.key+"\n"+bad+"\n"), 0o600)
		if err = errors.Join(err, os.Chown(path, u.uid, u.uid)); err != nil {
			t.Fatal(err)
		}
	}
	s.Run("systemctl", "start", "keyreeve") // returns with READY: the sweep has begun
	s.Run("systemctl", "stop", "keyreeve")
	if result, code := s.Property(service, "Result"), s.Property(service, "ExecMainStatus"); result != "success" || code != "0" {
		t.Errorf("the stop ended as %s, with status %s", result, code)
	}
	clean := 0
	for _, u := range s.users {
		text, err := os.ReadFile(s.Path(u.file()))
		switch {
		case err == nil && string(text) == u.key+"\n":
			clean++
		case err == nil && string(text) == u.key+"\n"+bad+"\n":
			old++
		default:
			t.Errorf("the file of %s holds %q, %v", u.name, text, err)
		}
	}
	t.Logf("%d files were clean at the stop, %d were not", clean, old)
	return old
}
