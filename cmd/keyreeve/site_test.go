package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// TestMain makes the test binary the program too: a child process that is started under the name keyreeve is keyreeve. It is the
// attacker's process and a holder as well.
func TestMain(m *testing.M) {
	if status, child := testenv.Child(); child {
		os.Exit(status)
	}
	testscript.Main(m, map[string]func(){
		"keyreeve": main, "holder": hold, "seizer": func() { force(func(h enforcer.Homes) enforcer.Homes { return seizing{h} }) },
		"renewer": func() { force(func(h enforcer.Homes) enforcer.Homes { return &renewing{Homes: h} }) },
	})
}

// patience bounds the waiting for a condition that should hold at once.
const patience = 20 * time.Second

// site is a keyreeve installation in a folder of the test: configuration, registry, homes and all that keyreeve keeps.
type site struct {
	t   *testing.T
	dir string
}

// newSite makes an empty site in which every user may search, as on a real system; t.TempDir is for its owner alone.
func newSite(t *testing.T) site {
	t.Helper()
	dir, err := os.MkdirTemp("", "keyreeve-site-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return site{t, dir}
}

func (s site) path(name ...string) string { return filepath.Join(s.dir, filepath.Join(name...)) }

// put replaces a file by rename, as an administrator's tools do.
func (s site) put(name, text string) {
	s.t.Helper()
	path := s.path(name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// configure writes the configuration. Sweeps are an hour away, so that whatever happens during a test is the answer to an
// event.
func (s site) configure(mode, registry string) {
	s.t.Helper()
	s.put("keyreeve.yaml", fmt.Sprintf(`mode: %s
registry: %s
homes: {min_uid: 1, sweep: 1h, fast_check: 0s, sshd: {configs: []}}
state_dir: %[3]s/state
runtime_dir: %[3]s/run
audit: {file: %[3]s/log/audit.jsonl}
`, mode, registry, s.dir))
}

// ldifRegistry is the registry part of a configuration that reads registry.ldif, once and when it changes.
func (s site) ldifRegistry() string {
	return fmt.Sprintf("{source: ldif, ldif: {path: %s}, refresh: 24h}", s.path("registry.ldif"))
}

// member is one user of a registry.
type member struct {
	name     string
	uid, gid int
	home     string
	keys     []string
}

// entries writes users as LDIF that slapd takes as well.
func entries(members ...member) string {
	var b strings.Builder
	for _, m := range members {
		fmt.Fprintf(&b, `dn: uid=%[1]s,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: posixAccount
objectClass: ldapPublicKey
cn: %[1]s
sn: %[1]s
uid: %[1]s
uidNumber: %[2]d
gidNumber: %[3]d
homeDirectory: %[4]s
`, m.name, m.uid, m.gid, m.home)
		for _, key := range m.keys {
			fmt.Fprintf(&b, "sshPublicKey: %s\n", key)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// newMember makes a home with an empty .ssh below the site. Root gives each user a uid of his own that no account has; anybody
// else owns all of them.
func (s site) newMember(n int, keys ...string) member {
	s.t.Helper()
	name := fmt.Sprintf("user%03d", n)
	m := member{name: name, uid: os.Geteuid(), gid: os.Getegid(), home: s.path("home", name), keys: keys}
	if m.uid == 0 {
		m.uid, m.gid = 60000+n, 60000+n
	}
	for dir, mode := range map[string]os.FileMode{m.home: 0o755, m.file(""): 0o700} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, mode)); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Chown(dir, m.uid, m.gid); err != nil {
			s.t.Fatal(err)
		}
	}
	return m
}

// file is the path of one of the member's key files.
func (m member) file(name string) string { return filepath.Join(m.home, ".ssh", name) }

// write writes a new key file of the member.
func (m member) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(m.file(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(m.file(name), m.uid, m.gid); err != nil {
		t.Fatal(err)
	}
}

// read returns the text of a key file; none is as good as an empty one.
func (m member) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(m.file(name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

// keyreeve runs the program to its end and returns what it printed.
func (s site) keyreeve(status int, arguments ...string) (stdout, stderr string) {
	s.t.Helper()
	cmd := exec.Command("keyreeve", append(arguments, "--config", s.path("keyreeve.yaml"))...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		s.t.Fatalf("keyreeve %v: status %d, want %d\n%s%s", arguments, got, status, &out, &said)
	}
	return out.String(), said.String()
}
