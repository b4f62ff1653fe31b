package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Two accounts with one uid come to one home by two paths, the second of which leads through a link of root's. Neither's keys
// are judged by the other's, whoever is looked at first; when they have two homes, both are kept. A third account with that
// uid has a home of its own, and is kept all the time.
func TestTwoPathsToOneHome(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	_, keys := vectors(t)
	user, third := s.newMember(1, keys["A"]), s.newMember(3, keys["A"])
	admin := member{name: "admin", uid: user.uid, gid: user.gid, home: s.path("admins", "admin"), keys: []string{keys["D"]}}
	third.uid = user.uid
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(errors.Join(os.Mkdir(s.path("admins"), 0o755), os.Symlink(user.home, admin.home)))
	must(errors.Join(os.Chown(third.home, third.uid, third.gid), os.Chown(third.file(""), third.uid, third.gid)))
	before := keys["A"] + "\n" + keys["D"] + "\n" + keys["B"] + "\n"
	user.write(t, "authorized_keys", before)
	s.put("registry.ldif", entries(user, admin, third))
	s.configure("enforce", s.ldifRegistry())
	untouched := func(when string) {
		t.Helper()
		if text := user.read(t, "authorized_keys"); text != before {
			t.Errorf("%s: the file of both is %q", when, text)
		}
	}
	for _, arguments := range [][]string{{"plan"}, {"apply"}, {"apply", user.name}, {"apply", admin.name}} {
		if out, _ := s.keyreeve(statusError, arguments...); !strings.Contains(unfolded(out), "both are left alone") {
			t.Errorf("%v: %s", arguments, out)
		}
		untouched(strings.Join(arguments, " "))
	}

	d := s.start()
	d.await("both are left alone", 2)
	before += keys["B"] + " more\n"
	user.append(t, "authorized_keys", keys["B"]+" more\n")
	third.write(t, "authorized_keys", keys["B"]+"\n"+keys["A"]+"\n")
	third.loses(t, "authorized_keys", keys["B"])
	untouched("the daemon")

	must(errors.Join(os.Remove(admin.home), os.MkdirAll(admin.file(""), 0o755), os.Chown(admin.home, admin.uid, admin.gid), os.Chown(admin.file(""), admin.uid, admin.gid)))
	admin.write(t, "authorized_keys", before)
	for _, m := range []member{user, admin} {
		m.loses(t, "authorized_keys", keys["B"])
	}
	d.stop()
	for _, m := range []member{user, admin, third} {
		if text := m.read(t, "authorized_keys"); text != m.keys[0]+"\n" {
			t.Errorf("in the end %s has %q", m.name, text)
		}
	}

	list, _ := s.keyreeve(statusOK, "quarantine", "list", "--user", user.name)
	id, _, _ := strings.Cut(list, " ")
	must(errors.Join(os.Rename(admin.home, s.path("away")), os.Symlink(user.home, admin.home)))
	if _, stderr := s.keyreeve(statusError, "quarantine", "restore", id); !strings.Contains(stderr, "both are left alone") {
		t.Errorf("restore: %s", stderr)
	}
}
