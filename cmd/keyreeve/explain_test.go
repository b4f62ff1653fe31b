package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// explain asks for a login's key; it gives the document and what was said on stderr.
func (s site) explain(status int, login string) (document, string) {
	s.t.Helper()
	stdout, stderr := s.keyreeve(status, "explain", "--format", "json", "--login", login)
	var d document
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		s.t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	return d, stderr
}

// only is what is said of the one user who has the key.
func (d document) only(t *testing.T) explained {
	t.Helper()
	if len(d.Users) != 1 || len(d.Users[0].Entries) != 1 {
		t.Fatalf("not one user with one entry: %+v", d)
	}
	return d.Users[0]
}

// A login by a key that the helpdesk has put into the directory leads to the helpdesk; and when somebody else has taken the key out, to him.
func TestExplainLogin(t *testing.T) {
	testenv.Need(t, "slapd")
	s := newSite(t)
	_, keys := vectors(t)
	ada, bob := s.newMember(1), s.newMember(2, keys["D"])
	const helpdesk = "cn=help\u202edesk,dc=example,dc=org"
	mallory := strings.Replace(entries(s.newMember(3, keys["E256"])), "uid: user003\n", "uid: user003\nuid: "+ada.name+"\n", 1) // her name as well
	server := testenv.StartSlapdWith(t, entries(ada, bob)+mallory+"dn: "+helpdesk+"\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\nuserPassword: let me\n",
		testenv.SlapdSetup{Access: "access to attrs=sshPublicKey by users write by * read\n"})
	change := func(how string, m member, key string) string {
		return fmt.Sprintf("dn: uid=%s,ou=people,dc=example,dc=org\nchangetype: modify\n%s: sshPublicKey\nsshPublicKey: %s\n", m.name, how, key)
	}
	s.configure("enforce", startTLS(server, "24h"))
	s.keyreeve(statusOK, "apply")
	server.ModifyAs(helpdesk, "let me", change("add", ada, keys["A"]+" \x1b[2Jada"))

	login := "ED25519 " + fingerprintOf(t, keys["A"])
	before := time.Now().Add(-time.Minute)
	d, _ := s.explain(statusOK, login)
	of := d.only(t)
	if !d.Found || !d.Reading.Live || d.Reading.Source != server.URL || of.User != ada.name || of.UID != ada.uid || of.Reason != "granted" || len(of.Records) != 1 {
		t.Errorf("registered: %+v", d)
	}
	if e := of.Entries[0]; e.DN != "uid="+ada.name+",ou=people,dc=example,dc=org" || e.Attribute != "sshPublicKey" || e.ModifiedBy != helpdesk ||
		e.CreatedBy == "" || e.CreatedBy == helpdesk || e.Modified == nil || e.Modified.Before(before) || e.Unknown != "" {
		t.Errorf("the entry is %+v", e)
	}
	text, _ := s.keyreeve(statusOK, "explain", "--login", login)
	if !strings.Contains(text, `  by cn=help\u202edesk,dc=example,dc=org`) || strings.ContainsAny(text, "\u202e\x1b") {
		t.Errorf("for a terminal:\n%q", text)
	}

	// Nothing was kept of that: it is apply who sees the key first.
	s.keyreeve(statusOK, "apply")
	server.Modify(change("delete", ada, keys["A"]+" \x1b[2Jada"))
	d, stderr := s.explain(statusAttention, login)
	if len(d.Users) != 1 || len(d.Users[0].Entries) != 2 {
		t.Fatalf("revoked: %+v", d)
	}
	of = d.Users[0]
	if d.Found || stderr != "" || of.Reason != "no-longer-registered" || len(of.Records) != 0 || of.FirstSeen == nil || of.GoneSince == nil || of.FirstSeen.After(*of.GoneSince) {
		t.Errorf("revoked: %+v, %q", d, stderr)
	}
	for _, e := range of.Entries {
		if e.ModifiedBy != server.RootDN || e.DN != "uid="+ada.name+",ou=people,dc=example,dc=org" && e.DN != "uid=user003,ou=people,dc=example,dc=org" {
			t.Errorf("it was taken out by %+v", e)
		}
	}
}

