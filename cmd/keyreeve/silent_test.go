package main

import (
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A home on a file server that is silent is named, and keeps nobody waiting; it is looked at again when the server answers.
func TestDaemonBesideADeadFileServer(t *testing.T) {
	testenv.Need(t, "root", "mount", "fuse")
	s := newSite(t)
	_, keys := vectors(t)
	user, other := s.newMember(1, keys["A"]), s.newMember(2, keys["A"])
	for _, m := range []member{user, other} {
		m.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	}
	s.put("registry.ldif", entries(user, other))
	s.configure("enforce", s.ldifRegistry())
	dead := testenv.Hang(t, user.as(), user.home)
	defer dead.Let() // before the daemon is waited for
	d := s.start()
	other.loses(t, "authorized_keys", keys["B"])
	d.await("home does not answer", 1)
	for range 3 {
		other.append(t, "authorized_keys", keys["B"]+"\n")
		other.loses(t, "authorized_keys", keys["B"])
	}
	if d.said("home does not answer") != 1 || d.said(`"user":"user001","home":"`+user.home+`","server":"fuse `) != 1 {
		t.Error("the home was not named once, with its server")
	}
	dead.Let()
	d.await("home answers again", 1)
	d.stop()
}
