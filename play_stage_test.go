package keyreeve_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// people is how many users the directory of a stage has: u01 to u20.
const people = 20

// stage is a centre in one booted system: a directory at ldap1.example.org, an sshd, users with homes, and keyreeve installed as its package does.
type stage struct {
	testing.TB
	*testenv.Systemd
	keys []string // by user; the first is that of nobody
}

func newStage(t *testing.T) *stage {
	t.Helper()
	bin := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/keyreeve", "./cmd/keyreeve-keys").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := &stage{TB: t, Systemd: testenv.StartSystemd(t)}
	s.install(bin)
	s.settle()
	s.open()
	return s
}

// file copies a file into the system.
func (s *stage) file(from, to string, mode os.FileMode) {
	s.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		s.Fatal(err)
	}
	s.Put(to, mode, string(text))
}

// install puts keyreeve where its unit and sshd's drop-in look for it.
func (s *stage) install(bin string) {
	s.Helper()
	for from, to := range map[string]string{
		filepath.Join(bin, "keyreeve"): "/usr/bin/keyreeve", filepath.Join(bin, "keyreeve-keys"): "/usr/libexec/keyreeve/keyreeve-keys",
	} {
		s.file(from, to, 0o755)
	}
	s.file("systemd/keyreeve.service", "/usr/lib/systemd/system/keyreeve.service", 0o644)
	s.file("systemd/keyreeve.sysusers", "/usr/lib/sysusers.d/keyreeve.conf", 0o644)
	s.file("systemd/keyreeve.tmpfiles", "/usr/lib/tmpfiles.d/keyreeve.conf", 0o644)
	// The play starts it more often in ten seconds than an administrator does.
	s.Put("/etc/systemd/system/keyreeve.service.d/play.conf", 0o644, "[Unit]\nStartLimitIntervalSec=0\n")
	s.Run("systemd-sysusers", "keyreeve.conf")
	s.Run("systemd-tmpfiles", "--create", "keyreeve.conf")
	s.Run("systemctl", "daemon-reload")
	s.Run("mount", "--make-rshared", "/") // as systemd leaves it on a machine; in what looks like a container it does not
}

// settle makes accounts with homes and keys, root's too, and an sshd that runs.
func (s *stage) settle() {
	s.Helper()
	s.Run("/bin/sh", "-euc", fmt.Sprintf(`
mkdir -p /root/keys /root/.ssh
for n in $(seq 0 %d); do ssh-keygen -q -t ed25519 -N '' -C "" -f /root/keys/$n; done
sed -i "s/ *$//" /root/keys/*.pub
cp /root/keys/0.pub /root/.ssh/authorized_keys
for n in $(seq 1 %[1]d); do
	u=u$(printf %%02d $n)
	echo "$u:x:$((20000 + n)):20000::/home/$u:/bin/sh" >>/etc/passwd
	mkdir -p /home/$u/.ssh
	cp /root/keys/$n.pub /home/$u/.ssh/authorized_keys
	chmod 700 /home/$u/.ssh
	chown -R $((20000 + n)):20000 /home/$u
done
echo people:x:20000: >>/etc/group
ssh-keygen -A
printf '127.0.0.1 localhost ldap1.example.org ldap2.example.org\n' >>/etc/hosts
printf 'Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n' >/etc/ssh/sshd_config
systemctl start ssh
`, people))
	for n := range people + 1 {
		s.keys = append(s.keys, strings.TrimSpace(s.Run("cat", fmt.Sprintf("/root/keys/%d.pub", n))))
	}
}

// user is the name of the n-th user.
func user(n int) string { return fmt.Sprintf("u%02d", n) }

