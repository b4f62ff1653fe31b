package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// audit is the text of the audit trail.
func (s site) audit() string {
	s.t.Helper()
	text, err := os.ReadFile(s.path("log/audit.jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// A centre begins: a pilot group first, while all others keep what they have; then it warns; then it enforces for all.
func TestDaemonModes(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	server, s := testenv.StartSSHD(t, ""), newSite(t)
	goodFile, good := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	pilots, alice, bob, carol := testenv.NewAccount(t), guest(t, good), guest(t, good), guest(t, good)
	join := func(m member) {
		t.Helper()
		if out, err := exec.Command("/usr/sbin/usermod", "-a", "-G", pilots.Name, m.name).CombinedOutput(); err != nil {
			t.Fatalf("usermod: %v %s", err, out)
		}
	}
	join(alice)
	logins := func(when string, m member, want error) {
		t.Helper()
		if err := server.Login(m.name, badFile); !errors.Is(err, want) {
			t.Errorf("%s: the unknown key: got %v, want %v", when, err, want)
		}
		if err := server.Login(m.name, goodFile); err != nil {
			t.Errorf("%s: the registered key: %v", when, err)
		}
	}
	both := good + " mine\n" + bad + " planted\n"
	for _, m := range []member{alice, bob, carol} {
		m.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", both)
	}
	s.put("registry.ldif", entries(alice, bob, carol))
	group := fmt.Sprintf("groups: [{group: %s, mode: enforce}]\n", pilots.Name)
	s.configure("report", s.ldifRegistry())
	s.more(group)
	d := s.start()
	d.await("every home was looked at", 1)
	alice.loses(t, "authorized_keys", bad)
	logins("a pilot", alice, testenv.ErrRefused)
	logins("nobody's pilot", bob, nil)
	logins("nobody's pilot", carol, nil)
	if text := s.audit(); strings.Contains(text, bob.name) || strings.Contains(text, "warn-") {
		t.Errorf("mode report left records:\n%s", text)
	}

	s.configure("warn", s.ldifRegistry())
	s.more(group)
	d.signal(syscall.SIGHUP)
	d.await("configuration read again", 1)
	warned := func() int { return strings.Count(s.audit(), `"event.action":"warn-line"`) }
	eventually(t, "the trail tells of the unknown keys", func() bool { return warned() == 2 })
	told := d.said("file would be changed")
	bob.append(t, "authorized_keys", "# a comment\n")
	d.await("file would be changed", told+1)
	bob.append(t, "authorized_keys", bad+" again\n")
	eventually(t, "the trail tells of another", func() bool { return warned() > 2 })
	if n := warned(); n != 3 {
		t.Errorf("%d records of three findings", n)
	}
	logins("after a warning", bob, nil)
	alice.append(t, "authorized_keys", bad+" again\n")
	alice.loses(t, "authorized_keys", bad)

	join(bob) // a reload asks anew who is in the group
	d.signal(syscall.SIGHUP)
	bob.loses(t, "authorized_keys", bad)
	logins("another pilot", bob, testenv.ErrRefused)
	logins("after a warning", carol, nil)

	s.configure("enforce", s.ldifRegistry())
	d.signal(syscall.SIGHUP)
	carol.loses(t, "authorized_keys", bad)
	logins("after all", carol, testenv.ErrRefused)
	d.stop()
}

// Enforcing does not begin while it would leave no administrator with a key. Once it has begun nobody can stop it by making
// himself such an administrator.
func TestDaemonAdmins(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	admin, user := s.newMember(1), s.newMember(2, keys["A"])
	for _, m := range []member{admin, user} {
		m.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	}
	const shut = "enforcing does not begin"
	s.put("registry.ldif", entries(admin, user)) // nobody has registered the administrator's key
	configure := func(more string) {
		t.Helper()
		s.configure("enforce", s.ldifRegistry())
		s.more(fmt.Sprintf("admins: [%s, nosuchadmin]%s\n", admin.name, more))
	}
	configure("")
	if _, stderr := s.keyreeve(statusError, "apply"); !strings.Contains(stderr, "no administrator would have a key that logs in: user001: the registry and the policy grant him no key; nosuchadmin: neither") {
		t.Errorf("apply said %q", stderr)
	}
	d := s.start()
	d.await(shut, 1)
	d.await("every home was looked at", 1)
	user.append(t, "authorized_keys", keys["B"]+" again\n# another\n")
	d.await("file would be changed", 3)
	for _, m := range []member{admin, user} {
		if text := m.read(t, "authorized_keys"); !strings.HasPrefix(text, keys["A"]+"\n"+keys["B"]+"\n") {
			t.Errorf("%s has %q", m.name, text)
		}
	}

	admin.keys = []string{keys["A"]}
	s.put("registry.ldif", entries(admin, user))
	d.await("an administrator can log in: enforcing begins", 1)
	for _, m := range []member{admin, user} {
		m.loses(t, "authorized_keys", keys["B"])
	}

	// What an administrator does to himself then, also beside a reload of the same configuration, changes nothing.
	admin.write(t, "authorized_keys", "")
	d.signal(syscall.SIGHUP)
	d.await("configuration read again", 1)
	user.append(t, "authorized_keys", keys["B"]+" again\n")
	user.loses(t, "authorized_keys", keys["B"])

	// Another configuration is another beginning.
	configure(" # another")
	d.signal(syscall.SIGHUP)
	d.await(shut, 2)
	told := d.said("file would be changed")
	user.append(t, "authorized_keys", keys["B"]+" again\n# one more\n")
	d.await("file would be changed", told+1)
	admin.write(t, "authorized_keys", keys["A"]+"\n")
	s.put("registry.ldif", entries(admin, user)+"\n") // a reading is a reason to look again; without one it is done every 30 s
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
}
