package testenv

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// dirsrvTemplates is where 389 Directory Server keeps what its own installer (dscreate) fills in.
const dirsrvTemplates = "/usr/share/dirsrv/data"

// Dirsrv is a 389 Directory Server of a test: one database, on a socket alone, that is read and not written. Nobody may read what no ACI
// of its entries allows.
type Dirsrv struct {
	// LDAPI is its socket.
	LDAPI string
	// PasswordFile holds DirsrvPassword (mode 0600, no newline).
	PasswordFile string

	tb  testing.TB
	dir string
}

// DirsrvPassword may be the userPassword of entries.
const DirsrvPassword = "correct horse"

// StartDirsrv serves the entries of SlapdBase and below until the test ends. It needs the part "dirsrv".
//
// The server is set up from its own templates: dscreate does no more, but works in the folders of the system.
func StartDirsrv(tb testing.TB, entriesLDIF string) *Dirsrv {
	tb.Helper()
	Need(tb, "dirsrv")
	dir := socketDir(tb)
	s := &Dirsrv{
		LDAPI:        "ldapi://" + url.PathEscape(filepath.Join(dir, "ldapi")),
		PasswordFile: putFile(tb, dir, "password", []byte(DirsrvPassword)),
		tb:           tb,
		dir:          dir,
	}
	s.configure()
	runProgram(tb, "ns-slapd", "ldif2db", "-D", dir, "-n", "userRoot", "-i", putFile(tb, dir, "entries", []byte(entriesLDIF)))
	s.start()
	return s
}

// configure writes dse.ldif.
func (s *Dirsrv) configure() {
	s.tb.Helper()
	whose, err := user.Current()
	if err != nil {
		s.tb.Fatal(err)
	}
	// Beside dse.ldif it wants a folder for the site's own schema, with a file in it.
	schema := filepath.Join(s.dir, "schema")
	if err := os.Mkdir(schema, 0o700); err != nil {
		s.tb.Fatal(err)
	}
	putFile(s.tb, schema, "99user.ldif", []byte("dn: cn=schema\nobjectClass: top\nobjectClass: ldapSubentry\nobjectClass: subschema\ncn: schema\n"))
	salt := []byte("no need of salt")
	digest := sha512.Sum512(append([]byte(DirsrvPassword), salt...))
	words := map[string]string{
		"ds_passwd": "{SSHA512}" + base64.StdEncoding.EncodeToString(append(digest[:], salt...)), // no clear text is taken here
		"ds_port":   "0", "ds_user": whose.Username, "fqdn": "localhost", "rootdn": "cn=admin," + SlapdBase,
		"ldapi_enabled": "on", "ldapi": filepath.Join(s.dir, "ldapi"), "ldapi_autobind": "off",
		"ds_bename": "userRoot", "ds_suffix": SlapdBase, "schema_dir": schema,
	}
	word := regexp.MustCompile(`%\w+%`)
	var conf strings.Builder
	for _, name := range []string{"template-dse-minimal.ldif", "template-suffix-db.ldif"} {
		text, err := os.ReadFile(filepath.Join(dirsrvTemplates, name)) //nolint:gosec // a file of the package
		if err != nil {
			s.tb.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			conf.WriteString(word.ReplaceAllStringFunc(line, func(found string) string {
				if value, known := words[strings.Trim(found, "%")]; known {
					return value
				}
				dir := filepath.Join(s.dir, strings.Trim(found, "%")) // all others are folders
				if err := os.MkdirAll(dir, 0o700); err != nil {
					s.tb.Fatal(err)
				}
				return dir
			}))
		}
		conf.WriteString("\n")
	}
	putFile(s.tb, s.dir, "dse.ldif", regexp.MustCompile(`\n{3,}`).ReplaceAll([]byte(conf.String()), []byte("\n\n")))
}

// start returns when the server answers.
func (s *Dirsrv) start() {
	s.tb.Helper()
	path, err := Program("ns-slapd")
	if err != nil {
		s.tb.Fatal(err)
	}
	log, ended := new(bytes.Buffer), make(chan struct{})
	process := exec.Command(path, "-D", s.dir, "-i", filepath.Join(s.dir, "pid"), "-d", "0") //nolint:gosec,noctx // it ends with the test
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		s.tb.Fatal(err)
	}
	go func() {
		_ = process.Wait() // how it ended shows in its log
		close(ended)
	}()
	s.tb.Cleanup(func() {
		_ = process.Process.Kill() // its data goes as well
		<-ended
	})
	for end := time.Now().Add(slapdPatience); ; {
		conn, err := net.Dial("unix", filepath.Join(s.dir, "ldapi")) //nolint:noctx // a socket of this host answers at once
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ended:
			s.tb.Fatalf("ns-slapd ended before it answered:\n%s", log)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			s.tb.Fatalf("ns-slapd does not answer: %v", err)
		}
	}
}
