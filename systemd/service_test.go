package systemd_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The installed service does its whole job in its sandbox: it reads the registry with a password that systemd hands it, removes what nobody registered,
// leaves what is, and says so in the journal.
func TestRemoval(t *testing.T) {
	s := newSite(t, 2)
	alice, bob := s.users[0], s.users[1]
	if state := s.Property(service, "ActiveState") + " " + s.Property(service, "UnitFileState"); state != "inactive disabled" {
		t.Errorf("the installation left the service %s", state)
	}
	badFile, bad := s.stranger()
	s.plant(alice, alice.key+" mine\n"+bad+" planted\n")
	if err := s.login(alice, badFile); err != nil {
		t.Fatalf("before the start: %v", err)
	}
	s.Run("systemctl", "enable", "--now", "keyreeve")
	s.becomes(alice, alice.key+" mine\n")
	s.plant(bob, bob.key+"\n"+bad+"\n")
	s.becomes(bob, bob.key+"\n")
	for _, u := range s.users {
		if err := s.login(u, u.keyFile); err != nil {
			t.Errorf("the registered key: %v", err)
		}
		if err := s.login(u, badFile); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("the unknown key: %v", err)
		}
	}
	s.Await(func() error {
		const want = `^mode enforce; 2 homes kept; registry read [0-9]{4}-[0-9-]{5} [0-9:]{8}$`
		if text := s.Property(service, "StatusText"); !regexp.MustCompile(want).MatchString(text) {
			return fmt.Errorf("systemctl shows the status %q", text)
		}
		return nil
	})
	s.sandbox()
	s.journal(alice)
	s.mountOver(bob, bad)
}

// sandbox wants the daemon to have two capabilities, and the system to be read-only for it.
func (s *site) sandbox() {
	s.t.Helper()
	status := s.Run("cat", "/proc/"+s.Property(service, "MainPID")+"/status")
	for _, want := range []string{"CapEff:\t00000000000000c0\n", "CapBnd:\t00000000000000c0\n", "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(status, want) {
			s.t.Errorf("the daemon's status lacks %q:\n%s", want, status)
		}
	}
	for path, want := range map[string]string{"/": "ro", "/home": "rw", "/tmp": "ro", "/var/lib/keyreeve": "rw"} {
		found := ""
		for line := range strings.Lines(s.Run("cat", "/proc/"+s.Property(service, "MainPID")+"/mountinfo")) {
			if f := strings.Fields(line); f[4] == path {
				found, _, _ = strings.Cut(f[5], ",")
			}
		}
		if found != want {
			s.t.Errorf("%s is %q for the daemon, want %q", path, found, want)
		}
	}
}

// journal wants the removal of a key in the journal, with the fields of its audit record, and from the daemon itself.
func (s *site) journal(u user) {
	s.t.Helper()
	want := map[string]any{
		"EVENT_ACTION": "remove-line", "EVENT_OUTCOME": "intent", "EVENT_REASON": "unregistered", "USER_NAME": u.name, "FILE_PATH": u.file(),
		"SSH_KEY_TYPE": "ssh-ed25519", "KEYREEVE_LINE": "2", "_EXE": "/usr/bin/keyreeve", "_SYSTEMD_UNIT": service, "_CAP_EFFECTIVE": "c0",
	}
	s.Await(func() error {
		for _, entry := range s.Journal(service) {
			if has(entry, want) {
				return nil
			}
		}
		return fmt.Errorf("the journal has no entry with %v", want)
	})
	if found := s.Run("journalctl", "-u", "keyreeve", "EVENT_ACTION=remove-line", "USER_NAME="+u.name, "-o", "json"); !strings.Contains(found, u.file()) {
		s.t.Errorf("by these fields the journal finds %s", found)
	}
}

// has reports whether an entry has all these fields.
func has(entry, want map[string]any) bool {
	for field, value := range want {
		if entry[field] != value {
			return false
		}
	}
	return true
}

// mountOver wants a home that is mounted over another one to be seen by the daemon, whose mounts are its own.
func (s *site) mountOver(u user, bad string) {
	s.t.Helper()
	s.Run("mount", "-t", "tmpfs", "-o", "mode=755,uid=20001,gid=20001", "tmpfs", u.home)
	s.Run("runuser", "-u", u.name, "--", "mkdir", "-m", "700", u.home+"/.ssh")
	s.plant(u, u.key+"\n"+bad+"\n")
	s.becomes(u, u.key+"\n")
}

