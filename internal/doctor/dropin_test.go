package doctor_test

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/policy"
)

// policies are those of the configurations that keyreeve comes with, and some others, as YAML.
func policies(t *testing.T) map[string]config.Config {
	t.Helper()
	list := make(map[string]config.Config)
	add := func(name string, text []byte) {
		c, err := config.Parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		list[name] = c
	}
	for _, pattern := range []string{"../../configs/keyreeve.yaml", "../../configs/*/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			add(name, text)
		}
	}
	if len(list) == 0 {
		t.Fatal("no configuration")
	}
	const head = "registry: {source: ldif, ldif: {path: /r}}\n"
	add("rsa alone", []byte(head+"policy: {keys: [{type: rsa, min_bits: 3072}]}\n"))
	add("no rsa, no passwords", []byte(head+"policy: {keys: [{type: sk-ed25519}]}\ndoctor: {passwords: forbid}\n"))
	return list
}

// What is printed for a policy is taken by sshd, and leaves nothing to find, in each of the ways.
func TestDropIn(t *testing.T) {
	account := testenv.NewAccount(t)
	sshd, err := testenv.Program("sshd")
	if err != nil {
		t.Fatal(err)
	}
	var keys strings.Builder
	keys.WriteString("sk-ssh-ed25519@openssh.com " + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x1ask-ssh-ed25519@openssh.com\x00\x00\x00\x20"+strings.Repeat("k", 32)+"\x00\x00\x00\x04ssh:")) + "\n")
	for _, file := range kinds(t, [2]string{"ed25519", "256"}, [2]string{"rsa", "4096"}) {
		public, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		keys.WriteString(string(public))
	}
	for name, c := range policies(t) {
		for _, way := range []string{doctor.Homes, doctor.Both, doctor.Strong} {
			t.Run(name+" "+way, func(t *testing.T) {
				a := newAsks(t, account)
				a.put("glass/root", keys.String())
				a.sshd("")
				facts := a.facts()
				if way != doctor.Homes {
					c.Answer.Dir = facts.Config.Answer.Dir
				}
				c.Homes.SSHD = facts.Config.Homes.SSHD
				facts.Config = c
				text := facts.DropIn(way)
				// Program, user and file of keyreeve's are those of this test.
				text = strings.NewReplacer("/usr/libexec/keyreeve/keyreeve-keys", a.program, "_keyreeve", a.account.Name, "/etc/ssh/authorized_keys", a.path("glass")).Replace(text)
				a.sshd(text)
				if said, err := exec.Command(sshd, "-t", "-f", a.path("sshd_config")).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s\n%s", err, said, text)
				}
				after := a.facts()
				after.Config = c
				if got := after.Way(); got != way {
					t.Errorf("it makes the way %s", got)
				}
				if found := doctor.Diagnose(after); len(found) > 0 {
					t.Errorf("%+v\n%s", found, text)
				}
			})
		}
	}
}

// The drop-ins that keyreeve comes with say what is printed, apart from what depends on a policy.
func TestDropInIsThatOfConfigs(t *testing.T) {
	p := newPlace(t)
	p.sshd("")
	facts := p.facts()
	facts.Config.Answer.Dir = "/var/lib/keyreeve-sshd"
	for way, file := range map[string]string{doctor.Both: "10-keyreeve-both.conf", doctor.Strong: "10-keyreeve-strong.conf"} {
		text, err := os.ReadFile("../../configs/sshd_config.d/" + file)
		if err != nil {
			t.Fatal(err)
		}
		_, printed, _ := strings.Cut(facts.DropIn(way), "\n# Whom sshd asks.\n")
		if diff := cmp.Diff(lines(string(text)), lines(printed)); diff != "" {
			t.Errorf("%s: %s", way, diff)
		}
	}
}

func lines(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}

// kinds are keys that ssh-keygen makes, by type and bits: their files.
func kinds(t *testing.T, wanted ...[2]string) map[[2]string]string {
	t.Helper()
	program, err := testenv.Program("ssh-keygen")
	if err != nil {
		t.Fatal(err)
	}
	list := make(map[[2]string]string)
	for _, kind := range wanted {
		file := filepath.Join(t.TempDir(), kind[0]+kind[1])
		if said, err := exec.Command(program, "-q", "-t", kind[0], "-b", kind[1], "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		list[kind] = file
	}
	return list
}

// accepts reports whether a policy is written for a kind of key.
func accepts(t *testing.T, c config.Config, kind [2]string) bool {
	t.Helper()
	bits, err := strconv.Atoi(kind[1])
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(c.Policy.Keys, func(rule policy.Rule) bool {
		return rule.Type == kind[0] && bits >= rule.MinBits
	})
}

// Every kind of key logs in by its user's file without the drop-in; with that of a policy exactly those do that it accepts. The policies are
// those of every configuration that keyreeve comes with.
func TestNarrowingLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	account := testenv.NewAccount(t)
	// A key of hardware cannot be had here.
	files := kinds(t, [][2]string{{"ed25519", "256"}, {"rsa", "2048"}, {"rsa", "3072"}, {"rsa", "4096"}, {"ecdsa", "256"}, {"ecdsa", "384"}}...)
	var text strings.Builder
	for _, file := range files {
		public, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(string(public))
	}
	authorize(t, account, text.String())
	before := testenv.StartSSHD(t, "")
	for kind, file := range files {
		if err := before.Login(account.Name, file); err != nil {
			t.Errorf("%s, without the drop-in: %v", kind, err)
		}
	}
	told := make(map[bool]int)
	for name, c := range policies(t) {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.sshd("")
			facts := p.facts()
			facts.Config.Policy, facts.Config.Doctor = c.Policy, c.Doctor
			after := testenv.StartSSHD(t, facts.DropIn(doctor.Homes))
			for kind, file := range files {
				want := accepts(t, c, kind)
				told[want]++
				switch err := after.Login(account.Name, file); {
				case want && err != nil:
					t.Errorf("%s: %v", kind, err)
				case !want && !errors.Is(err, testenv.ErrRefused):
					t.Errorf("%s: %v, want ErrRefused", kind, err)
				}
			}
		})
	}
	if told[true] == 0 || told[false] == 0 {
		t.Errorf("let in and refused: %v", told)
	}
}