// A directory that is away, or that says nothing of who wrote, leaves what is known; and "nobody has it" is not said for it.
func TestExplainLoginWithoutDirectory(t *testing.T) {
	testenv.Need(t, "slapd")
	s := newSite(t)
	_, keys := vectors(t)
	ada, bob := s.newMember(1, keys["A"]), s.newMember(2, keys["A"], "restrict "+keys["A"])
	server := testenv.StartSlapdWith(t, entries(ada, bob), testenv.SlapdSetup{Access: "access to attrs=creatorsName,createTimestamp,modifiersName,modifyTimestamp by * none\n"})
	s.configure("enforce", ldapRegistry(server, server.LDAPI, "sasl_external: true", "24h"))
	s.keyreeve(statusOK, "apply")
	a, none := fingerprintOf(t, keys["A"]), fingerprintOf(t, keys["B"])

	d, _ := s.explain(statusOK, a)
	if len(d.Users) != 2 || d.Users[0].User != ada.name || d.Users[1].User != bob.name || len(d.Users[1].Records) != 2 || len(d.Users[1].Entries) != 1 {
		t.Fatalf("in two entries: %+v", d)
	}
	for _, of := range d.Users {
		if e := of.Entries[0]; !strings.Contains(e.Unknown, "does not say who wrote") || e.DN == "" || e.Created != nil || e.ModifiedBy != "" || of.FirstSeen == nil {
			t.Errorf("of a silent directory: %+v", of)
		}
	}
	s.explain(statusAttention, none)
	taken := d.Users[0].FirstSeen

	server.Stop()
	d, stderr := s.explain(statusOK, a)
	if d.Reading.Live || d.Reading.Error == "" || d.Reading.Read.After(time.Now().Add(-time.Millisecond)) || len(d.Users) != 2 || stderr != "" {
		t.Fatalf("without a directory: %+v, %q", d, stderr)
	}
	for _, of := range d.Users {
		if e := of.Entries[0]; of.Reason != "granted" || !strings.HasPrefix(e.Unknown, "who wrote the entry is not known: "+server.LDAPI) || !of.FirstSeen.Equal(*taken) {
			t.Errorf("without a directory: %+v", of)
		}
	}
	d, stderr = s.explain(statusError, none)
	if len(d.Users) != 0 || d.Found || !strings.HasPrefix(stderr, "keyreeve: whether anybody has the key now is not known: read the registry: "+server.LDAPI) {
		t.Errorf("of a key that it did not have: %+v, %q", d, stderr)
	}
	if err := os.WriteFile(s.path("state", "registry", "ledger"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := s.keyreeve(statusError, "explain", "--login", none); out != "" {
		t.Errorf("without a ledger that can be read: %s", out)
	}
}

// A daemon, which has the ledger's lock as long as it runs, and the question do not stand in each other's way.
func TestExplainLoginBesideDaemon(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	ada := s.newMember(1, keys["A"])
	ada.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	s.put("registry.ldif", entries(ada))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	ada.loses(t, "authorized_keys", keys["B"])
	got, _ := s.explain(statusOK, fingerprintOf(t, keys["A"]))
	if of := got.only(t); of.Reason != "granted" || of.Entries[0].File != s.path("registry.ldif") || of.Entries[0].Line != 1 {
		t.Errorf("%+v", got)
	}
	ada.append(t, "authorized_keys", keys["B"]+" again\n")
	ada.loses(t, "authorized_keys", keys["B"])
	got, _ = s.explain(statusAttention, fingerprintOf(t, keys["B"]))
	if len(got.Users) != 0 || len(got.Trail) != 2 || got.Trail[0].User != ada.name || got.Trail[0].Action != "remove-line" || got.TrailError != "" {
		t.Errorf("of a key that nobody registered: %+v", got)
	}
	d.stop()
}

// What a real sshd logs of a login is enough, by either hash, and of a certificate too: it names the key that was certified.
func TestExplainWhatSSHDLogs(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	s := newSite(t)
	file, key := testenv.NewKey(t)
	authority, ca := testenv.NewKey(t)
	ada := guest(t, key)
	s.put("registry.ldif", entries(ada))
	s.configure("report", s.ldifRegistry())
	ada.does(t, "mkdir .ssh", "")
	if err := os.WriteFile(file+".pub", []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for hash, config := range map[string]string{"SHA256:": "", "MD5:": "FingerprintHash md5\n"} {
		server := testenv.StartSSHD(t, config)
		ada.does(t, "cat >.ssh/authorized_keys", key+"\n")
		if err := server.Login(ada.name, file); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("ssh-keygen", "-q", "-s", authority, "-I", "SHA256:x, CA", "-n", ada.name, file+".pub").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		ada.does(t, "cat >.ssh/authorized_keys", "cert-authority "+ca+"\n")
		if err := server.Login(ada.name, file); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file + "-cert.pub"); err != nil {
			t.Fatal(err)
		}
		logged := regexp.MustCompile(`Accepted publickey for `+ada.name+` from \S+ port \d+ ssh2: (ED25519\S*) (.*)`).FindAllStringSubmatch(strings.ReplaceAll(server.Log(t), "\r", ""), -1)
		if len(logged) != 2 || logged[0][1] != "ED25519" || logged[1][1] != "ED25519-CERT" || !strings.HasPrefix(logged[1][2], hash) {
			t.Fatalf("sshd logged %q", logged)
		}
		for _, of := range logged {
			d, _ := s.explain(statusOK, of[1]+" "+of[2])
			if got := d.only(t); got.User != ada.name || !strings.HasPrefix(d.Asked, hash) || got.Fingerprint != fingerprintOf(t, key) {
				t.Errorf("%q: %+v", of, d)
			}
		}
	}
}

// While the registry cannot be read, a key that only its last reading did not have is told as the daemon has it: held, and not as gone for sure.
func TestExplainLoginOfAHeldKey(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	ada := s.newMember(1, keys["A"], keys["B"])
	ada.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	s.put("registry.ldif", entries(ada))
	s.configure("report", s.ldifRegistry())
	d := s.start()
	d.await("registry read", 1)
	ada.keys = ada.keys[:1]
	s.put("registry.ldif", entries(ada))
	d.await("registry read", 2)
	d.stop()
	if err := os.Remove(s.path("registry.ldif")); err != nil {
		t.Fatal(err)
	}
	got, _ := s.explain(statusError, fingerprintOf(t, keys["B"]))
	if len(got.Users) != 1 || got.Found || got.Users[0].Reason != "held" || got.Users[0].GoneSince == nil || !got.Users[0].FirstSeen.Before(time.Now()) {
		t.Errorf("%+v", got)
	}
}