// open starts the directory, with everybody's key.
func (s *stage) open() {
	s.Helper()
	ca := testenv.NewCA(s)
	certificate := ca.Issue(s, func(c *x509.Certificate) { c.DNSNames = []string{"ldap1.example.org"} })
	s.file(certificate.CertFile, "/etc/ldap/stage.crt", 0o644)
	s.file(certificate.KeyFile, "/etc/ldap/stage.key", 0o600)
	authority, err := os.ReadFile(ca.File)
	if err != nil {
		s.Fatal(err)
	}
	s.Put("/usr/local/share/stage-ca.crt", 0o644, string(authority))
	s.Run("/bin/sh", "-euc", "mkdir -p /etc/ssl/certs /var/lib/stage; cat /usr/local/share/stage-ca.crt >>/etc/ssl/certs/ca-certificates.crt")
	s.file("internal/testenv/openssh-lpk.schema", "/etc/ldap/schema/openssh-lpk.schema", 0o644)
	s.Put("/etc/ldap/stage.conf", 0o600, `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/openssh-lpk.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
TLSCertificateFile /etc/ldap/stage.crt
TLSCertificateKeyFile /etc/ldap/stage.key
sizelimit unlimited
database mdb
suffix dc=example,dc=org
directory /var/lib/stage
maxsize 16777216
rootdn cn=admin,dc=example,dc=org
rootpw secret
access to * by * read
overlay syncprov
`)
	var b strings.Builder
	b.WriteString("dn: dc=example,dc=org\nobjectClass: domain\ndc: example\n\ndn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\nou: people\n\n")
	for n := 1; n <= people; n++ {
		fmt.Fprintf(&b, "dn: uid=%[1]s,ou=people,dc=example,dc=org\nobjectClass: account\nobjectClass: posixAccount\nobjectClass: ldapPublicKey\ncn: %[1]s\nuid: %[1]s\n"+
			"uidNumber: %[2]d\ngidNumber: 20000\nhomeDirectory: /home/%[1]s\nsshPublicKey: %[3]s\n\n", user(n), 20000+n, s.keys[n])
	}
	s.Put("/etc/ldap/stage.ldif", 0o600, b.String())
	s.Run("slapadd", "-q", "-f", "/etc/ldap/stage.conf", "-l", "/etc/ldap/stage.ldif")
	s.Put("/etc/systemd/system/directory.service", 0o644, "[Service]\nExecStart=/usr/sbin/slapd -d 0 -f /etc/ldap/stage.conf -h ldaps://127.0.0.1:636\n")
	s.Run("systemctl", "daemon-reload")
	s.serve(true)
}

// serve starts the directory, and returns when it answers, or stops it.
func (s *stage) serve(on bool) {
	s.Helper()
	if !on {
		s.Run("systemctl", "stop", "directory")
		return
	}
	s.Run("systemctl", "start", "directory")
	s.Await(func() error {
		out, err := s.ldap("ldapsearch", "", "-LLL", "-b", "dc=example,dc=org", "-s", "base")
		if err != nil {
			return fmt.Errorf("the directory does not answer: %w: %s", err, out)
		}
		return nil
	})
}

func (s *stage) ldap(program, stdin string, arguments ...string) (string, error) {
	cmd := s.Command("env", append([]string{"LDAPTLS_CACERT=/usr/local/share/stage-ca.crt", program, "-x", "-H", "ldaps://ldap1.example.org"}, arguments...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// modify changes the keys of users in the directory: "add" gives them theirs, "delete" takes all.
func (s *stage) modify(how string, first, last int) {
	s.Helper()
	var b strings.Builder
	for n := first; n <= last; n++ {
		fmt.Fprintf(&b, "dn: uid=%s,ou=people,dc=example,dc=org\nchangetype: modify\n%s: sshPublicKey\n", user(n), how)
		if how == "add" {
			fmt.Fprintf(&b, "sshPublicKey: %s\n", s.keys[n])
		}
		b.WriteString("\n")
	}
	if out, err := s.ldap("ldapmodify", b.String(), "-D", "cn=admin,dc=example,dc=org", "-w", "secret"); err != nil {
		s.Fatalf("%v: %s", err, out)
	}
}

// has reports whether the file of a user holds a key.
func (s *stage) has(n int, key string) bool {
	s.Helper()
	text, err := os.ReadFile(s.Path("/home/" + user(n) + "/.ssh/authorized_keys"))
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	return strings.Contains(string(text), key)
}

// keeps waits until the file of a user holds a key, or does not.
func (s *stage) keeps(n int, key string, want bool) {
	s.Helper()
	s.Await(func() error {
		if s.has(n, key) != want {
			return fmt.Errorf("the file of %s has the key: %v", user(n), !want)
		}
		return nil
	})
}

// says waits until a command prints what a pattern wants, and returns the part in its brackets.
func (s *stage) says(pattern, program string, arguments ...string) (found string) {
	s.Helper()
	wanted := regexp.MustCompile(pattern)
	s.Await(func() error {
		out, _ := s.Command(program, arguments...).CombinedOutput() // its status says what was found
		match := wanted.FindStringSubmatch(string(out))
		if match == nil {
			return fmt.Errorf("%s %q does not say %s: %s", program, arguments, pattern, out)
		}
		found = match[len(match)-1]
		return nil
	})
	return found
}

// copyOf is the identifier of the newest copy of a user's file.
func (s *stage) copyOf(n int) (id string) {
	s.Helper()
	s.Await(func() error {
		out, err := s.Command("keyreeve", "quarantine", "list", "--user", user(n), "--format", "json").Output()
		if err != nil {
			return err
		}
		var list []struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(out, &list); err != nil || len(list) == 0 {
			return fmt.Errorf("no copy of %s: %w: %s", user(n), err, out)
		}
		id = list[len(list)-1].ID
		return nil
	})
	return id
}
