// Package packaging holds what the deb and the rpm are made of; it has no code but its tests, which build them as "make package" does.
package packaging

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// TestPackages builds the packages once and looks at them from all sides.
func TestPackages(t *testing.T) {
	testenv.Need(t, "packages")
	b := build(t, tree(t), "v1.2.3")
	for name, test := range map[string]func(built){
		"reproducible": reproducible, "lintian": lintian, "deb": contents, "rpm": sameInRPM, "manual": manualPages, "version": version, "sbom": bill,
		"bash": bash, "zsh": zsh, "fish": fish, "life": life,
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			test(b)
		})
	}
}

// built is a tree in which the packages were made.
type built struct {
	*testing.T
	tree, deb, rpm string
	// root is where the deb was unpacked, and is not installed.
	root string
}

// tree copies the source as it is now, changed files too, into a repository of its own, whose commit and tag are always the same.
func tree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keyreeve")
	must(t, "", nil, "mkdir", dir)
	must(t, "..", nil, "sh", "-c", `git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$0"`, dir)
	return dir
}

// must runs a program, in the folder if that exists, and gives its output.
func must(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, err := run(dir, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func run(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		cmd.Dir = dir
	}
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// build commits and tags the tree and makes its packages.
func build(t *testing.T, dir, tag string, env ...string) built {
	t.Helper()
	when := []string{
		"GIT_AUTHOR_DATE=2026-02-03T04:05:06Z", "GIT_COMMITTER_DATE=2026-02-03T04:05:06Z", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.org", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.org",
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "t"}, {"tag", tag}} {
		must(t, dir, when, "git", args...)
	}
	must(t, dir, append(env, "MAKEFLAGS="), "sh", "-c", "umask ${MASK:-022}; make package")
	b := built{T: t, tree: dir, deb: only(t, dir, "dist/*.deb"), rpm: only(t, dir, "dist/*.rpm"), root: t.TempDir()}
	must(t, dir, nil, "dpkg-deb", "-x", b.deb, b.root)
	return b
}

func only(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	return found[0]
}

// Another folder, another day, another time zone, language and umask give the same bytes.
func reproducible(b built) {
	t := b.T
	again := filepath.Join(t.TempDir(), "elsewhere")
	must(t, "", nil, "cp", "-r", b.tree, again)
	must(t, again, nil, "sh", "-c", "rm -rf .git bin dist && find . -exec touch -h -d 2001-02-03 {} +")
	other := build(t, again, "v1.2.3", "TZ=Asia/Kolkata", "LC_ALL=C", "MASK=077", "USER=somebody", "HOSTNAME=elsewhere")
	for one, two := range map[string]string{b.deb: other.deb, b.rpm: other.rpm} {
		if filepath.Base(one) != filepath.Base(two) || !bytes.Equal(read(t, one), read(t, two)) {
			t.Errorf("%s and %s differ", one, two)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func lintian(b built) {
	t := b.T
	testenv.Need(t, "lintian")
	if out := must(t, "", nil, "lintian", "--allow-root", "--fail-on", "error,warning", b.deb); out != "" {
		t.Error(out)
	}
}

// listing gives mode, owner and path of each file of the deb.
var listing = regexp.MustCompile(`(?m)^(\S+) (\S+) +\d+ \S+ \S+ \.(/\S+)$`)

// What is in the package is root's, and nobody else's to write; sshd asks that of keyreeve-keys, and of every folder above it.
func contents(b built) {
	t := b.T
	var files []string
	for _, m := range listing.FindAllStringSubmatch(must(t, "", nil, "dpkg-deb", "-c", b.deb), -1) {
		mode, owner, path := m[1], m[2], m[3]
		if owner != "root/root" || mode[5] == 'w' || mode[8] == 'w' || strings.ContainsAny(mode, "sS") {
			t.Errorf("%s %s %s", mode, owner, path)
		}
		if mode[0] == '-' && (mode[3] == 'x') != (path == "/usr/bin/keyreeve" || path == "/usr/libexec/keyreeve/keyreeve-keys") {
			t.Errorf("%s %s", mode, path)
		}
		files = append(files, path)
	}
	for _, want := range []string{
		"/usr/bin/keyreeve", "/usr/libexec/keyreeve/keyreeve-keys", "/usr/lib/systemd/system/keyreeve.service", "/usr/lib/sysusers.d/keyreeve.conf",
		"/usr/lib/tmpfiles.d/keyreeve.conf", "/usr/share/man/man8/keyreeve.8.gz", "/usr/share/doc/keyreeve/copyright", "/usr/share/doc/keyreeve/examples/pam.d/keyreeve",
		"/usr/share/doc/keyreeve/examples/sshd_config.d/10-keyreeve-strong.conf", "/usr/share/doc/keyreeve/docs/operations.md",
	} {
		if !slices.Contains(files, want) {
			t.Errorf("the package has no %s", want)
		}
	}
	control := t.TempDir()
	must(t, "", nil, "dpkg-deb", "-e", b.deb, control)
	if diff := cmp.Diff("/etc/keyreeve/keyreeve.yaml\n/etc/logrotate.d/keyreeve\n", string(read(t, filepath.Join(control, "conffiles")))); diff != "" {
		t.Errorf("what is the administrator's: %s", diff)
	}
	// A unit that runs a program where the package has none is found when somebody enables it.
	units, err := filepath.Glob(filepath.Join(b.root, "usr/lib/systemd/system/*.service"))
	if err != nil || len(units) == 0 {
		t.Error(units, err)
	}
	for _, unit := range units {
		starts := regexp.MustCompile(`(?m)^ExecStart=[-@:+!]*(/\S+)`).FindAllStringSubmatch(string(read(t, unit)), -1)
		if len(starts) == 0 || !slices.Contains(files, starts[0][1]) {
			t.Errorf("%s starts %q, which the package does not have", unit, starts)
		}
	}
}

// The rpm holds the same files, with the same owners and modes, and can be unpacked.
func sameInRPM(b built) {
	t := b.T
	testenv.Need(t, "rpm", "root")
	root := t.TempDir()
	must(t, "", nil, "rpm", "--root", root, "-i", "--nodeps", "--noscripts", b.rpm)
	list := func(root string) string {
		return must(t, root, nil, "sh", "-c", `find . -type f -printf "%M %u %g %p\n" | grep -Ev '/(var/lib/rpm|[.]rpmdb|lintian|changelog.Debian|vendor-completions/_|site-functions/_)' | sort`)
	}
	if diff := cmp.Diff(list(b.root), list(root)); diff != "" {
		t.Errorf("the rpm differs from the deb: %s", diff)
	}
	for path, want := range map[string]string{"usr/share/zsh/site-functions/_keyreeve": "", "etc/keyreeve/keyreeve.yaml": "cn", "etc/logrotate.d/keyreeve": "cn"} {
		if got := must(t, "", nil, "rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", b.rpm); !strings.Contains(got, "/"+path+" "+want+"\n") {
			t.Errorf("%s is not of the kind %q in:\n%s", path, want, got)
		}
	}
}
