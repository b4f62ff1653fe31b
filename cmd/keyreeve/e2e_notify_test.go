package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// notify adds a section to the configuration.
func (s site) notify(text string) {
	s.t.Helper()
	s.configure("enforce", s.ldifRegistry()+"\nnotify: "+text)
}

// sshd passes over a note, whatever the user wrote behind the key that it tells of, and the key that may stay goes on logging in. A second look
// changes nothing, and what the user makes of the note is his.
func TestNoteLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	server, s := testenv.StartSSHD(t, ""), newSite(t)
	goodFile, good := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	alice := guest(t, good)
	alice.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", "# keyreeve: "+bad+"\n"+bad+" \r"+bad+"\n"+good+" mine\n")
	if err := server.Login(alice.name, badFile); err != nil {
		t.Fatalf("without keyreeve the unknown key must log in, or nothing is proven: %v", err)
	}
	s.put("registry.ldif", entries(alice))
	s.notify(`{note: true, text: ["Register keys at https://keys.example.org/"]}`)
	logins := func(when string) {
		t.Helper()
		if err := server.Login(alice.name, goodFile); err != nil {
			t.Errorf("%s: the registered key: %v", when, err)
		}
		if err := server.Login(alice.name, badFile); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("%s: the unknown key: got %v, want ErrRefused", when, err)
		}
	}
	s.keyreeve(statusOK, "apply")
	noted := alice.read(t, "authorized_keys")
	if !strings.HasPrefix(noted, "# keyreeve: removed on ") || !strings.HasSuffix(noted, "\n"+good+" mine\n") || strings.Count(noted, "Register keys at") != 1 {
		t.Errorf("the file is %q", noted)
	}
	logins("with a note")
	s.keyreeve(statusOK, "apply")
	if again := alice.read(t, "authorized_keys"); again != noted {
		t.Errorf("a second look made %q", again)
	}
	alice.does(t, "sed -i '2,4d; s/^# keyreeve: You/#/' .ssh/authorized_keys; echo '# keyreeve: mine' >>.ssh/authorized_keys", "")
	edited := alice.read(t, "authorized_keys")
	s.keyreeve(statusOK, "apply")
	if again := alice.read(t, "authorized_keys"); again != edited {
		t.Errorf("of an edited note was made %q", again)
	}
	logins("with half a note")
}
