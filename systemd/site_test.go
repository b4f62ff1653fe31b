package systemd_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// service is what most of the tests are about.
const service = "keyreeve.service"

// The places of the booted system that tests write to.
const (
	configPath   = "/etc/keyreeve/keyreeve.yaml"
	passwordPath = "/etc/keyreeve/ldap-password"
	reader       = "cn=reader," + testenv.SlapdBase
	password     = "correct horse"
)

// directoryConf is slapd.conf(5) of the booted system.
const directoryConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
include /srv/slapd/openssh-lpk.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload syncprov
TLSCACertificateFile /etc/keyreeve/ca.pem
TLSCertificateFile /srv/slapd/cert.pem
TLSCertificateKeyFile /srv/slapd/key.pem
database mdb
suffix "` + testenv.SlapdBase + `"
directory /srv/slapd/data
dbnosync
rootdn "cn=admin,` + testenv.SlapdBase + `"
rootpw "` + password + `"
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="` + reader + `" read by * none
limits dn.exact="` + reader + `" size=unlimited
index entryCSN,entryUUID eq
overlay syncprov
`

// directoryTop holds the entries above the users, and who may read them.
const directoryTop = `dn: ` + testenv.SlapdBase + `
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ` + testenv.SlapdPeople + `
objectClass: organizationalUnit
ou: people

dn: ` + reader + `
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: ` + password + `

