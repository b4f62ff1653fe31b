package systemd_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A newer package over a service that runs, on a host whose sshd asks keyreeve alone, and then no package any more.
func TestUpgradeAndPurge(t *testing.T) {
	s := newSite(t, 1)
	alice := s.users[0]
	badFile, bad := s.stranger()
	s.plant(alice, alice.key+"\n"+bad+"\n")
	const strong = "/etc/ssh/sshd_config.d/10-keyreeve.conf"
	s.configure("enforce", "answer: {dir: /var/lib/keyreeve-sshd}\n")
	s.Run("systemctl", "enable", "--now", "keyreeve", "keyreeve-plan.timer")
	s.becomes(alice, alice.key+"\n")
	s.Await(func() error {
		_, err := os.Stat(s.Path("/var/lib/keyreeve-sshd/keys.cdb"))
		return err
	})
	s.Run("install", "-m", "0644", "/usr/share/doc/keyreeve/examples/sshd_config.d/10-keyreeve-strong.conf", strong)
	s.Run("systemctl", "reload", "ssh")
	s.Await(func() error { return s.login(alice, alice.keyFile) })

	s.upgrade(alice, badFile)
	s.remove(alice, strong)
}

// upgrade installs a newer package while users log in.
func (s *site) upgrade(u user, badFile string) {
	s.t.Helper()
	pid := s.Property(service, "MainPID")
	configured := s.Run("sha256sum", configPath)
	end, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		logins := 0
		for ; ; logins++ {
			select {
			case <-end:
				if logins == 0 {
					ended <- errors.New("nobody logged in meanwhile")
				}
				close(ended)
				return
			default:
			}
			good, wrong := s.login(u, u.keyFile), s.login(u, badFile)
			if good != nil || !errors.Is(wrong, testenv.ErrRefused) {
				ended <- fmt.Errorf("login %d: the registered key: %w; the unknown key: %w", logins, good, wrong)
				<-end
				close(ended)
				return
			}
		}
	}()
	s.install("1.1.0")
	s.Await(func() error {
		if now := s.Property(service, "MainPID"); now == pid || s.Property(service, "ActiveState") != "active" {
			return fmt.Errorf("the daemon was %s and is %s, %s", pid, now, s.Property(service, "ActiveState"))
		}
		return nil
	})
	close(end)
	if err := <-ended; err != nil {
		s.t.Error(err)
	}
	if exe := s.Run("readlink", "/proc/"+s.Property(service, "MainPID")+"/exe"); exe != "/usr/bin/keyreeve\n" {
		s.t.Errorf("what runs is %s", exe)
	}
	if now := s.Run("sha256sum", configPath); now != configured {
		s.t.Error("the configuration was changed")
	}
	s.Run("keyreeve", "audit", "verify")
}

// remove takes the package away: not while sshd asks it, and not what it has recorded.
func (s *site) remove(u user, strong string) {
	s.t.Helper()
	if out, err := s.Command("dpkg", "--remove", "keyreeve").CombinedOutput(); err == nil || !strings.Contains(string(out), strong) {
		s.t.Errorf("the package went although sshd asks it: %v: %s", err, out)
	}
	if err := s.login(u, u.keyFile); err != nil {
		s.t.Errorf("after that: %v", err)
	}
	s.is("active")
	s.Run("rm", strong)
	s.Run("systemctl", "reload", "ssh")
	s.Run("dpkg", "--purge", "keyreeve")
	s.is("inactive")
	if state := strings.TrimSpace(s.Run("systemctl", "show", "--property", "LoadState", "--value", service, "keyreeve-plan.timer")); state != "not-found\n\nnot-found" {
		s.t.Errorf("the units are %q", state)
	}
	for path, stays := range map[string]bool{
		"/var/lib/keyreeve/quarantine/" + u.name: true, "/var/log/keyreeve/audit.jsonl": true, passwordPath: true,
		configPath: false, "/var/lib/keyreeve-sshd": false, "/usr/bin/keyreeve": false,
		"/etc/systemd/system/multi-user.target.wants/keyreeve.service": false, "/etc/systemd/system/timers.target.wants/keyreeve-plan.timer": false,
	} {
		if _, err := os.Lstat(s.Path(path)); (err == nil) != stays {
			s.t.Errorf("%s: stays %v, want %v", path, err == nil, stays)
		}
	}
	s.Await(func() error { return s.login(u, u.keyFile) }) // by his file, without keyreeve
}
