package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A running daemon takes an exception as soon as it is made, keeps it while its file is broken, somebody else's or gone, and takes
// the key away when it ends.
func TestDaemonExceptions(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+" pc\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	user.loses(t, "authorized_keys", keys["B"])
	list, _ := s.keyreeve(statusOK, "quarantine", "list")
	id, _, _ := strings.Cut(list, " ")
	s.keyreeve(statusOK, "quarantine", "restore", "--override", "--reason", "ticket 7", "--until", time.Now().Add(48*time.Hour).UTC().Format(time.DateOnly), id)
	d.await(`"msg":"exception"`, 1)

	// stays gives the daemon something to do and looks whether the excepted key is there after it.
	stays := func(when string) {
		t.Helper()
		user.append(t, "authorized_keys", keys["D"]+" intruder\n")
		user.loses(t, "authorized_keys", keys["D"])
		if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n"+keys["B"]+" pc\n" {
			t.Fatalf("%s the file holds %q", when, text)
		}
	}
	stays("with an exception")
	path := s.path("state", "exceptions.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const unread = "the exceptions could not be read; those that were known stay in force"
	s.put("state/exceptions.json", "{")
	d.await(unread, 1)
	stays("with a broken file of exceptions")
	if os.Geteuid() == 0 {
		s.put("state/foreign", string(good))
		if err := os.Chown(s.path("state", "foreign"), user.uid, user.gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.path("state", "foreign"), path); err != nil {
			t.Fatal(err)
		}
		d.await(fmt.Sprintf("owned by uid %d", user.uid), 1)
		stays("with the file of another user")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	d.await("exceptions.json was there and is gone", 1)
	stays("without the file")

	// The same exception with an end that is near: nothing but time takes the key away.
	soon := time.Now().Add(5 * time.Second).UTC().Format(time.RFC3339)
	_, rest, _ := strings.Cut(string(good), `"until": "`)
	_, rest, _ = strings.Cut(rest, `"`)
	before, _, _ := strings.Cut(string(good), `"until": "`)
	s.put("state/exceptions.json", before+`"until": "`+soon+`"`+rest)
	user.loses(t, "authorized_keys", keys["B"])
	d.await(`"idle":"ended"`, 1)
	d.stop()

	s.put("state/exceptions.json", "{")
	if _, stderr := s.keyreeve(statusError, "daemon"); !strings.Contains(stderr, "hint: repair the file") {
		t.Errorf("a daemon that cannot know the exceptions says %q", stderr)
	}
}

// An exception lets its user log in, nobody else, and not when it was ended.
func TestExceptionLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	server, s := testenv.StartSSHD(t, ""), newSite(t)
	goodFile, good := testenv.NewKey(t)
	oldFile, old := testenv.NewKey(t)
	alice, bob := guest(t, good), guest(t, good)
	for _, m := range []member{alice, bob} {
		m.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", good+"\n"+old+" old\n")
	}
	s.put("registry.ldif", entries(alice, bob))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	for _, m := range []member{alice, bob} {
		m.loses(t, "authorized_keys", old)
	}
	list, _ := s.keyreeve(statusOK, "quarantine", "list", "--user", alice.name)
	id, _, _ := strings.Cut(list, " ")
	out, _ := s.keyreeve(statusOK, "quarantine", "restore", "--override", "--reason", "ticket 7", "--until", time.Now().Add(48*time.Hour).UTC().Format(time.DateOnly), id)
	d.await(`"msg":"exception"`, 1)
	bob.append(t, "authorized_keys", old+" old\n")
	bob.loses(t, "authorized_keys", old)
	if err := errors.Join(server.Login(alice.name, goodFile), server.Login(alice.name, oldFile), server.Login(bob.name, goodFile)); err != nil {
		t.Error(err)
	}
	if err := server.Login(bob.name, oldFile); !errors.Is(err, testenv.ErrRefused) {
		t.Errorf("another user with the key of an exception: %v", err)
	}

	exception, _, _ := strings.Cut(strings.TrimPrefix(out, "exception "), ":")
	s.keyreeve(statusOK, "quarantine", "revoke", exception)
	alice.loses(t, "authorized_keys", old)
	if err := server.Login(alice.name, oldFile); !errors.Is(err, testenv.ErrRefused) {
		t.Errorf("after the end of the exception: %v", err)
	}
	if err := server.Login(alice.name, goodFile); err != nil {
		t.Error(err)
	}
	d.stop()
}
