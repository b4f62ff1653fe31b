package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Who is locked in the directory does not log in with the key that is registered for him, though he had it in his file; an unknown
// key goes from it as before; unlocked, after the daemon was started anew, he logs in.
func TestLoginsOfALockedAccount(t *testing.T) {
	testenv.Need(t, "root", "sshd", "slapd")
	server, s := testenv.StartSSHD(t, ""), newSite(t)
	goodFile, good := testenv.NewKey(t)
	_, bad := testenv.NewKey(t)
	alice, bob := guest(t, good), guest(t, good)
	for _, m := range []member{alice, bob} {
		m.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", good+" mine\n# kept\n")
	}
	directory := testenv.StartSlapd(t, entries(alice, bob))
	change := func(how string) {
		directory.Modify(fmt.Sprintf("dn: uid=%s,ou=people,dc=example,dc=org\nchangetype: modify\n%s\n", alice.name, how))
	}
	logins := func(want error, when string) {
		t.Helper()
		if err := server.Login(alice.name, goodFile); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", when, err, want)
		}
		if err := server.Login(bob.name, goodFile); err != nil {
			t.Errorf("%s: the other one: %v", when, err)
		}
	}
	s.configure("enforce", startTLS(directory, "1s"))
	d := s.start()
	d.await("registry read", 1)
	logins(nil, "before")

	change("add: pwdAccountLockedTime\npwdAccountLockedTime: 20261121120000Z") // wrong passwords, by anybody
	d.await("registry read", d.said("registry read")+2)
	logins(nil, "with a lock that anybody can bring about")

	change("replace: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z")
	alice.loses(t, "authorized_keys", good)
	logins(testenv.ErrRefused, "locked")
	alice.append(t, "authorized_keys", good+" again\n"+bad+" planted\n")
	alice.loses(t, "authorized_keys", bad)
	alice.loses(t, "authorized_keys", good)
	d.await("account has no keys", 1)
	d.stop()

	d = s.start()
	d.await("registry read", 1)
	logins(testenv.ErrRefused, "still locked")
	change("delete: pwdAccountLockedTime")
	d.await("account counts again", 1)
	d.await("file changed", 1)
	logins(nil, "unlocked")
	d.stop()
	if text := alice.read(t, "authorized_keys"); text != "# kept\n"+good+" again\n" {
		t.Errorf("the file is %q", text)
	}
}
