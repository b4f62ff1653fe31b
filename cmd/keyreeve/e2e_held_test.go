package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A directory that was emptied by half takes nobody's key, while unknown ones go on being removed, until an administrator accepts
// that. One that is down at the start is stood in for by its last good reading.
func TestDaemonHoldsALoss(t *testing.T) {
	testenv.Need(t, "slapd")
	s := newSite(t)
	_, keys := vectors(t)
	var members []member
	for n := range 8 {
		m := s.newMember(n+1, keys["A"], keys["D"])
		m.write(t, "authorized_keys", strings.Join(m.keys, "\n")+"\n")
		members = append(members, m)
	}
	server := testenv.StartSlapd(t, entries(members...))
	s.configure("enforce", strings.Replace(startTLS(server, "24h"), "start_tls: true", "start_tls: true, notice: \"off\"", 1)) // a reading is what SIGHUP asks for
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", string(text)+"metrics: {textfile: "+s.path("keyreeve.prom")+"}\n")
	both, one := strings.Join(members[0].keys, "\n")+"\n", keys["A"]+"\n"
	unknown := func(when string, want func(n int) string) {
		t.Helper()
		for n, m := range members {
			m.append(t, "authorized_keys", keys["B"]+" "+when+"\n")
			m.loses(t, "authorized_keys", keys["B"])
			if text := m.read(t, "authorized_keys"); text != want(n) {
				t.Errorf("%s: %s has %q", when, m.name, text)
			}
		}
	}
	d := s.start()
	d.await("every home was looked at", 1)

	for n, m := range members {
		if n%2 == 0 {
			server.Modify(fmt.Sprintf("dn: uid=%s,ou=people,dc=example,dc=org\nchangetype: modify\ndelete: sshPublicKey\nsshPublicKey: %s\n", m.name, keys["D"]))
		}
	}
	d.signal(syscall.SIGHUP)
	d.await("what was read of the registry is held", 1)
	s.measures("registry_held", "1")
	unknown("held", func(int) string { return both })

	if stdout, _ := s.keyreeve(statusAttention, "registry", "status"); !strings.Contains(stdout, "people who have lost a key within an hour: 4, at most 3") {
		t.Errorf("status said %q", stdout)
	}
	s.keyreeve(statusOK, "registry", "accept")
	half := func(n int) string {
		if n%2 == 0 {
			return one
		}
		return both
	}
	for n, m := range members {
		if n%2 == 0 {
			m.loses(t, "authorized_keys", keys["D"])
		}
	}
	unknown("accepted", half)
	s.measures("registry_held", "0")
	s.keyreeve(statusOK, "registry", "status")
	if n := d.said("what was read of the registry is held"); n != 1 {
		t.Errorf("the alarm was raised %d times", n)
	}
	d.stop()

	server.Stop()
	d = s.start()
	d.await("homes are kept by the last good reading until the registry answers", 1)
	unknown("down", half)
	s.measures("registry_reachable", "0")
	if stdout, _ := s.keyreeve(statusOK, "registry", "status"); !strings.Contains(stdout, "reachable  no, since 20") {
		t.Errorf("status said %q", stdout)
	}
	server.Start()
	d.await("registry read", 1)
	s.measures("registry_reachable", "1")
	d.stop()
}
