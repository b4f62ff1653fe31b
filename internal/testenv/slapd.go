package testenv

import (
	"bytes"
	_ "embed" // the openssh-lpk schema
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Names of the directory that StartSlapd serves.
const (
	// SlapdBase is the suffix of the directory.
	SlapdBase = "dc=example,dc=org"
	// SlapdPeople holds the users.
	SlapdPeople = "ou=people," + SlapdBase
	// slapdReader is who a client of the ldapi socket becomes by SASL EXTERNAL.
	slapdReader = "cn=reader," + SlapdBase
)

// slapdPatience bounds the waiting for slapd to answer or to end.
const slapdPatience = 20 * time.Second

// slapdTop holds the entries above the users.
const slapdTop = `dn: ` + SlapdBase + `
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ` + SlapdPeople + `
objectClass: organizationalUnit
ou: people
`

//go:embed openssh-lpk.schema
var lpkSchema []byte

// Slapd is a directory server of a test: OpenLDAP's slapd on loopback, with the schemas core, cosine, nis, inetorgperson
// and openssh-lpk, one back_mdb database, and ppolicy without a policy, for its attributes. Anonymous clients may bind and use StartTLS but read nothing.
type Slapd struct {
	// URL is ldap://127.0.0.1:port, for StartTLS; LDAPS and LDAPI are the other two doors.
	URL, LDAPS, LDAPI string
	// CAFile verifies the server's certificate for 127.0.0.1.
	CAFile string
	// RootDN may read and write everything with the password in PasswordFile (mode 0600, no newline).
	RootDN, PasswordFile string
	// Base is SlapdBase.
	Base string

	setup   SlapdSetup
	tb      testing.TB
	dir     string // short: a unix socket's path has at most 107 bytes
	process *exec.Cmd
	ended   chan struct{} // closed when process has ended
	log     *bytes.Buffer // of process; read it after ended
}

// StartSlapd fills a directory with entriesLDIF and serves it until the test ends. The entries of SlapdBase and
// SlapdPeople are made where entriesLDIF does not hold them. It needs the part "slapd".
//
// A client of LDAPI that binds by SASL EXTERNAL may read everything without limits, whoever runs it.
func StartSlapd(tb testing.TB, entriesLDIF string) *Slapd {
	tb.Helper()
	return StartSlapdWith(tb, entriesLDIF, SlapdSetup{})
}

// SlapdSetup is what StartSlapd does not do.
type SlapdSetup struct {
	// Certificate is the server's; the zero value is one of its own.
	Certificate Certificate
	// Global and Database are more lines of slapd.conf(5), before the database and in it; Access are "access to" lines of the
	// database that stand before the others, of which the first that fits counts.
	Global, Database, Access string
	// Readers are the DNs, by pattern of authz-regexp, that SASL gives to those who may read everything.
	Readers []string
	// Env is put into the environment of slapd.
	Env []string
	// Sync makes the server tell of changes (RFC 4533, slapo-syncprov(5)).
	Sync bool
}

// StartSlapdWith is StartSlapd with a setup of one's own.
func StartSlapdWith(tb testing.TB, entriesLDIF string, setup SlapdSetup) *Slapd {
	tb.Helper()
	Need(tb, "slapd")
	dir := socketDir(tb)
	certificate := setup.Certificate
	if certificate.CAFile == "" {
		certificate = NewCertificate(tb)
	}
	s := &Slapd{
		LDAPI:        "ldapi://" + url.PathEscape(filepath.Join(dir, "ldapi")),
		CAFile:       certificate.CAFile,
		RootDN:       "cn=admin," + SlapdBase,
		PasswordFile: putFile(tb, dir, "password", []byte("correct horse")),
		Base:         SlapdBase,
		setup:        setup,
		tb:           tb,
		dir:          dir,
	}
	s.configure(certificate)
	if !strings.Contains(entriesLDIF, "dn: "+SlapdBase+"\n") {
		s.load(slapdTop)
	}
	// slapadd takes a version line that stands apart for an entry without a name; RFC 2849 allows it.
	s.load(strings.TrimPrefix(entriesLDIF, "version: 1\n\n"))
	ports := freePorts(tb, 2)
	s.URL = fmt.Sprintf("ldap://127.0.0.1:%d", ports[0])
	s.LDAPS = fmt.Sprintf("ldaps://127.0.0.1:%d", ports[1])
	s.Start()
	tb.Cleanup(s.Stop)
	return s
}

// socketDir is a folder of the test whose path is short enough for a unix socket in it.
func socketDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "kr-ldap-") //nolint:usetesting // t.TempDir is too long
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil { //nolint:forbidigo // test folders are no state of the daemon
			tb.Error(err)
		}
	})
	return dir
}

