package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// ldapRegistry is the registry part of a configuration that reads a slapd.
func ldapRegistry(l *testenv.Slapd, url, how, refresh string) string {
	return fmt.Sprintf("{source: ldap, refresh: %s, ldap: {urls: ['%s'], base: '%s', %s}}", refresh, url, l.Base, how)
}

// startTLS reads it in the way that most centres will.
func startTLS(l *testenv.Slapd, refresh string) string {
	return ldapRegistry(l, l.URL, fmt.Sprintf("start_tls: true, ca_file: %s, bind_dn: '%s', password_file: %s",
		l.CAFile, l.RootDN, l.PasswordFile), refresh)
}

// Where a registry comes from shows in its name and in nothing else: each door of a real slapd and the LDIF file that
// filled it give the same plan, byte for byte.
func TestPlanFromEverySource(t *testing.T) {
	testenv.Need(t, "slapd")
	s := newSite(t)
	list, keys := vectors(t)
	members := []member{
		s.newMember(0, keys["DSA"]+" denied", keys["A"]+" laptop", keys["R4096"]+" desk", keys["E256"]+" denied"),
		s.newMember(1, `from="192.0.2.0/24",no-pty `+keys["B"], keys["B"], keys["A"]),
		s.newMember(2, keys["A"]+" one", keys["A"]+" two", "ssh-ed25519 AAAA"),
		s.newMember(3),
	}
	for i, v := range list[:40] { // the simplest ones: order and counts matter here, tricks do not
		m := s.newMember(10+i, keys["A"])
		m.write(t, "authorized_keys", string(vectorFile(t, v.File)))
		members = append(members, m)
	}
	for _, m := range members[:4] {
		m.write(t, "authorized_keys2", keys["A"]+"\n"+keys["B"]+"\n"+keys["R4096"]+"\n")
	}
	nowhere := member{name: "-rf", uid: 1, gid: 1, home: s.path("home", "nowhere"), keys: []string{keys["A"]}}
	ldif := entries(append(members, nowhere)...)
	s.put("registry.ldif", ldif)
	server := testenv.StartSlapd(t, ldif)
	// A directory keeps no order of values (RFC 4512 section 2.2): this one now has the first key last.
	for _, change := range []string{"delete", "add"} {
		server.Modify(fmt.Sprintf("dn: uid=%s,ou=people,dc=example,dc=org\nchangetype: modify\n%s: sshPublicKey\nsshPublicKey: %s\n",
			members[0].name, change, members[0].keys[0]))
	}

	made := regexp.MustCompile(`(?m)^  "made": .*\n`)
	plan := func(registry, source string) string {
		t.Helper()
		s.configure("enforce", registry)
		out, _ := s.keyreeve(statusPending, "plan", "--format", "json")
		quoted, err := json.Marshal(source)
		if err != nil {
			t.Fatal(err)
		}
		field := `"source": ` + string(quoted)
		if strings.Count(out, field) != 1 {
			t.Fatalf("the plan does not name its source %s once", source)
		}
		return made.ReplaceAllString(strings.Replace(out, field, `"source": ""`, 1), "")
	}
	want := plan(s.ldifRegistry(), s.path("registry.ldif"))
	for _, part := range []string{`"reason": "unregistered"`, `"reason": "dsa"`, `"action": "rewrite"`, `"detail": "sshPublicKey, a value of `, `"user": "-rf"`} {
		if !strings.Contains(want, part) {
			t.Errorf("the plan has no %s, so that the comparison proves less than it should", part)
		}
	}
	for name, door := range map[string]struct{ registry, url string }{
		"StartTLS": {startTLS(server, "24h"), server.URL},
		"LDAPS": {ldapRegistry(server, server.LDAPS, fmt.Sprintf("ca_file: %s, bind_dn: '%s', password_file: %s, page_size: 7",
			server.CAFile, server.RootDN, server.PasswordFile), "24h"), server.LDAPS},
		"ldapi": {ldapRegistry(server, server.LDAPI, "sasl_external: true", "24h"), server.LDAPI},
	} {
		if diff := cmp.Diff(want, plan(door.registry, door.url)); diff != "" {
			t.Errorf("%s: another plan:\n%s", name, diff)
		}
	}
}

