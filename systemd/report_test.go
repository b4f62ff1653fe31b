package systemd_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The daily report is of every home, for root alone, and says what would change. A home outside of /home has to be named to its unit, or the report tells
// of it as of one that cannot be changed, and fails.
func TestDailyReport(t *testing.T) {
	s := newSite(t, 2)
	_, bad := s.stranger()
	alice := s.users[0]
	s.configure("report", "")
	planted := alice.key + "\n" + bad + " planted\n"
	s.plant(alice, planted)
	away := s.users[1]
	s.plant(away, away.key+"\n"+bad+" planted\n")
	s.Run("mkdir", "/data")
	s.Run("mv", away.home, "/data/")
	s.modify("dn: uid=" + away.name + "," + testenv.SlapdPeople + "\nchangetype: modify\nreplace: homeDirectory\nhomeDirectory: /data/" + away.name + "\n")
	s.Run("usermod", "--home", "/data/"+away.name, away.name)
	s.Run("systemctl", "enable", "--now", "keyreeve-plan.timer")
	if next := s.Run("systemctl", "list-timers", "--no-pager", "keyreeve-plan.timer"); !strings.Contains(next, "keyreeve-plan.service") {
		t.Errorf("the timer waits for nothing: %s", next)
	}
	if out, err := s.Command("systemctl", "start", "keyreeve-plan.service").CombinedOutput(); err == nil {
		t.Errorf("a home that is read-only for the report is no error: %s", out)
	}
	s.Put("/etc/systemd/system/keyreeve-plan.service.d/homes.conf", 0o644, "[Service]\nReadWritePaths=/data\nStateDirectoryMode=0711\n"+
		"ExecStartPost=+/usr/bin/install -m 0640 -g staff /var/lib/keyreeve-reports/plan.html /var/lib/keyreeve-reports/staff.html\n")
	s.Run("systemctl", "daemon-reload")
	s.Run("systemctl", "start", "keyreeve-plan.service") // what is to be changed is no error
	path := s.Path("/var/lib/keyreeve-reports/plan.html")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, there := range map[string]bool{"user0": true, "user1": true, "unregistered": true, "read-only": false} {
		if strings.Contains(string(page), want) != there {
			t.Errorf("the report has %q: %v, want %v", want, !there, there)
		}
	}
	for file, want := range map[string]string{".": "root:root 711\n", "plan.html": "root:root 600\n", "staff.html": "root:staff 640\n"} {
		if got := s.Run("stat", "--format", "%U:%G %a", "/var/lib/keyreeve-reports/"+file); got != want {
			t.Errorf("%s is %swant %s", file, got, want)
		}
	}
	out, err := s.Command("systemd-run", "--pipe", "--wait", "-p", "LoadCredential=ldap-password:"+passwordPath, "keyreeve", "plan").CombinedOutput()
	if exit, exited := errors.AsType[*exec.ExitError](err); !exited || exit.ExitCode() != 2 || !strings.Contains(string(out), alice.name) {
		t.Errorf("plan by hand, with the credential: %v: %s", err, out)
	}
	if text, err := os.ReadFile(s.Path(alice.file())); err != nil || string(text) != planted {
		t.Errorf("the report changed a file: %q, %v", text, err)
	}
	if _, err := os.Stat(s.Path("/var/lib/keyreeve")); err == nil {
		t.Error("the report made the daemon's state")
	}
}