`

const sshdConfig = `Include /etc/ssh/sshd_config.d/*.conf
UsePAM yes
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel VERBOSE
`

// site is a booted system with a directory, an sshd, and users with a registered key each.
type site struct {
	*testenv.Systemd

	t     *testing.T
	users []user
}

// user is one of the site's. His private keys are files of the system's.
type user struct {
	uid        int
	name, home string
	key        string // registered
	keyFile    string
}

// newSite boots a system of so many users, with keyreeve installed and configured to enforce, and not started.
func newSite(t *testing.T, users int) *site {
	t.Helper()
	testenv.Need(t, "root", "systemd", "sshd", "slapd", "packages")
	t.Parallel() // each waits for its own system most of the time
	s := &site{Systemd: testenv.StartSystemd(t), t: t}
	var entries strings.Builder
	for i := range users {
		u := user{uid: 20000 + i, name: fmt.Sprintf("user%d", i), home: fmt.Sprintf("/home/user%d", i), keyFile: fmt.Sprintf("/root/user%d", i)}
		private, public := testenv.NewKey(t)
		text, err := os.ReadFile(private)
		if err != nil {
			t.Fatal(err)
		}
		s.Put(u.keyFile, 0o600, string(text))
		u.key = public
		s.users = append(s.users, u)
		fmt.Fprintf(&entries, "dn: uid=%s,%s\nobjectClass: account\nobjectClass: posixAccount\nobjectClass: ldapPublicKey\nuid: %[1]s\ncn: %[1]s\n"+
			"uidNumber: %[3]d\ngidNumber: %[3]d\nhomeDirectory: %[4]s\nsshPublicKey: %[5]s\n\n", u.name, testenv.SlapdPeople, u.uid, u.home, u.key)
	}
	s.addUsers()
	s.startDirectory(directoryTop + entries.String())
	s.Put("/etc/ssh/sshd_config", 0o644, sshdConfig)
	s.Run("ssh-keygen", "-A")
	s.Run("systemctl", "start", "systemd-user-sessions", "ssh") // the first one lets users in (pam_nologin(8))
	s.install("1.0.0")
	s.Put(passwordPath, 0o600, password)
	for _, unit := range units {
		s.Run("install", "-D", "-m", "0644", "/usr/share/doc/keyreeve/examples/keyreeve.service.d/password.conf", "/etc/systemd/system/"+unit+".d/password.conf")
	}
	s.Run("systemctl", "daemon-reload")
	s.configure("enforce", "")
	return s
}

// addUsers makes the accounts, homes included. Nobody can give "*" as a password, and the accounts are not locked.
func (s *site) addUsers() {
	s.t.Helper()
	var passwd, group, shadow strings.Builder
	for _, u := range s.users {
		fmt.Fprintf(&passwd, "%s:x:%d:%[2]d::%s:/bin/sh\n", u.name, u.uid, u.home)
		fmt.Fprintf(&group, "%s:x:%d:\n", u.name, u.uid)
		fmt.Fprintf(&shadow, "%s:*:20000:0:99999:7:::\n", u.name)
		home := s.Path(u.home)
		err := errors.Join(os.Mkdir(home, 0o755), os.Mkdir(home+"/.ssh", 0o700))
		if err = errors.Join(err, os.Chown(home, u.uid, u.uid), os.Chown(home+"/.ssh", u.uid, u.uid)); err != nil {
			s.t.Fatal(err)
		}
	}
	for path, lines := range map[string]string{"/etc/passwd": passwd.String(), "/etc/group": group.String(), "/etc/shadow": shadow.String()} {
		file, err := os.OpenFile(s.Path(path), os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteString(lines)
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// startDirectory serves entries.
func (s *site) startDirectory(entries string) {
	s.t.Helper()
	schema, err := os.ReadFile("../internal/testenv/openssh-lpk.schema")
	certificate := testenv.NewCertificate(s.t)
	read := func(path string) string {
		text, wrong := os.ReadFile(path)
		err = errors.Join(err, wrong)
		return string(text)
	}
	s.Put("/etc/keyreeve/ca.pem", 0o644, read(certificate.CAFile))
	s.Put("/srv/slapd/cert.pem", 0o644, read(certificate.CertFile))
	s.Put("/srv/slapd/key.pem", 0o600, read(certificate.KeyFile))
	if err != nil {
		s.t.Fatal(err)
	}
	s.Put("/srv/slapd/openssh-lpk.schema", 0o644, string(schema))
	s.Put("/srv/slapd/slapd.conf", 0o600, directoryConf)
	s.Put("/srv/slapd/entries.ldif", 0o600, entries)
	s.Run("mkdir", "/srv/slapd/data")
	s.Run("slapadd", "-q", "-f", "/srv/slapd/slapd.conf", "-l", "/srv/slapd/entries.ldif")
	s.Run("systemd-run", "--unit", "slapd-test", "slapd", "-d", "none", "-f", "/srv/slapd/slapd.conf", "-h", "ldaps://127.0.0.1/")
	s.Await(func() error {
		out, err := s.ldap("ldapwhoami").CombinedOutput()
		if err != nil {
			return fmt.Errorf("slapd: %w: %s", err, out)
		}
		return nil
	})
}

// ldap is one of OpenLDAP's clients, as the administrator of the directory.
func (s *site) ldap(program string) *exec.Cmd {
	return s.Command("env", "LDAPTLS_CACERT=/etc/keyreeve/ca.pem", program, "-x", "-H", "ldaps://127.0.0.1/", "-D", "cn=admin,"+testenv.SlapdBase, "-w", password)
}

// modify applies change records.
func (s *site) modify(ldif string) {
	s.t.Helper()
	cmd := s.ldap("ldapmodify")
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("ldapmodify: %v: %s", err, out)
	}
}

// install has dpkg install the package of a version.
func (s *site) install(version string) {
	s.t.Helper()
	s.Put("/root/keyreeve.deb", 0o644, string(makePackage(s.t, version)))
	s.Run("dpkg", "--force-confold", "--install", "/root/keyreeve.deb")
}

// configure writes the configuration, with more lines behind it.
func (s *site) configure(mode, extra string) {
	s.t.Helper()
	s.Put(configPath, 0o644, fmt.Sprintf(`mode: %s
registry:
  source: ldap
  ldap:
    urls: [ldaps://127.0.0.1]
    base: %s
    ca_file: /etc/keyreeve/ca.pem
    bind_dn: %s
    password_file: $CREDENTIALS_DIRECTORY/ldap-password
%s`, mode, testenv.SlapdPeople, reader, extra))
}

func (u user) file() string { return u.home + "/.ssh/authorized_keys" }

// plant writes a user's file as he would.
func (s *site) plant(u user, text string) {
	s.t.Helper()
	cmd := s.Command("runuser", "-u", u.name, "--", "tee", u.file())
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("write as %s: %v\n%s", u.name, err, out)
	}
}

// becomes waits until a user's file holds this.
func (s *site) becomes(u user, want string) {
	s.t.Helper()
	s.Await(func() error {
		text, err := os.ReadFile(s.Path(u.file()))
		if err == nil && string(text) != want {
			err = fmt.Errorf("the file of %s holds %q, want %q", u.name, text, want)
		}
		return err
	})
}

// login tries a key. Nil means that it let in, ErrRefused that sshd did not take it.
func (s *site) login(u user, keyFile string) error {
	return testenv.Refusal(s.Command("ssh", "-F", "none", "-i", keyFile, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", u.name+"@127.0.0.1", "true"))
}

// stranger makes a key that nobody has registered: its private file in the system, and its line.
func (s *site) stranger() (keyFile, line string) {
	s.t.Helper()
	private, public := testenv.NewKey(s.t)
	text, err := os.ReadFile(private)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Put("/root/stranger", 0o600, string(text))
	return "/root/stranger", public
}

// is waits until the service is in a state.
func (s *site) is(state string) {
	s.t.Helper()
	s.Await(func() error {
		if got := s.Property(service, "ActiveState"); got != state {
			return fmt.Errorf("the service is %s, want %s", got, state)
		}
		return nil
	})
}
