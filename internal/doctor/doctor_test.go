package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// narrowed are the lines that an sshd should have by the default policy.
const narrowed = "PubkeyAcceptedAlgorithms ssh-ed25519,sk-ssh-ed25519@openssh.com,rsa-sha2-512,rsa-sha2-256\nRequiredRSASize 4096\n"

// place is a host of a test: the real sshd, with a configuration, /etc and /proc of the test's own.
type place struct {
	*testing.T
	dir, key string
	// program is the sshd that is asked; empty for the system's.
	program string
	// yaml is added to keyreeve's configuration.
	yaml string
	// accounts are the sample.
	accounts []doctor.Account
	homes    []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	testenv.Need(t, "root", "sshd")
	p := &place{T: t, dir: testenv.RootDir(t), key: testenv.NewHostKey(t)}
	p.put("etc/pam.d/sshd", "")
	p.put("proc/self/mountinfo", "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
	p.accounts = []doctor.Account{
		{Account: homes.Account{Name: "root", Home: p.path("root")}, Glass: true},
		{Account: homes.Account{Name: "ada", UID: 2001, GID: 2001, Home: p.path("home/ada")}, Kept: true},
		{Account: homes.Account{Name: "bob", UID: 2002, GID: 2002, Home: p.path("home/bob")}, Kept: true},
	}
	return p
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

// put writes a file; "@DIR" in its text, which no key has in its base64, is the test's directory.
func (p *place) put(name, text string) {
	p.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(p.path(name)), 0o755), os.WriteFile(p.path(name), []byte(strings.ReplaceAll(text, "@DIR", p.dir)), 0o644)); err != nil {
		p.Fatal(err)
	}
}

// sshd writes its configuration: a main file that includes drop-ins, of which the text is one, from its first line on.
func (p *place) sshd(text string) {
	p.Helper()
	p.put("sshd_config", "Include @DIR/drop/*.conf\nUsePAM yes\nHostKey "+p.key+"\n")
	p.put("drop/10.conf", text)
}

func (p *place) facts() doctor.Facts {
	p.Helper()
	text := fmt.Sprintf("registry: {source: ldif, ldif: {path: /r}}\nhomes: {sshd: {program: %q, configs: [%q]}}\n", p.program, p.path("sshd_config"))
	c, err := config.Parse("keyreeve.yaml", []byte(text+strings.ReplaceAll(p.yaml, "@DIR", p.dir)))
	if err != nil {
		p.Fatal(err)
	}
	return doctor.Collect(context.Background(), doctor.Question{
		Config: c, Root: p.dir, Accounts: p.accounts, Homes: p.homes, Now: time.Now(),
		Find: func(name string) (doctor.Account, bool) {
			return doctor.Account{Account: homes.Account{Name: name, UID: 3000, GID: 3000, Home: p.path("home/" + name)}, Kept: true}, name == "carl"
		},
	})
}

// found are the findings as "severity code place", the place without the test's directory.
func (p *place) found() []string {
	p.Helper()
	var list []string
	for _, f := range doctor.Diagnose(p.facts()) {
		p.Logf("%+v", f)
		list = append(list, fmt.Sprintf("%s %s %s", f.Severity, f.Code, strings.ReplaceAll(f.Where, p.dir+"/", "")))
		if f.What == "" || f.Do == "" {
			p.Errorf("%s says nothing of what, or what to do: %+v", f.Code, f)
		}
	}
	return list
}