// While the directory does not answer nothing is removed; as soon as it does, the work begins. A key that is taken out of it
// goes with the next refresh, and an outage takes nothing back.
func TestDaemonWithoutDirectory(t *testing.T) {
	testenv.Need(t, "slapd")
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"], keys["D"])
	text := keys["A"] + "\n" + keys["D"] + "\n" + keys["B"] + "\n"
	user.write(t, "authorized_keys", text)
	server := testenv.StartSlapd(t, entries(user))
	server.Stop()
	s.configure("enforce", startTLS(server, "1s"))

	if _, stderr := s.keyreeve(statusError, "plan"); !strings.Contains(stderr, "keyreeve: read the registry: "+server.URL) {
		t.Errorf("plan said %q", stderr)
	}
	d := s.start()
	d.await("the registry could not be read; no home is looked at before it was", 2)
	if now := user.read(t, "authorized_keys"); now != text {
		t.Fatalf("without a registry the file became %q", now)
	}
	server.Start()
	user.loses(t, "authorized_keys", keys["B"])

	server.Modify(fmt.Sprintf("dn: uid=%s,ou=people,dc=example,dc=org\nchangetype: modify\ndelete: sshPublicKey\nsshPublicKey: %s\n",
		user.name, keys["D"]))
	user.loses(t, "authorized_keys", keys["D"])

	server.Stop()
	d.await("the registry could not be read", d.said("the registry could not be read")+1)
	user.append(t, "authorized_keys", keys["B"]+" again\n")
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if now := user.read(t, "authorized_keys"); now != keys["A"]+"\n" {
		t.Errorf("in the end the file is %q", now)
	}
}

// A server that cannot be used is left for the next with one line in the log, however often the registry is read, and so is one
// whose registry lacks the canary; it is named again when it is back.
func TestDaemonLeavesServers(t *testing.T) {
	testenv.Need(t, "slapd")
	s := newSite(t)
	_, keys := vectors(t)
	user, canary := s.newMember(1, keys["A"]), s.newMember(2, keys["D"])
	user.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	full, empty := testenv.StartSlapd(t, entries(user, canary)), testenv.StartSlapd(t, entries(s.newMember(3, keys["B"])))
	s.configure("enforce", fmt.Sprintf("{source: ldap, refresh: 1s, canary: {user: %s, fingerprint: '%s'}, ldap: {urls: ['ldapi:///none', '%s', '%s'], base: '%s', sasl_external: true}}",
		canary.name, fingerprintOf(t, keys["D"]), empty.LDAPI, full.LDAPI, full.Base))
	d := s.start()
	user.loses(t, "authorized_keys", keys["B"])
	const left = "the registry comes from another server"
	d.await("registry read", 4)
	if n := d.said(left); n != 2 {
		t.Errorf("%d lines tell of two servers that were left", n)
	}
	for _, why := range []string{"dial unix /none: connect: no such file", "the canary \\\"" + canary.name + "\\\" is not among its 1 users"} {
		if n := d.said(why); n != 1 {
			t.Errorf("%d lines say %q, want 1", n, why)
		}
	}
	d.stop()
}

// What is wrong with a server's certificate is said in a line, and what to do about it in another.
func TestAdviceOnCertificates(t *testing.T) {
	testenv.Need(t, "slapd")
	s := newSite(t)
	_, keys := vectors(t)
	server := testenv.StartSlapdWith(t, entries(s.newMember(1, keys["A"])), testenv.SlapdSetup{
		Certificate: testenv.NewCA(t).Issue(t, func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames, c.IPAddresses = "127.0.0.1", nil, nil
		}),
	})
	s.configure("enforce", startTLS(server, "24h"))
	_, stderr := s.keyreeve(statusError, "plan")
	for _, want := range []string{
		"keyreeve: read the registry: " + server.URL + `: StartTLS: the certificate of "CN=127.0.0.1" has no subjectAltName`,
		"keyreeve: hint: nothing was decided and nothing was changed; ", "the server needs a certificate whose subjectAltName has that name\n",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in %q", want, stderr)
		}
	}
}

func fingerprintOf(t *testing.T, line string) string {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return ssh.FingerprintSHA256(key)
}
