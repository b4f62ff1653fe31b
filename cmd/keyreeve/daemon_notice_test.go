package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// noticeUsers is how many users the registry of TestNotice has; "make notice" takes ten thousand.
var noticeUsers = flag.Int("notice", 20, "users of TestNotice")

// noticeRounds is how often a key is revoked and registered again.
const noticeRounds = 100

// A key that is taken out of the directory goes from the file of its user, and one that is registered comes, without a reading of
// the whole registry in between; and with a server that does not tell of changes both happen with the next poll. How long it
// takes is printed.
func TestNotice(t *testing.T) {
	for name, c := range map[string]struct {
		sync   bool
		rounds int
		said   string
	}{
		"sync": {true, min(max(*noticeUsers/100, 5), noticeRounds), "the server tells of changes in the registry"},
		"poll": {false, 1, "the server is asked for changes in the registry"},
	} {
		t.Run(name, func(t *testing.T) { playNotice(t, c.sync, c.rounds, c.said) })
	}
}

func playNotice(t *testing.T, sync bool, rounds int, said string) {
	t.Helper()
	s := newSite(t)
	_, keys := vectors(t)
	members := make([]member, *noticeUsers)
	for i := range members {
		members[i] = s.newMember(i, keys["A"], keys["B"])
		members[i].write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	}
	server := testenv.StartSlapdWith(t, entries(members...), testenv.SlapdSetup{Sync: sync})
	s.configure("enforce", ldapRegistry(server, server.URL, fmt.Sprintf("start_tls: true, poll: 2s, ca_file: %s, bind_dn: '%s', password_file: %s",
		server.CAFile, server.RootDN, server.PasswordFile), "24h"))
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", strings.Replace(string(text), "{min_uid: 1,", "{min_uid: 1, install: all,", 1)+"brake: {people: 1000}\n")
	d := s.start()
	for end := time.Now().Add(patience + time.Duration(len(members))*10*time.Millisecond); d.said(said) == 0 || d.said("every home was looked at") == 0; {
		if time.Now().After(end) {
			t.Fatal("the daemon did not begin")
		}
		time.Sleep(time.Millisecond)
	}
	d.await(`"registry read"`, 2) // at the start, and when the server was heard
	whole := d.said(`"registry read"`)

	var revoked, registered durations
	for i := range rounds {
		m := members[i%max(len(members)/100, 3)] // no more people than may lose a key within an hour
		change := func(verb string) string {
			return fmt.Sprintf("dn: uid=%s,ou=people,dc=example,dc=org\nchangetype: modify\n%s: sshPublicKey\nsshPublicKey: %s\n", m.name, verb, keys["B"])
		}
		revoked.measure(t, server, change("delete"), func() bool { return !strings.Contains(m.read(t, "authorized_keys"), keys["B"]) })
		registered.measure(t, server, change("add"), func() bool { return strings.Contains(m.read(t, "authorized_keys"), keys["B"]) })
	}
	t.Logf("%d users, %d changes each: until a revoked key is gone %s; until a registered key is there %s", len(members), rounds, revoked, registered)
	if again := d.said(`"registry read"`); sync && again > whole { // stamps of the last minute are new to polls
		t.Errorf("the whole registry was read %d times", again-whole)
	}
	d.stop()
}

// durations are those from the end of ldapmodify, which is just after the server's reply.
type durations []time.Duration

// measure makes a change and waits until its outcome shows.
func (d *durations) measure(t *testing.T, server *testenv.Slapd, change string, done func() bool) {
	t.Helper()
	server.Modify(change)
	begin := time.Now()
	for !done() {
		if time.Since(begin) > patience {
			t.Fatalf("not done: %s", change)
		}
		time.Sleep(200 * time.Microsecond)
	}
	*d = append(*d, time.Since(begin))
}

func (d durations) String() string {
	sorted := slices.Sorted(slices.Values(d))
	at := func(percent int) time.Duration {
		return sorted[(len(sorted)-1)*percent/100].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p99 %v, most %v", at(50), at(99), at(100))
}