// configure writes slapd.conf(5).
func (s *Slapd) configure(certificate Certificate) {
	s.tb.Helper()
	var conf strings.Builder
	for _, name := range []string{"core", "cosine", "nis", "inetorgperson"} {
		fmt.Fprintf(&conf, "include %s\n", s.find("schema/"+name+".schema", "/etc/ldap/", "/etc/openldap/"))
	}
	fmt.Fprintf(&conf, "include %s\n", putFile(s.tb, s.dir, "openssh-lpk.schema", lpkSchema))
	// Debian builds back_mdb as a module; elsewhere it is a part of slapd.
	for _, dir := range []string{"/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap"} {
		if _, err := os.Stat(dir + "/back_mdb.la"); err == nil {
			fmt.Fprintf(&conf, "modulepath %s\nmoduleload back_mdb\nmoduleload ppolicy\nmoduleload syncprov\n", dir)
		}
	}
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		s.tb.Fatal(err)
	}
	for _, pattern := range s.setup.Readers {
		fmt.Fprintf(&conf, "authz-regexp \"%s\" \"%s\"\n", pattern, slapdReader)
	}
	conf.WriteString(s.setup.Global)
	// [+] and not \+: inside quotes slapd.conf takes the backslash away.
	fmt.Fprintf(&conf, `
pidfile %[1]s/pid
argsfile %[1]s/args
TLSCACertificateFile %[2]s
TLSCertificateFile %[3]s
TLSCertificateKeyFile %[4]s
authz-regexp "gidNumber=[0-9]+[+]uidNumber=[0-9]+,cn=peercred,cn=external,cn=auth" "%[5]s"
threads 2

database mdb
suffix "%[6]s"
directory %[7]s
maxsize 268435456
dbnosync
rootdn "%[8]s"
rootpw "correct horse"
limits dn.exact="%[5]s" size=unlimited
access to attrs=userPassword by anonymous auth by * none
%[9]saccess to * by dn.exact="%[5]s" read by users read by * none
index objectClass,uid eq,pres
overlay ppolicy
`, s.dir, certificate.CAFile, certificate.CertFile, certificate.KeyFile, slapdReader, SlapdBase, data, s.RootDN, s.setup.Access)
	conf.WriteString(s.setup.Database)
	if s.setup.Sync {
		conf.WriteString("index entryCSN,entryUUID eq\noverlay syncprov\nsyncprov-sessionlog 1000\n")
	}
	putFile(s.tb, s.dir, "slapd.conf", []byte(conf.String()))
}

// find returns the first of the folders' files that is there.
func (s *Slapd) find(name string, folders ...string) string {
	s.tb.Helper()
	for _, folder := range folders {
		if _, err := os.Stat(folder + name); err == nil {
			return folder + name
		}
	}
	s.tb.Fatalf("none of %v holds %s", folders, name)
	return ""
}

// load adds entries to the database while slapd is not running.
func (s *Slapd) load(ldif string) {
	s.tb.Helper()
	s.run("slapadd", ldif, "-q", "-f", filepath.Join(s.dir, "slapd.conf"))
}

// run runs one of OpenLDAP's programs with text on its standard input.
func (s *Slapd) run(program, stdin string, arguments ...string) {
	s.tb.Helper()
	path, err := Program(program)
	if err != nil {
		s.tb.Fatal(err)
	}
	cmd := exec.Command(path, arguments...) //nolint:gosec,noctx // a test runs the programs it names, to their end
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.tb.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// Modify applies LDIF change records (ldapmodify(1)) as RootDN.
func (s *Slapd) Modify(ldif string) {
	s.tb.Helper()
	s.run("ldapmodify", ldif, "-x", "-H", s.LDAPI, "-D", s.RootDN, "-y", s.PasswordFile)
}

// ModifyAs is Modify as somebody else, who has a password.
func (s *Slapd) ModifyAs(dn, password, ldif string) {
	s.tb.Helper()
	s.run("ldapmodify", ldif, "-x", "-H", s.LDAPI, "-D", dn, "-w", password)
}

// Start serves the directory again, at the same addresses, after Stop.
func (s *Slapd) Start() {
	s.tb.Helper()
	path, err := Program("slapd")
	if err != nil {
		s.tb.Fatal(err)
	}
	s.log, s.ended = new(bytes.Buffer), make(chan struct{})
	// -d keeps slapd in the foreground, as a child that this process can wait for.
	s.process = exec.Command(path, "-d", "stats", "-f", filepath.Join(s.dir, "slapd.conf"), //nolint:gosec,noctx // it ends with Stop
		"-h", s.URL+"/ "+s.LDAPS+"/ "+s.LDAPI)
	s.process.Stderr, s.process.Env = s.log, append(os.Environ(), s.setup.Env...)
	if err := s.process.Start(); err != nil {
		s.tb.Fatal(err)
	}
	go func() {
		_ = s.process.Wait() // how it ended shows in its log
		close(s.ended)
	}()
	for _, address := range []string{s.URL, s.LDAPS, s.LDAPI} {
		s.await(address)
	}
}

// await returns when slapd accepts connections at an address.
func (s *Slapd) await(address string) {
	s.tb.Helper()
	network, target := "tcp", address[strings.LastIndex(address, "/")+1:]
	if address == s.LDAPI {
		network, target = "unix", s.socket()
	}
	for end := time.Now().Add(slapdPatience); ; {
		conn, err := net.Dial(network, target) //nolint:noctx // loopback answers at once
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-s.ended:
			s.tb.Fatalf("slapd ended before it served %s:\n%s", address, s.log)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			s.Stop()
			s.tb.Fatalf("slapd does not serve %s: %v\n%s", address, err, s.log)
		}
	}
}

// Stop ends slapd and returns when it has ended. A second Stop does nothing.
func (s *Slapd) Stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-s.ended:
	case <-time.After(slapdPatience):
		_ = s.process.Process.Kill()
		<-s.ended
	}
}

// Kill ends slapd as a crash does.
func (s *Slapd) Kill() {
	_ = s.process.Process.Kill() // it may have ended already
	<-s.ended
}

// freePorts finds loopback ports that nobody listens on now.
func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	ports := make([]int, n)
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed again at once
		if err != nil {
			tb.Fatal(err)
		}
		defer listener.Close() //nolint:errcheck // closed at the end, so that no two ports are the same
		address, ok := listener.Addr().(*net.TCPAddr)
		if !ok {
			tb.Fatalf("%v is no TCP address", listener.Addr())
		}
		ports[i] = address.Port
	}
	return ports
}
