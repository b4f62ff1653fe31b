package testenv_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

const alice = `version: 1

dn: uid=alice,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: posixAccount
objectClass: ldapPublicKey
uid: alice
cn: Alice
sn: A
uidNumber: 3001
gidNumber: 3001
homeDirectory: /home/alice
sshPublicKey: first
`

// ldapsearch returns what the real client prints, with all the ways into the server.
func ldapsearch(t *testing.T, s *testenv.Slapd, arguments ...string) string {
	t.Helper()
	path, err := exec.LookPath("ldapsearch")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"-LLL", "-b", s.Base}, arguments...)...)
	cmd.Env = append(cmd.Environ(), "LDAPTLS_CACERT="+s.CAFile)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ldapsearch %v: %v\n%s", arguments, err, out)
	}
	return string(out)
}

func TestSlapd(t *testing.T) {
	s := testenv.StartSlapd(t, alice)
	s.Modify("dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: modify\nadd: sshPublicKey\nsshPublicKey: second\n")
	for name, arguments := range map[string][]string{
		"StartTLS": {"-ZZ", "-H", s.URL, "-x", "-D", s.RootDN, "-y", s.PasswordFile},
		"LDAPS":    {"-H", s.LDAPS, "-x", "-D", s.RootDN, "-y", s.PasswordFile},
		"EXTERNAL": {"-H", s.LDAPI, "-Q", "-Y", "EXTERNAL"},
	} {
		out := ldapsearch(t, s, append(arguments, "(uid=alice)", "sshPublicKey")...)
		for _, want := range []string{"sshPublicKey: first\n", "sshPublicKey: second\n"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in %q", name, want, out)
			}
		}
	}
	s.Stop()
	if conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "ldap://")); err == nil {
		conn.Close()
		t.Error("slapd still accepts connections after Stop")
	}
	s.Start()
	if out := ldapsearch(t, s, "-H", s.LDAPI, "-Q", "-Y", "EXTERNAL", "(uid=alice)"); !strings.Contains(out, "second") {
		t.Errorf("after Start: %q", out)
	}
}
