package systemd_test

import (
	"os"
	"strings"
	"testing"
)

// The daily report is of every home, for root alone, and says what would change; homes that only its sandbox bars are none that are barred.
func TestDailyReport(t *testing.T) {
	s := newSite(t, 2)
	_, bad := s.stranger()
	alice := s.users[0]
	s.configure("report", "")
	planted := alice.key + "\n" + bad + " planted\n"
	s.plant(alice, planted)
	s.plant(s.users[1], s.users[1].key+"\n")
	s.Run("systemctl", "enable", "--now", "keyreeve-plan.timer")
	if next := s.Run("systemctl", "list-timers", "--no-pager", "keyreeve-plan.timer"); !strings.Contains(next, "keyreeve-plan.service") {
		t.Errorf("the timer waits for nothing: %s", next)
	}
	s.Run("systemctl", "start", "keyreeve-plan.service") // an error is status 1; there is something to change, which is none
	path := s.Path("/var/lib/keyreeve-reports/plan.html")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, there := range map[string]bool{"user0": true, "unregistered": true, "read-only mount": false} {
		if strings.Contains(string(page), want) != there {
			t.Errorf("the report has %q: %v, want %v", want, !there, there)
		}
	}
	for _, of := range []string{"/var/lib/keyreeve-reports", "/var/lib/keyreeve-reports/plan.html"} {
		if got := s.Run("stat", "--format", "%U:%G %a", of); got != "root:root 700\n" && got != "root:root 600\n" {
			t.Errorf("%s is %s", of, got)
		}
	}
	if text, err := os.ReadFile(s.Path(alice.file())); err != nil || string(text) != planted {
		t.Errorf("the report changed a file: %q, %v", text, err)
	}
	if _, err := os.Stat(s.Path("/var/lib/keyreeve")); err == nil {
		t.Error("the report made the daemon's state")
	}
}
