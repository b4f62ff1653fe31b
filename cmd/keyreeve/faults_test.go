package main

import (
	"crypto/x509"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// fault is something that goes wrong between the registry and the daemon: a row of the table in docs/operations.md, and a part of
// TestDaemonFaults.
type fault struct {
	name string
	// outcome is what becomes of the reading, says are words of the one line in which the log tells of it.
	outcome outcome
	says    []string
	// canary is set where the configuration names one.
	canary bool
	begin  func(*trial)
	// end repairs what begin has broken, beside what the proxy does.
	end func(*trial)
}

// outcome is what becomes of a reading: the words of the table.
type outcome string

const (
	// refused: it does not count, and is tried again.
	refused outcome = "refused"
	// held: it is complete, and lost too much.
	held outcome = "held"
)

// line is what the log says of an outcome.
func (o outcome) line() string {
	if o == held {
		return "what was read of the registry is held"
	}
	return "the registry could not be read; what it said last stays in force"
}

// plays is a fault that a proxy plays.
func plays(f testenv.Fault) func(*trial) { return func(r *trial) { r.proxy.Play(f) } }

// serves leads to another server, which has some of the members.
func serves(members int, setup testenv.SlapdSetup, more ...string) func(*trial) {
	return func(r *trial) { r.proxy.Swap(r.server(members, setup, more...)) }
}

// shows meets the daemon with another certificate.
func shows(change func(*x509.Certificate)) func(*trial) {
	return func(r *trial) { r.proxy.Show(r.proxy.CA().Issue(r.t, change)) }
}

// killed ends a server in the middle of a page; end starts it again.
func killed() (begin, end func(*trial)) {
	var victim *testenv.Slapd
	begin = func(r *trial) {
		victim = r.server(team, testenv.SlapdSetup{})
		var once sync.Once
		r.proxy.Swap(victim)
		r.proxy.Play(testenv.Meanwhile(func(m testenv.Message) {
			if testenv.First(testenv.Entry, 2)(m) {
				once.Do(victim.Kill)
			}
		}))
	}
	return begin, func(r *trial) {
		victim.Start()
		r.proxy.Swap(victim)
	}
}

// faults are all of them. A page has two of five members.
func faults() []fault {
	begin, end := killed()
	entry, done := testenv.First(testenv.Entry, 1), func(page int) func(testenv.Message) bool {
		return func(m testenv.Message) bool { return m.Kind == testenv.Done && m.Page == page }
	}
	second := func(m testenv.Message) bool { return m.Kind == testenv.Entry && m.Entries == 1 }
	network := []fault{
		{name: "cut before the answer to the bind", says: []string{"bind", "EOF"}, begin: plays(testenv.CutAt(0))},
		{name: "cut behind the tag of a message", says: []string{"page 1", "EOF"}, begin: plays(testenv.Cut(entry, 1))},
		{name: "cut within the length of a message", says: []string{"page 1", "EOF"}, begin: plays(testenv.Cut(entry, 2))},
		{name: "cut in the middle of an entry", says: []string{"page 1", "EOF"}, begin: plays(testenv.Cut(entry, 100))},
		{name: "cut between two entries", says: []string{"page 1", "EOF"}, begin: plays(testenv.Cut(second, 0))},
		{name: "cut between two pages", says: []string{"page 2", "EOF"}, begin: plays(testenv.Cut(testenv.First(testenv.Entry, 2), 0))},
		{name: "cut behind the last entry", says: []string{"page 3", "EOF"}, begin: plays(testenv.Cut(done(3), 0))},
		{name: "silence before TLS", says: []string{"TLS", "i/o timeout"}, begin: func(r *trial) { r.proxy.Silence() }},
		{name: "silence between two pages", says: []string{"page 2", "i/o timeout"}, begin: plays(testenv.Freeze(testenv.First(testenv.Entry, 2)))},
		{name: "a byte now and then", says: []string{"i/o timeout"}, begin: plays(testenv.Drip(50 * time.Millisecond))},
		{name: "something that is no LDAP", says: []string{"page 2", "no LDAP message"}, begin: plays(testenv.Garble(testenv.First(testenv.Entry, 2), "HTTP/1.1 502 Bad Gateway\r\n\r\n"))},
		{name: "kill -9 of the server in the middle of a page", says: []string{"of the search below"}, begin: begin, end: end},
	}
	certificates := []fault{
		{
			name: "a certificate for another name", says: []string{"the certificate of", "is for", "is expected"},
			begin: shows(func(c *x509.Certificate) {
				c.DNSNames, c.IPAddresses = []string{"ldap.example.org"}, []net.IP{net.IPv4(192, 0, 2, 1)}
			}),
		},
		{
			name: "a certificate that has ended", says: []string{"the certificate of", "ended at"},
			begin: shows(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		},
		{
			name: "a certificate that has not begun, or a clock that was set back", says: []string{"the certificate of", "begins at"},
			begin: shows(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }),
		},
		{
			name: "a certificate of an unknown authority", says: []string{"the certificate of", "which is no authority of"},
			begin: func(r *trial) { r.proxy.Show(testenv.NewCertificate(r.t)) },
		},
	}
	directory := []fault{
		{name: "a server that is busy", says: []string{"page 2", "Busy"}, begin: plays(testenv.Answer(2, 51))},
		{
			name: "a size limit of 500", says: []string{"Size Limit Exceeded"},
			// slapd's own default; the strangers are before the members.
			begin: func(r *trial) {
				r.proxy.Swap(r.server(team, testenv.SlapdSetup{Database: "sizelimit 500\n"}, r.strangers(500)))
			},
		},
		{
			name: "a referral", says: []string{"the server names another place to search", "ldap://elsewhere.example.org"},
			begin: serves(team, testenv.SlapdSetup{}, "dn: ou=elsewhere,"+testenv.SlapdPeople+
				"\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\nref: ldap://elsewhere.example.org/ou=people,dc=example,dc=com\n"),
		},
		{name: "success, and nobody", says: []string{"none of 0 entries has the attribute sshPublicKey"}, begin: serves(0, testenv.SlapdSetup{})},
		{
			name: "success, and no keys: the right to read them was lost", says: []string{"none of 5 entries has the attribute sshPublicKey"},
			begin: serves(team, testenv.SlapdSetup{Access: "access to attrs=sshPublicKey by * none\n"}),
		},
		{
			name: "the right to see anything was lost", says: []string{"page 1", "No Such Object"},
			begin: serves(team, testenv.SlapdSetup{Access: "access to * by * none\n"}),
		},
		{
			name: "a replica that is half filled, with a canary", canary: true, says: []string{"the canary", "is not among its 1 users"},
			begin: serves(1, testenv.SlapdSetup{}),
		},
		{
			name: "the right to read some keys was lost, with a canary", canary: true, says: []string{"the canary", "has 0 keys"},
			begin: serves(team, testenv.SlapdSetup{Access: hidden}),
		},
		{
			name: "a page that is cut short and said to be the last, with a canary", canary: true, says: []string{"the canary", "is not among its 1 users"},
			begin: plays(testenv.Truncate(1)),
		},
	}
	less := []fault{
		{name: "a replica that is half filled", says: []string{"4 users are gone"}, begin: serves(1, testenv.SlapdSetup{})},
		{name: "a page that is cut short and said to be the last", says: []string{"4 users are gone"}, begin: plays(testenv.Truncate(1))},
		{
			name: "the right to see some users was lost", says: []string{"4 users are gone"},
			begin: serves(team, testenv.SlapdSetup{Access: "access to " + most + " by * none\n"}),
		},
		{
			name: "the right to read some keys was lost", says: []string{"4 people have lost keys"},
			begin: serves(team, testenv.SlapdSetup{Access: hidden}),
		},
		{
			name: "another directory", says: []string{"5 users are gone"},
			begin: func(r *trial) { r.proxy.Swap(r.server(0, testenv.SlapdSetup{}, r.strangers(7))) },
		},
	}
	for i := range less {
		less[i].outcome = held
	}
	all := append(append(append(network, certificates...), directory...), less...)
	for i := range all {
		if all[i].outcome == "" {
			all[i].outcome = refused
		}
	}
	return all
}

// most are all members but the first, whose numbers end with 0; hidden are their keys.
const (
	most   = `dn.regex="^uid=user[0-9]+[1-9],ou=people,"`
	hidden = "access to " + most + " attrs=sshPublicKey by * none\n"
)

// strangers are other users whom the trial's daemon sees.
func (r *trial) strangers(n int) string {
	var list []member
	for i := range n {
		list = append(list, member{name: fmt.Sprint(r.prefix(), "x", i), uid: 1, gid: 1, home: "/nonexistent", keys: r.members[0].keys})
	}
	return entries(list...)
}
