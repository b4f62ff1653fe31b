package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// more adds to the configuration.
func (s site) more(text string) {
	s.t.Helper()
	have, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.put("keyreeve.yaml", string(have)+text)
}

// The registry loses most of its keys: the daemon lets two people lose theirs and holds the others', over a restart, until an
// administrator releases the brake. What nobody registered goes all the while.
func TestDaemonBrake(t *testing.T) {
	testenv.Need(t, "root") // a uid for each home
	s := newSite(t)
	_, keys := vectors(t)
	var members, without []member
	for n := 1; n <= 6; n++ {
		m := s.newMember(n, keys["A"])
		m.write(t, "authorized_keys", keys["A"]+" me\n")
		members = append(members, m)
		if n > 1 {
			m.keys = nil
		}
		without = append(without, m)
	}
	left := without[:4] // two have no entry at all
	s.put("registry.ldif", entries(members...))
	s.configure("enforce", strings.TrimSuffix(s.ldifRegistry(), "}")+", hold: {least: 100}}") // it is the brake's turn
	s.more("brake: {people: 2, window: 1h}\nmetrics: {textfile: " + s.path("keyreeve.prom") + "}\n")
	have := func() (names []string) {
		for _, m := range members {
			if strings.Contains(m.read(t, "authorized_keys"), keys["A"]) {
				names = append(names, m.name)
			}
		}
		return names
	}

	d := s.start()
	d.await("every home was looked at", 1)
	s.measures("brake", "0")
	s.put("registry.ldif", entries(left...))
	d.await("the brake is on: too many people lost a registered key", 1)
	s.measures("brake", "1")
	s.measures("held_keys", "3")
	held := have()
	if len(held) != 4 || held[0] != members[0].name {
		t.Errorf("keys have %v", held)
	}
	for _, name := range held[1:] {
		eventually(t, "the status tells of "+name, func() bool {
			out, _ := s.keyreeve(statusAttention, "brake", "status")
			return strings.Contains(out, "\n  "+name+"  SHA256:")
		})
	}
	// stays gives the daemon something to do and looks what is there after it.
	stays := func(when string) {
		t.Helper()
		for _, m := range members {
			if !slices.Contains(held, m.name) {
				m.append(t, "authorized_keys", keys["A"]+" back\n")
				m.loses(t, "authorized_keys", keys["A"])
				continue
			}
			m.append(t, "authorized_keys", keys["B"]+" intruder\n")
			m.loses(t, "authorized_keys", keys["B"])
		}
		if got := have(); !slices.Equal(got, held) {
			t.Errorf("%s keys have %v, want %v", when, got, held)
		}
	}
	stays("while the brake is on")
	if err := os.Remove(s.path("state", "registry", "brake")); err != nil {
		t.Fatal(err)
	}
	d.await("the state of the brake was lost; it is written anew as it was known", 1)
	s.measures("brake_state_lost_total", "1")
	stays("without its file")
	d.stop()
	d = s.start()
	d.await("every home was looked at", 1)
	stays("after a restart")
	if n := d.said("the brake is on"); n != 1 {
		t.Errorf("the brake was told of %d times", n)
	}
	d.stop()
	s.keyreeve(statusError, "apply")
	if got := have(); !slices.Equal(got, held) {
		t.Errorf("after apply keys have %v", got)
	}
	d = s.start()
	d.await("every home was looked at", 1)
	s.keyreeve(statusOK, "brake", "release", "--reason", "they were dismissed")
	d.await("the brake was released", 1)
	for _, m := range members[1:] {
		m.loses(t, "authorized_keys", keys["A"])
	}
	s.measures("brake", "0")
	s.measures("held_keys", "0")
	s.keyreeve(statusOK, "brake", "status")
	d.stop()

	// Without its ledger the daemon knows by the last good reading who leaves.
	if err := os.Remove(s.path("state", "registry", "ledger")); err != nil {
		t.Fatal(err)
	}
	s.put("registry.ldif", entries(append(left[1:], s.newMember(7, keys["B"]))...))
	d = s.start()
	d.await("the ledger was lost", 1)
	members[0].loses(t, "authorized_keys", keys["A"])
	d.stop()

	s.put("state/registry/ledger", "{}\n")
	if _, stderr := s.keyreeve(statusError, "daemon"); !strings.Contains(stderr, "read the ledger: ") || !strings.Contains(stderr, "hint: ") {
		t.Errorf("a daemon that cannot know who was registered says %q", stderr)
	}
}

// A key that the brake holds logs in until the release, and no longer; one that nobody registered never does.
func TestBrakeLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	server, s := testenv.StartSSHD(t, ""), newSite(t)
	strangerFile, stranger := testenv.NewKey(t)
	var guests, without []member
	files := make(map[string]string)
	for range 3 {
		file, key := testenv.NewKey(t)
		m := guest(t, key)
		m.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", key+"\n")
		guests, files[m.name] = append(guests, m), file
		m.keys = nil
		without = append(without, m)
	}
	stays := guest(t, stranger) // the stranger's key is registered, but to another one
	s.put("registry.ldif", entries(append(guests, stays)...))
	s.configure("enforce", s.ldifRegistry())
	s.more("brake: {people: 1, window: 1h}\n")
	d := s.start()
	d.await("every home was looked at", 1)
	s.put("registry.ldif", entries(append(without, stays)...))
	d.await("the brake is on", 1)
	d.await(`"msg":"file changed"`, 1) // of the one who may lose his key, before anything is added to it
	logins := func(when string, want int) {
		t.Helper()
		in := 0
		for _, m := range guests {
			m.append(t, "authorized_keys", stranger+"\n")
			m.loses(t, "authorized_keys", stranger)
			if err := server.Login(m.name, strangerFile); !errors.Is(err, testenv.ErrRefused) {
				t.Errorf("%s the key of another one: %v", when, err)
			}
			switch err := server.Login(m.name, files[m.name]); {
			case err == nil:
				in++
			case !errors.Is(err, testenv.ErrRefused):
				t.Error(err)
			}
		}
		if in != want {
			t.Errorf("%s %d people can log in, want %d", when, in, want)
		}
	}
	logins("while the brake is on", 2)
	s.keyreeve(statusOK, "brake", "release", "--reason", "they were dismissed")
	d.await("the brake was released", 1)
	for i, m := range guests {
		m.loses(t, "authorized_keys", guests[i].keys[0])
	}
	logins("after its release", 0)
	d.stop()
}
