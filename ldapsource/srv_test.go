package ldapsource

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// record types of RFC 1035 section 3.2.2 and RFC 2782, and the answer that there is no such name.
const (
	typeA    = 1
	typeSRV  = 33
	nxdomain = 3
)

// zone is a DNS server on loopback: SRV records by name, and 127.0.0.1 for every host.
type zone struct {
	mu      sync.Mutex
	records map[string][]net.SRV
	silent  bool
	queries []string
}

// serve starts it and gives the resolver that asks it.
func (z *zone) serve(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var server sync.WaitGroup
	server.Go(func() {
		for query := make([]byte, 512); ; {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			if reply := z.answer(slices.Clone(query[:n])); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		server.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// answer is a message of RFC 1035 section 4 for a query with one question.
func (z *zone) answer(query []byte) []byte {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.silent {
		return nil
	}
	var labels []string
	at := 12
	for query[at] != 0 {
		labels = append(labels, string(query[at+1:at+1+int(query[at])]))
		at += 1 + int(query[at])
	}
	name, kind := strings.ToLower(strings.Join(labels, ".")), binary.BigEndian.Uint16(query[at+1:])
	z.queries = append(z.queries, name)
	reply := slices.Clone(query[:at+5])                      // header and question
	copy(reply[2:], []byte{0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}) // an authoritative answer to one question
	var answers [][]byte
	records, there := z.records[name]
	switch {
	case kind == typeA && !strings.HasPrefix(name, "_"):
		answers, there = [][]byte{{127, 0, 0, 1}}, true
	case kind == typeSRV:
		for _, r := range records {
			data := binary.BigEndian.AppendUint16(nil, r.Priority)
			data = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(data, r.Weight), r.Port)
			for _, label := range strings.FieldsFunc(r.Target, func(c rune) bool { return c == '.' }) {
				data = append(append(data, byte(len(label))), label...)
			}
			answers = append(answers, append(data, 0))
		}
	default:
		there = true // the name is there, and has no such record
	}
	if !there {
		reply[3] = nxdomain
	}
	binary.BigEndian.PutUint16(reply[6:], uint16(len(answers)))
	for _, data := range answers {
		reply = append(reply, 0xc0, 12) // the name of the question
		reply = binary.BigEndian.AppendUint16(reply, kind)
		reply = append(reply, 0, 1, 0, 0, 0, 60)
		reply = append(binary.BigEndian.AppendUint16(reply, uint16(len(data))), data...)
	}
	return reply
}

// set changes what the zone says of a name.
func (z *zone) set(name string, records ...net.SRV) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.records == nil {
		z.records = make(map[string][]net.SRV)
	}
	z.records[name] = records
}

func port(t *testing.T, url string) uint16 {
	t.Helper()
	var n uint16
	if _, err := fmt.Sscan(url[strings.LastIndex(url, ":")+1:], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// named makes a certificate for some hosts.
func named(hosts ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = hosts, nil }
}

// The servers of SRV records are asked in the order of their priorities, by the names in them.
func TestSRV(t *testing.T) {
	ca := testenv.NewCA(t)
	s := testenv.StartSlapdWith(t, render(people()), testenv.SlapdSetup{Certificate: ca.Issue(t, named("ldap1.example.org"))})
	start := func(t *testing.T, change func(*LDAPConfig)) (*LDAP, *zone) {
		t.Helper()
		config := secured(s, s.LDAPS)
		config.URLs, config.SRV = nil, "example.org"
		if change != nil {
			change(&config)
		}
		l, err := NewLDAP(config)
		if err != nil {
			t.Fatal(err)
		}
		z := &zone{}
		l.resolver = z.serve(t)
		return l, z
	}
	const ldaps, ldap = "_ldaps._tcp.example.org", "_ldap._tcp.example.org"
	at := func(priority uint16, target, url string) net.SRV {
		return net.SRV{Priority: priority, Weight: 1, Target: target, Port: port(t, url)}
	}
	good := at(20, "ldap1.example.org", s.LDAPS)
	for _, c := range []struct {
		name   string
		change func(*LDAPConfig)
		zone   func(*zone)
		source string // that gives the registry
		want   []string
		fault  Fault
	}{
		{
			"one", nil, func(z *zone) { z.set(ldaps, good) }, "ldaps://ldap1.example.org:", nil, "",
		},
		{"the first is dead", nil, func(z *zone) {
			z.set(ldaps, good, net.SRV{Priority: 10, Target: "ldap0.example.org", Port: 1})
		}, "ldaps://ldap1.example.org:", nil, ""},
		{
			"StartTLS where there is no LDAPS", nil, func(z *zone) { z.set(ldap, at(1, "ldap1.example.org", s.URL)) },
			"ldap://ldap1.example.org:", nil, "",
		},
		{"StartTLS where it is asked for", func(c *LDAPConfig) { c.StartTLS = true }, func(z *zone) {
			z.set(ldaps, good)
			z.set(ldap, at(1, "ldap1.example.org", s.URL))
		}, "ldap://ldap1.example.org:", nil, ""},
		{
			"by the name of the configuration, wherever it is", func(c *LDAPConfig) { c.ServerName = "ldap1.example.org" },
			func(z *zone) { z.set(ldaps, at(1, "farm.example.net", s.LDAPS)) }, "ldaps://farm.example.net:", nil, "",
		},
		{
			"another name in the certificate", nil, func(z *zone) { z.set(ldaps, at(1, "www.example.org", s.LDAPS)) },
			"",
			[]string{`is for "ldap1.example.org", where "www.example.org" is expected`},
			CertificateName,
		},
		{
			"a server of others", nil, func(z *zone) { z.set(ldaps, at(1, "ldap1.example.org.evil.test", s.LDAPS)) },
			"",
			[]string{"the SRV records of example.org", `"ldap1.example.org.evil.test", which is not below example.org`},
			Unreachable,
		},
		{
			"a name that ends likewise", nil, func(z *zone) { z.set(ldaps, at(1, "evilexample.org", s.LDAPS)) },
			"",
			[]string{"not below example.org"},
			Unreachable,
		},
		{"no such service", nil, func(z *zone) { z.set(ldaps, net.SRV{Target: "."}) }, "", []string{"has no such service"}, Unreachable},
		{"no records", nil, func(*zone) {}, "", []string{"the SRV records of example.org", "no such host"}, Unreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, z := start(t, c.change)
			c.zone(z)
			got, err := l.Fetch(t.Context())
			if c.source == "" {
				wantError(t, got, err, c.want...)
				wantFault(t, err, c.fault)
				return
			}
			if err != nil || !strings.HasPrefix(got.Source(), c.source) || got.Len() != 27 {
				t.Fatalf("from %v: %v", got, err)
			}
			z.mu.Lock()
			defer z.mu.Unlock()
			if slices.ContainsFunc(z.queries, func(q string) bool {
				return !strings.HasSuffix(q, "example.org") && !strings.HasSuffix(q, "example.net")
			}) {
				t.Errorf("DNS was asked %q", z.queries)
			}
		})
	}

	t.Run("DNS falls silent", func(t *testing.T) {
		l, z := start(t, func(c *LDAPConfig) { c.Timeout = time.Second })
		z.set(ldaps, good)
		var reports []string
		l.Report = func(server string, err error) { reports = append(reports, fmt.Sprint(server, ": ", FaultOf(err))) }
		first, err := l.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// The name of the server is an address again, since nobody resolves it now.
		l.pool.found[0].address = strings.TrimPrefix(s.LDAPS, "ldaps://")
		z.mu.Lock()
		z.silent = true
		z.mu.Unlock()
		for range 2 {
			if got, err := l.Fetch(t.Context()); err != nil || got.Source() != first.Source() {
				t.Fatal(got, err)
			}
		}
		z.mu.Lock()
		z.silent = false
		z.mu.Unlock()
		if _, err := l.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"the SRV records of example.org: unreachable", "the SRV records of example.org: "}; !slices.Equal(reports, want) {
			t.Errorf("reports are %q, want %q", reports, want)
		}
	})
}

// Weights spread many hosts over the servers; one host stays with its choice while the records are the same.
func TestSRVOrder(t *testing.T) {
	z := &zone{}
	records := []net.SRV{{Priority: 5, Weight: 9, Target: "d.example.org", Port: 1}}
	for _, name := range []string{"a", "b", "c"} {
		records = append(records, net.SRV{Priority: 1, Weight: 9, Target: name + ".example.org", Port: 1})
	}
	z.set("_ldaps._tcp.example.org", records...)
	resolver := z.serve(t)
	seen := make(map[string]bool)
	for range 60 {
		l, err := NewLDAP(filled(LDAPConfig{SRV: "example.org", ServerName: "ldap.example.org", Base: base}))
		if err != nil {
			t.Fatal(err)
		}
		l.resolver = resolver
		var orders []string
		for range 3 {
			servers, err := l.find(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var order strings.Builder
			for _, s := range servers {
				order.WriteString(s.host[:1])
			}
			orders = append(orders, order.String())
		}
		if orders[0] != orders[1] || orders[1] != orders[2] || orders[0][3] != 'd' {
			t.Fatalf("orders are %q", orders)
		}
		seen[orders[0][:1]] = true
	}
	if len(seen) != 3 { // each is the first of a third of 60
		t.Errorf("the first are only %v", seen)
	}
}