// A configuration that is added is taken along.
func TestPoliciesAreThoseOfAllConfigurations(t *testing.T) {
	list := policies(t)
	err := filepath.WalkDir("../../configs", func(path string, _ fs.DirEntry, err error) error {
		text, wrong := os.ReadFile(path)
		if wrong == nil && strings.HasSuffix(path, ".yaml") && strings.Contains("\n"+string(text), "\nregistry:") {
			if _, there := list[path]; !there {
				t.Errorf("%s is not", path)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The list of revoked keys is asked for by everybody but those who have to get in, by the lines that keyreeve comes with.
func TestDropInOfTheList(t *testing.T) {
	p := newPlace(t)
	p.put("revoked.krl", "")
	p.sshd("")
	if text := p.facts().DropIn(doctor.Homes); strings.Contains(text, "RevokedKeys") {
		t.Errorf("without deny.file: %s", text)
	}
	p.yaml = "deny: {file: /var/lib/keyreeve/revoked.krl}\n"
	text, err := os.ReadFile("../../configs/sshd_config.d/20-keyreeve-deny.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, printed, _ := strings.Cut(p.facts().DropIn(doctor.Homes), "\n# Which keys sshd refuses")
	if !strings.Contains(printed, "\n# BEFORE THIS: it is not there yet. ") {
		t.Error(printed)
	}
	if diff := cmp.Diff(lines(string(text)), lines(printed)[1:]); diff != "" {
		t.Error(diff)
	}
	p.yaml = denyYAML
	eve := p.accounts[2]
	eve.Name, eve.Glass = "eve", true
	p.accounts = append(p.accounts, eve)
	printed = p.facts().DropIn(doctor.Homes)
	p.sshd(printed)
	if found := p.found(); len(found) > 0 || !strings.Contains(printed, "Match User *,!root,!eve\n") || strings.Contains(printed, "BEFORE") {
		t.Errorf("%v\n%s", found, printed)
	}
}

func ecdsa(t *testing.T) string {
	t.Helper()
	kind := [2]string{"ecdsa", "256"}
	text, err := os.ReadFile(kinds(t, kind)[kind] + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whoever has to get in, and would not by the narrowing, is named with it: without it sshd takes his key.
func TestDropInNamesWhoItKeepsOut(t *testing.T) {
	p := newPlace(t)
	public, err := os.ReadFile(kinds(t, [2]string{"rsa", "2048"})[[2]string{"rsa", "2048"}] + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	const warning = "# BEFORE THIS: by these lines sshd takes no key of "
	p.put("root/.ssh/authorized_keys", string(public))
	p.sshd("")
	if text := p.facts().DropIn(doctor.Homes); !strings.Contains(text, warning+p.path("root/.ssh/authorized_keys")+" (root), who has to get in.") {
		t.Error(text)
	}
	// So does each line that doctor wants.
	wants := func(warned ...string) {
		t.Helper()
		var got []string
		for _, f := range doctor.Diagnose(p.facts()) {
			if strings.Contains(f.Do, "; BEFORE THIS put a key there") && strings.Contains(f.Do, p.path("root/.ssh/authorized_keys")+" (root)") {
				got = append(got, f.Code)
			}
		}
		if diff := cmp.Diff(warned, got); diff != "" {
			t.Error(diff)
		}
	}
	wants("rsa-size")
	p.put("root/.ssh/authorized_keys", ecdsa(t))
	wants("algorithms")
	p.put("root/.ssh/authorized_keys", ecdsa(t)+newKey(t)+"\n")
	wants()
	p.put("root/.ssh/authorized_keys", string(public))
	p.sshd("PermitRootLogin no\n")
	if text := p.facts().DropIn(doctor.Homes); strings.Contains(text, warning) {
		t.Error(text)
	}
	p.sshd("")
	p.put("root/.ssh/authorized_keys", string(public)+newKey(t)+"\n")
	if text := p.facts().DropIn(doctor.Homes); strings.Contains(text, warning) {
		t.Error(text)
	}
}