// Every check of sshd's configuration, by a real sshd -T: nothing is found without the line, and with it that line is named.
func TestChecksOfSSHD(t *testing.T) {
	for name, c := range map[string]struct {
		yaml, sshd string
		want       []string
	}{
		"nothing":                             {"", narrowed, nil},
		"StrictModes":                         {"", narrowed + "StrictModes no\n", []string{"defeats strict-modes drop/10.conf:3"}},
		"PermitUserEnvironment":               {"", narrowed + "PermitUserEnvironment yes\n", []string{"defeats user-environment drop/10.conf:3"}},
		"some variables":                      {"", narrowed + "PermitUserEnvironment LANG,LC_*\n", []string{"note user-environment drop/10.conf:3"}},
		"HostbasedAuthentication":             {"", narrowed + "HostbasedAuthentication yes\n", []string{"defeats hostbased drop/10.conf:3"}},
		"shosts":                              {"", narrowed + "IgnoreRhosts no\nHostbasedAuthentication yes\n", []string{"defeats hostbased drop/10.conf:4", "defeats shosts drop/10.conf:3"}},
		"shosts alone":                        {"", narrowed + "IgnoreRhosts no\n", nil},
		"TrustedUserCAKeys":                   {"", narrowed + "TrustedUserCAKeys /etc/ssh/ca\n", []string{"defeats trusted-ca drop/10.conf:3"}},
		"AuthorizedPrincipalsFile":            {"", narrowed + "TrustedUserCAKeys /etc/ssh/ca\nAuthorizedPrincipalsFile .ssh/principals\n", []string{"defeats principals drop/10.conf:4", "defeats trusted-ca drop/10.conf:3"}},
		"principals of root's":                {"", narrowed + "TrustedUserCAKeys /etc/ssh/ca\nAuthorizedPrincipalsFile /etc/ssh/principals/%u\n", []string{"defeats trusted-ca drop/10.conf:3", "note principals drop/10.conf:4"}},
		"principals below the home":           {"", narrowed + "TrustedUserCAKeys /etc/ssh/ca\nAuthorizedPrincipalsFile %h/principals\n", []string{"defeats principals drop/10.conf:4", "defeats trusted-ca drop/10.conf:3"}},
		"AuthorizedPrincipalsCommand":         {"", narrowed + "TrustedUserCAKeys /etc/ssh/ca\nAuthorizedPrincipalsCommand /bin/echo %u\nAuthorizedPrincipalsCommandUser nobody\n", []string{"defeats trusted-ca drop/10.conf:3", "note principals drop/10.conf:4"}},
		"such a command without an authority": {"", narrowed + "AuthorizedPrincipalsCommand /bin/echo %u\nAuthorizedPrincipalsCommandUser nobody\n", nil},
		"principals without an authority":     {"", narrowed + "AuthorizedPrincipalsFile .ssh/principals\n", nil},
		"another command":                     {"", narrowed + "AuthorizedKeysCommand /usr/bin/sss_ssh_authorizedkeys %u\nAuthorizedKeysCommandUser nobody\n", []string{"defeats keys-command drop/10.conf:3"}},
		"passwords":                           {"doctor: {passwords: forbid}\n", narrowed + "PasswordAuthentication yes\nKbdInteractiveAuthentication yes\n", []string{"defeats passwords drop/10.conf:3", "defeats passwords drop/10.conf:4"}},
		"passwords alone":                     {"doctor: {passwords: forbid}\n", narrowed + "PasswordAuthentication yes\nKbdInteractiveAuthentication no\n", []string{"defeats passwords drop/10.conf:3"}},
		"passwords by PAM alone":              {"doctor: {passwords: forbid}\n", narrowed + "PasswordAuthentication no\nKbdInteractiveAuthentication yes\nAuthenticationMethods keyboard-interactive:pam publickey\n", []string{"defeats passwords drop/10.conf:4"}},
		"passwords after a key":               {"doctor: {passwords: forbid}\n", narrowed + "PasswordAuthentication yes\nKbdInteractiveAuthentication no\nAuthenticationMethods publickey,password\n", nil},
		"passwords that may be":               {"", narrowed + "PasswordAuthentication yes\nKbdInteractiveAuthentication yes\n", nil},
		"no passwords":                        {"doctor: {passwords: forbid}\n", narrowed + "PasswordAuthentication no\nKbdInteractiveAuthentication no\n", nil},
		"RequiredRSASize":                     {"", strings.Replace(narrowed, "4096", "2048", 1), []string{"defeats rsa-size drop/10.conf:2"}},
		"a larger one":                        {"", strings.Replace(narrowed, "4096", "8192", 1), []string{"locks-out rsa-size drop/10.conf:2"}},
		"RSA where it is refused":             {"policy: {keys: [{type: ed25519}]}\n", narrowed, []string{"defeats algorithms drop/10.conf:1"}},
		"no RSA at all":                       {"policy: {keys: [{type: ed25519}]}\n", "PubkeyAcceptedAlgorithms ssh-ed25519\n", nil},
		"the default":                         {"", "", []string{"defeats algorithms sshd_config (a default: no line says it)", "defeats rsa-size sshd_config (a default: no line says it)"}},
		"a type too few":                      {"", "PubkeyAcceptedAlgorithms ssh-ed25519,rsa-sha2-512\nRequiredRSASize 4096\n", []string{"locks-out algorithms-missing drop/10.conf:1"}},
		"GSSAPI":                              {"", narrowed + "GSSAPIAuthentication yes\n", []string{"note gssapi drop/10.conf:3"}},
		"one file for all":                    {"", narrowed + "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/shared\n", []string{"defeats key-file drop/10.conf:3"}},
		"a file that is kept":                 {"", narrowed + "AuthorizedKeysFile .ssh/keys /etc/ssh/keys/%u\n", nil},
		"by an address":                       {"", narrowed + "Match Address 10.0.0.0/8\n\tTrustedUserCAKeys /etc/ssh/ca\n", []string{"defeats trusted-ca drop/10.conf:4"}},
		"by a port, another file":             {"", narrowed + "Match LocalPort 2222\n\tAuthorizedKeysFile /etc/ssh/shared\n", []string{"defeats key-file drop/10.conf:4"}},
		"by an address, a weak type":          {"", narrowed + "Match Address 10.0.0.0/8\n\tPubkeyAcceptedAlgorithms +ssh-rsa\n", []string{"defeats algorithms drop/10.conf:4"}},
		"by an address, all but one":          {"", narrowed + "Match Address 10.0.0.0/8\n\tPubkeyAcceptedAlgorithms -rsa-sha2-256\n", []string{"defeats algorithms drop/10.conf:4"}},
		"by an address, one first":            {"", narrowed + "Match Address 10.0.0.0/8\n\tPubkeyAcceptedAlgorithms ^ssh-ed25519\n", []string{"defeats algorithms drop/10.conf:4"}},
		"by an address, one more that it has": {"", narrowed + "Match Address 10.0.0.0/8\n\tPubkeyAcceptedAlgorithms +ssh-ed25519\n", []string{"defeats algorithms drop/10.conf:4"}},
		"by an address, enough taken out":     {"", narrowed + "Match Address 10.0.0.0/8\n\tPubkeyAcceptedAlgorithms -*ecdsa*,*-cert-v01@openssh.com\n", nil},
		"by an address, a type taken out":     {"", narrowed + "Match Address 10.0.0.0/8\n\tPubkeyAcceptedAlgorithms -*ecdsa*,*-cert-v01@openssh.com,ssh-ed25519\n", []string{"locks-out algorithms-missing drop/10.conf:4"}},
		"by an old name":                      {"", narrowed + "Match Address 10.0.0.0/8\n\tPubkeyAcceptedKeyTypes +ecdsa-sha2-nistp256\n", []string{"defeats algorithms drop/10.conf:4"}},
		"passwords by an old name":            {"doctor: {passwords: forbid}\n", narrowed + "PasswordAuthentication no\nKbdInteractiveAuthentication no\nMatch Address 10.0.0.0/8\n\tChallengeResponseAuthentication yes\n", []string{"defeats passwords drop/10.conf:6"}},
		"by an address, less":                 {"", narrowed + "Match Address 10.0.0.0/8\n\tPubkeyAcceptedAlgorithms ssh-ed25519,sk-ssh-ed25519@openssh.com,rsa-sha2-512\n", nil},
		"by a token that sshd does not know":  {"", narrowed + "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys/%k\n", []string{"defeats key-file drop/10.conf:3"}},
		"by an address, but for some":         {"", narrowed + "Match User *,!ada,!bob,!root Address 10.0.0.0/8\n\tTrustedUserCAKeys /etc/ssh/ca\n", nil},
		"by an address, for one":              {"", narrowed + "Match Address 10.0.0.0/8 User a?a\n\tTrustedUserCAKeys /etc/ssh/ca\n", []string{"defeats trusted-ca drop/10.conf:4"}},
		"by an address, too late":             {"", narrowed + "Match User *\n\tTrustedUserCAKeys none\nMatch Address 10.0.0.0/8\n\tTrustedUserCAKeys /etc/ssh/ca\n", nil},
		"no keys at all":                      {"", narrowed + "PubkeyAuthentication no\n", []string{"locks-out break-glass drop/10.conf:3", "note no-keys drop/10.conf:3"}},
		"a user of the sample":                {"", narrowed + "Match User ada\n\tRequiredRSASize 2048\n", []string{"defeats rsa-size drop/10.conf:4"}},
		"a user beside it":                    {"", narrowed + "Match User carl\n\tAuthorizedKeysFile /etc/ssh/shared\n", []string{"defeats key-file drop/10.conf:4"}},
		"root's alone":                        {"", narrowed + "Match User root\n\tRequiredRSASize 2048\n", nil},
		"twice in a block":                    {"", narrowed + "Match Address 10.0.0.0/8\n\tRequiredRSASize 4096\n\tRequiredRSASize 2048\n", nil},
		"in force and in a block":             {"", strings.Replace(narrowed, "4096", "2048", 1) + "Match Address 10.0.0.0/8\n\tRequiredRSASize 3072\n", []string{"defeats rsa-size drop/10.conf:2", "defeats rsa-size drop/10.conf:4"}},
		"a group":                             {"", narrowed + "Match Group staff\n\tHostbasedAuthentication yes\n", []string{"defeats hostbased drop/10.conf:4"}},
		"a group, another file":               {"", narrowed + "Match Group staff\n\tAuthorizedKeysFile .ssh/authorized_keys /etc/ssh/shared\n", []string{"defeats key-file drop/10.conf:4"}},
		"a group, a file that is kept":        {"", narrowed + "Match Group staff\n\tAuthorizedKeysFile /etc/ssh/keys/%u\n", nil},
		"a key file of root's own":            {"", narrowed + "Match User root\n\tAuthorizedKeysFile /etc/ssh/root-keys\n", nil},
		"nothing at all":                      {"", narrowed + "AuthorizedKeysFile none\n", []string{"locks-out break-glass drop/10.conf:3", "note no-keys drop/10.conf:3"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.yaml = c.yaml
			p.sshd(c.sshd)
			if diff := cmp.Diff(c.want, p.found()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An sshd that gives no answer is not one in order.
func TestBrokenConfiguration(t *testing.T) {
	p := newPlace(t)
	p.sshd("Bogus yes\n")
	if got := p.found(); !slices.Equal(got, []string{"unknown sshd-silent sshd_config"}) {
		t.Error(got)
	}
	p.put("drop/10.conf", narrowed)
	p.put("etc/pam.d/sshd", "@include gone\n")
	if got := p.found(); !slices.Equal(got, []string{"unknown unread this host"}) {
		t.Error(got)
	}
}

// A list that is told by what is added to it is not what sshd prints; its line is that outside of blocks.
func TestLineOfAList(t *testing.T) {
	p := newPlace(t)
	p.sshd("PubkeyAcceptedAlgorithms +ssh-rsa\nRequiredRSASize 4096\n")
	p.put("drop/05.conf", "Match Address 10.0.0.0/8\n\tPubkeyAcceptedAlgorithms ssh-ed25519,sk-ssh-ed25519@openssh.com,rsa-sha2-512\n")
	if diff := cmp.Diff([]string{"defeats algorithms drop/10.conf:1"}, p.found()); diff != "" {
		t.Error(diff)
	}
}

// A list in a block of which sshd says nothing is one with more than the policy accepts, and no list of what is missing.
func TestListThatSSHDDoesNotTell(t *testing.T) {
	p := newPlace(t)
	p.sshd(narrowed + "Match Address 10.0.0.0/8\n\tPubkeyAcceptedAlgorithms -rsa-sha2-256\n")
	facts := p.facts()
	if len(facts.Said[0].Lists) != 1 {
		t.Errorf("%v", facts.Said[0].Lists)
	}
	facts.Said[0].Lists = nil
	if found := doctor.Diagnose(facts); len(found) != 1 || found[0].Code != "algorithms" || found[0].Severity != doctor.Defeats {
		t.Errorf("%+v", found)
	}
}

// Without PAM sshd lets nobody in whose password is locked.
func TestLockedAccounts(t *testing.T) {
	for _, c := range []struct {
		pam, ada string
		want     []string
	}{
		{"no", "!", []string{"locks-out locked-accounts drop/10.conf:3"}},
		{"no", "!$6$x", []string{"locks-out locked-accounts drop/10.conf:3"}},
		{"no", "*", nil},
		{"yes", "!", nil},
		{"no", "root", []string{"locks-out locked-accounts drop/10.conf:3"}},
	} {
		p := newPlace(t)
		p.accounts = append(p.accounts, doctor.Account{Account: homes.Account{Name: "daemon", UID: 1, GID: 1, Home: "/usr/sbin"}})
		root := "*"
		if c.ada == "root" {
			c.ada, root = "*", "!"
		}
		p.put("etc/shadow", "root:"+root+":1::::::\nada:"+c.ada+":1::::::\nstranger:!:1::::::\ndaemon:!:1::::::\n")
		p.sshd(narrowed + "UsePAM " + c.pam + "\n")
		if diff := cmp.Diff(c.want, p.found()); diff != "" {
			t.Errorf("UsePAM %s, %s: %s", c.pam, c.ada, diff)
		}
	}
}

// That is so.
func TestLockedAccountsLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	account := testenv.NewAccount(t)
	key, line := testenv.NewKey(t)
	authorize(t, account, line+"\n")
	server := testenv.StartSSHD(t, "") // without PAM
	if err := server.Login(account.Name, key); err != nil {
		t.Error(err)
	}
	program, err := testenv.Program("usermod")
	if err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(program, "-p", "!", account.Name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if err := server.Login(account.Name, key); !errors.Is(err, testenv.ErrRefused) {
		t.Errorf("locked: %v, want ErrRefused", err)
	}
}

// authorize gives an account a key file of root's, which sshd takes as well.
func authorize(t *testing.T, account testenv.Account, text string) {
	t.Helper()
	folder := filepath.Join(account.Home, ".ssh")
	if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(filepath.Join(folder, "authorized_keys"), []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}
