package doctor_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/testenv"
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
	for _, pattern := range []string{"../../configs/*.yaml", "../../configs/*/*.yaml"} {
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
	for name, c := range policies(t) {
		for _, way := range []string{doctor.Homes, doctor.Both, doctor.Strong} {
			t.Run(name+" "+way, func(t *testing.T) {
				a := newAsks(t, account)
				a.sshd("")
				facts := a.facts()
				if way != doctor.Homes {
					c.Answer.Dir = facts.Config.Answer.Dir
				}
				c.Homes.SSHD = facts.Config.Homes.SSHD
				facts.Config = c
				text := facts.DropIn(way)
				// Program, user and file of keyreeve's are those of this test.
				text = strings.NewReplacer("/usr/libexec/keyreeve-keys", a.program, "_keyreeve", a.account.Name, "/etc/ssh/authorized_keys", a.path("glass")).Replace(text)
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

// A key that the policy refuses logs in by its user's file, and with the drop-in no more; one that it accepts does.
func TestNarrowingLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	p := newPlace(t)
	p.sshd("")
	account := testenv.NewAccount(t)
	good, line := testenv.NewKey(t)
	weak := map[string]string{}
	text := line + "\n"
	for name, kind := range map[string][]string{"short": {"rsa", "2048"}, "ecdsa": {"ecdsa", "256"}} {
		file := filepath.Join(t.TempDir(), name)
		program, err := testenv.Program("ssh-keygen")
		if err != nil {
			t.Fatal(err)
		}
		if said, err := exec.Command(program, "-q", "-t", kind[0], "-b", kind[1], "-N", "", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		public, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		weak[name], text = file, text+string(public)
	}
	authorize(t, account, text)
	before, after := testenv.StartSSHD(t, ""), testenv.StartSSHD(t, p.facts().DropIn(doctor.Homes))
	for name, file := range weak {
		if err := before.Login(account.Name, file); err != nil {
			t.Errorf("%s, without the drop-in: %v", name, err)
		}
		if err := after.Login(account.Name, file); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("%s, with the drop-in: %v, want ErrRefused", name, err)
		}
	}
	if err := after.Login(account.Name, good); err != nil {
		t.Error(err)
	}
}
