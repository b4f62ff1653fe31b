package packaging

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// system is a folder in which dpkg installs, with the package's own scripts.
type system struct {
	*testing.T
	root string
}

// dpkg runs dpkg in the folder, under strace if a file is to have what it does to files.
func (s system) dpkg(trace string, args ...string) (string, error) {
	args = append([]string{"dpkg", "--root=" + s.root, "--force-script-chrootless,depends,confold"}, args...)
	if trace != "" {
		args = append([]string{"strace", "-f", "-o", trace, "-s", "4096", "-e", "trace=/^(rename|unlink|link|rmdir)"}, args...)
	}
	return run("", []string{"DEBIAN_FRONTEND=noninteractive", "PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}, args[0], args[1:]...)
}

func (s system) must(args ...string) {
	s.Helper()
	if out, err := s.dpkg("", args...); err != nil {
		s.Fatalf("dpkg %v: %v\n%s", args, err, out)
	}
}

func (s system) put(path, text string) {
	s.Helper()
	must(s.T, "", nil, "mkdir", "-p", filepath.Dir(filepath.Join(s.root, path)))
	if err := os.WriteFile(filepath.Join(s.root, path), []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
}

func (s system) stat(path string) fs.FileInfo {
	s.Helper()
	info, err := os.Stat(filepath.Join(s.root, path))
	if err != nil {
		s.Fatal(err)
	}
	return info
}

const (
	configured = "/etc/keyreeve/keyreeve.yaml"
	answers    = "/var/lib/keyreeve-sshd"
	trail      = "/var/log/keyreeve/audit.jsonl"
	command    = "/usr/libexec/keyreeve/keyreeve-keys"
)

// life is that of a package: installed, upgraded while sshd asks it, kept while sshd asks it, removed, purged.
func life(b built) {
	t := b.T
	testenv.Need(t, "root", "strace")
	s := system{t, t.TempDir()}
	for _, path := range []string{"/var/lib/dpkg/status", "/var/lib/dpkg/updates/x", "/var/lib/dpkg/info/x", "/etc/passwd", "/etc/group"} {
		s.put(path, "")
	}
	must(t, "", nil, "rm", filepath.Join(s.root, "/var/lib/dpkg/updates/x"), filepath.Join(s.root, "/var/lib/dpkg/info/x"))

	s.must("-i", b.deb)
	if info := s.stat(answers); info.Mode() != fs.ModeDir|fs.ModeSetgid|0o750 {
		t.Errorf("%s is %v", answers, info.Mode())
	}
	if users := string(read(t, filepath.Join(s.root, "etc/passwd"))); !strings.Contains(users, "_keyreeve:") {
		t.Errorf("the users are\n%s", users)
	}

	next := newer(t, b)
	s.put(configured, "mode: enforce\n")
	s.put(trail, "{}\n")
	before := s.stat(command)
	trace := filepath.Join(t.TempDir(), "trace")
	if out, err := s.dpkg(trace, "-i", next); err != nil {
		t.Fatalf("upgrade: %v\n%s", err, out)
	}
	if after := s.stat(command); os.SameFile(before, after) {
		t.Errorf("the upgrade left the old %s", command)
	}
	neverAway(t, s.root, string(read(t, trace)))
	if got := string(read(t, filepath.Join(s.root, configured))); got != "mode: enforce\n" {
		t.Errorf("after the upgrade the configuration is\n%s", got)
	}

	for path, text := range map[string]string{
		"/etc/ssh/sshd_config.d/10-keyreeve.conf": "AuthorizedKeysCommand " + command + " -- %u\n",
		"/etc/ssh/sshd_config":                    "RevokedKeys " + answers + "/revoked.krl\n",
		"/etc/pam.d/sshd":                         "session requisite pam_exec.so quiet " + command + " --pam # the gate\n",
	} {
		s.put(path, text)
		if out, err := s.dpkg("", "-r", "keyreeve"); err == nil || !strings.Contains(out, s.root+path) {
			t.Errorf("with %s the package goes, or does not say why not: %v\n%s", path, err, out)
		}
		s.stat(command)
		s.put(path, "# "+text)
	}
	s.put(answers+"/keys.cdb", "")
	s.put(answers+"/.spare-keys.cdb", "")
	s.put("/var/lib/keyreeve/quarantine/alice/1", "")
	s.must("-r", "keyreeve")
	s.stat(configured)
	s.stat(answers + "/keys.cdb")
	s.put("/etc/ssh/sshd_config", "RevokedKeys "+answers+"/revoked.krl\n") // since then
	s.put(answers+"/revoked.krl", "")
	s.must("-P", "keyreeve")
	for _, stays := range []string{trail, "/var/lib/keyreeve/quarantine/alice/1", answers + "/revoked.krl"} {
		s.stat(stays)
	}
	for _, gone := range []string{command, "/usr/bin/keyreeve", "/etc/keyreeve", answers + "/keys.cdb", answers + "/.spare-keys.cdb"} {
		if _, err := os.Stat(filepath.Join(s.root, gone)); err == nil {
			t.Errorf("purged, and there is still %s", gone)
		}
	}
}

// newer is a package of a later version, in which the example of the configuration has changed.
func newer(t *testing.T, b built) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "next")
	must(t, "", nil, "cp", "-a", b.tree, dir)
	must(t, dir, []string{"VERSION=2.0.0", "FORMATS=deb"}, "sh", "-c", "echo '# new' >>configs/keyreeve.yaml; packaging/build")
	return only(t, dir, "dist/*.deb")
}

// neverAway looks at what dpkg did to the program that sshd runs: its name, and those of the folders above it, always led to a program, the old
// one or the new one, since a rename puts the one in the place of the other.
func neverAway(t *testing.T, root, trace string) {
	t.Helper()
	path := regexp.QuoteMeta(root)
	over := regexp.MustCompile(`rename\w*\((?:AT_FDCWD, )?"` + path + command + `\.dpkg-new", (?:AT_FDCWD, )?"` + path + command + `"`)
	if n := len(over.FindAllString(trace, -1)); n != 1 {
		t.Errorf("the new program was put in the place of the old one %d times", n)
	}
	away := regexp.MustCompile(`.*(?:rename\w*|unlink\w*|rmdir)\((?:AT_FDCWD, )?"` + path + `/usr/(?:libexec|libexec/keyreeve|libexec/keyreeve/keyreeve-keys)/?".*= 0`)
	if found := away.FindAllString(trace, -1); len(found) > 0 {
		t.Errorf("the program was away:\n%s", strings.Join(found, "\n"))
	}
}

// rpm calls the same scripts with numbers, and has no purge: the program is not taken from an sshd that asks it, and nothing else is touched.
func TestScriptsByRPM(t *testing.T) {
	testenv.Need(t, "root", "packages")
	for _, c := range []struct {
		script, arg string
		asks, fails bool
	}{
		{"prerm", "0", true, true}, // removal
		{"prerm", "0", false, false},
		{"prerm", "1", true, false}, // upgrade
		{"postrm", "0", false, false},
		{"postrm", "1", true, false},
	} {
		s := system{t, t.TempDir()}
		s.put(answers+"/keys.cdb", "")
		if c.asks {
			s.put("/etc/ssh/sshd_config", "Match User *\n\tAuthorizedKeysCommand "+command+" -- %u\n")
		}
		out, err := run("", []string{"DPKG_ROOT=" + s.root}, "./"+c.script, c.arg)
		if (err != nil) != c.fails || c.fails != strings.Contains(out, s.root+"/etc/ssh/sshd_config") {
			t.Errorf("%+v: %v\n%s", c, err, out)
		}
		s.stat(answers + "/keys.cdb")
	}
}

// authselect keeps the stacks of PAM elsewhere, behind links, and distributions ship their own below /usr: whatever sshd gets to is looked at, and a FIFO
// is waited for in none of them.
func TestStacksBehindLinks(t *testing.T) {
	testenv.Need(t, "root", "packages")
	for at, link := range map[string]string{
		"/etc/authselect/password-auth": "/etc/pam.d/password-auth",
		"/opt/centre/sshd.conf":         "/etc/ssh/sshd_config.d/centre.conf",
		"/usr/lib/pam.d/sshd":           "",
		"/usr/etc/ssh/sshd_config":      "",
		"/etc/pam.conf":                 "",
	} {
		s := system{t, t.TempDir()}
		s.put("/etc/pam.d/other", "# nothing\n")
		s.put("/etc/ssh/sshd_config.d/other.conf", "# nothing\n")
		must(t, "", nil, "mkfifo", s.root+"/fifo")
		must(t, "", nil, "ln", "-s", s.root+"/fifo", s.root+"/etc/pam.d/fifo")
		if out, err := run("", []string{"DPKG_ROOT=" + s.root}, "timeout", "20", "./prerm", "remove"); err != nil {
			t.Fatalf("%s: %v\n%s", at, err, out)
		}
		if _, err := run("", []string{"DPKG_ROOT=" + s.root, "PATH=/nowhere"}, "./prerm", "remove"); err == nil {
			t.Fatalf("%s: where nothing could be looked at the package goes", at)
		}
		s.put(at, "session requisite pam_exec.so quiet "+command+" --pam\n")
		if link != "" {
			must(t, "", nil, "ln", "-s", s.root+at, s.root+link)
		}
		if out, err := run("", []string{"DPKG_ROOT=" + s.root}, "timeout", "20", "./prerm", "remove"); err == nil || !strings.Contains(out, s.root+cmp.Or(link, at)) {
			t.Errorf("with %s the package goes, or does not say why not: %v\n%s", at, err, out)
		}
	}
}
