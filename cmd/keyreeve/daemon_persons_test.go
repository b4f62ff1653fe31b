package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// One person who renames himself, and loses a key by each name, is one of those who may: others' revocations go on.
func TestDaemonCountsPersons(t *testing.T) {
	testenv.Need(t, "root") // a uid for each home
	s := newSite(t)
	own, theirs, lost := newKeyLine(t), newKeyLine(t), newKeyLine(t)
	mallory, victim := s.newMember(1, own), s.newMember(2, theirs, lost)
	victim.write(t, "authorized_keys", theirs+"\n"+lost+"\n")
	publish := func(more ...string) {
		mallory.keys = append([]string{own}, more...)
		s.put("registry.ldif", entries(mallory, victim, s.newMember(3, theirs), s.newMember(4, theirs), s.newMember(5, theirs)))
	}
	publish()
	s.configure("enforce", s.ldifRegistry())
	s.more("brake: {people: 2, window: 1h}\n")
	d := s.start()
	d.await("every home was looked at", 1)
	for n := range 4 {
		mallory.name = fmt.Sprint("mallory", n)
		key, reads := newKeyLine(t), d.said("registry read")
		publish(key)
		d.await("registry read", reads+1)
		mallory.write(t, "authorized_keys", own+"\n"+key+"\n")
		publish()
		mallory.loses(t, "authorized_keys", key)
	}
	victim.keys = []string{theirs}
	publish()
	victim.loses(t, "authorized_keys", lost)
	out, _ := s.keyreeve(statusOK, "brake", "status")
	if !strings.HasPrefix(out, "brake    off: 2 of at most 2 people") {
		t.Errorf("two people have lost keys, and the status says:\n%s", out)
	}
	if n := d.said("account left alone"); n > 0 {
		t.Errorf("of his names %d are told", n)
	}
	d.stop()
}

// Nor does he keep what others withdraw off the list that sshd refuses.
func TestDeniedLoginsBesideOneWhoRenamesHimself(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	s := newSite(t)
	stolenFile, stolen := testenv.NewKey(t)
	_, own := testenv.NewKey(t)
	ada := guest(t, own)
	ada.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", stolen+"\n")
	list := s.path("lists", "revoked.krl")
	s.configure("report", s.ldifRegistry())
	s.more(fmt.Sprintf("deny: {file: %s}\nbrake: {people: 2, window: 1h}\n", list))
	mallory := s.newMember(1, newKeyLine(t))
	put := func(n int, keys ...string) {
		ada.keys = keys
		mallory.name, mallory.keys = fmt.Sprint("mallory", n), []string{newKeyLine(t)}
		s.put("registry.ldif", entries(ada, mallory))
	}
	put(0, own, stolen)
	server := testenv.StartSSHD(t, denyDropIn(t, list, "root"))
	d := s.start()
	eventually(t, "the key is registered", func() bool { return server.Login(ada.name, stolenFile) == nil })
	for n := 1; n <= 4; n++ {
		reads := d.said("registry read")
		put(n, own, stolen)
		d.await("registry read", reads+1)
	}
	put(4, own)
	turnedAway(t, server, ada.name, stolenFile)
	d.stop()
}