// A reload takes a good file; a bad one is an error of systemctl, and the old one stays in force.
func TestReload(t *testing.T) {
	s := newSite(t, 1)
	_, bad := s.stranger()
	alice := s.users[0]
	s.Run("systemctl", "start", "keyreeve")
	pid := s.Property(service, "MainPID")
	s.configure("report", "mdoe: enforce\n")
	if out, err := s.Command("systemctl", "reload", "keyreeve").CombinedOutput(); err == nil {
		t.Errorf("a bad configuration was taken: %s", out)
	}
	s.is("active")
	s.plant(alice, alice.key+"\n"+bad+"\n")
	s.becomes(alice, alice.key+"\n")
	s.configure("report", "")
	s.Run("systemctl", "reload", "keyreeve")
	s.Await(func() error {
		if text := s.Property(service, "StatusText"); !strings.Contains(text, "mode report; ") {
			return fmt.Errorf("the status is %q", text)
		}
		return nil
	})
	s.plant(alice, alice.key+"\n"+bad+"\n")
	s.configure("enforce", "")
	s.Run("systemctl", "reload", "keyreeve")
	s.becomes(alice, alice.key+"\n")
	if now := s.Property(service, "MainPID"); now != pid {
		t.Errorf("the daemon was %s and is %s", pid, now)
	}
}

// A daemon that is killed is there again, and so is one that hangs; what was planted meanwhile goes.
func TestRestart(t *testing.T) {
	s := newSite(t, 1)
	_, bad := s.stranger()
	s.Put("/etc/systemd/system/keyreeve.service.d/watchdog.conf", 0o644, "[Service]\nWatchdogSec=8s\nRestartSec=1s\n")
	s.Run("systemctl", "daemon-reload")
	s.Run("systemctl", "start", "keyreeve")
	s.ends("KILL", "signal", bad)
	s.Run("sleep", "9")
	if n := s.Property(service, "NRestarts"); n != "1" {
		t.Errorf("the daemon was started again %s times although it lives", n)
	}
	s.ends("STOP", "watchdog", bad)
	if said := s.Run("journalctl", "--no-pager", "--unit", service); !strings.Contains(said, "SIGABRT: abort") || !strings.Contains(said, "enforcer.(*loop).step") {
		t.Error("the journal does not say where the loop stood")
	}
}

// ends sends the daemon a signal of which systemd makes a result.
func (s *site) ends(signal, result, bad string) {
	s.t.Helper()
	u, pid := s.users[0], s.Property(service, "MainPID")
	s.Run("kill", "-"+signal, pid)
	s.plant(u, u.key+"\n"+bad+"\n")
	s.becomes(u, u.key+"\n")
	s.is("active")
	if now := s.Property(service, "MainPID"); now == pid || now == "0" {
		s.t.Errorf("%s: the daemon was %s and is %s", signal, pid, now)
	}
	if said := s.Run("journalctl", "--no-pager", "--unit", service); !strings.Contains(said, "Failed with result '"+result+"'") {
		s.t.Errorf("%s: the journal does not say %q", signal, result)
	}
}

// A registry that is away keeps the start going for longer than a start may last, and the status says why.
func TestStartWaitsForTheRegistry(t *testing.T) {
	s := newSite(t, 1)
	_, bad := s.stranger()
	alice := s.users[0]
	s.plant(alice, alice.key+"\n"+bad+"\n")
	s.Put("/etc/systemd/system/keyreeve.service.d/start.conf", 0o644, "[Service]\nTimeoutStartSec=8s\n")
	s.Run("systemctl", "daemon-reload")
	s.Run("systemctl", "kill", "--signal", "STOP", "slapd-test")
	s.Run("systemctl", "start", "--no-block", "keyreeve")
	s.Await(func() error {
		if text := s.Property(service, "StatusText"); !strings.HasPrefix(text, "waiting for the registry") {
			return fmt.Errorf("the status is %q", text)
		}
		return nil
	})
	s.Run("sleep", "9") // beyond the time that a start has
	s.is("activating")
	if text, err := os.ReadFile(s.Path(alice.file())); err != nil || !strings.Contains(string(text), bad) {
		t.Errorf("without a registry something was changed: %q, %v", text, err)
	}
	s.Run("systemctl", "kill", "--signal", "CONT", "slapd-test")
	s.is("active")
	s.becomes(alice, alice.key+"\n")
	if n := s.Property(service, "NRestarts"); n != "0" {
		t.Errorf("it was started again %s times", n)
	}
}
