package doctor_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// debian is /etc/pam.d/sshd of Debian 12 as far as sessions go, after "account", with its include.
const debian = `@include common-auth
account    required     pam_nologin.so
GATE
session [success=ok ignore=ignore module_unknown=ignore default=bad]        pam_selinux.so close
session    required     pam_loginuid.so
@include common-session
session    required     pam_env.so # [1]
session    required     pam_env.so user_readenv=1 envfile=/etc/default/locale
`

// ourGate is configs/pam.d/keyreeve, without its comments.
func ourGate(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../configs/pam.d/keyreeve")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 2 {
		t.Fatalf("configs/pam.d/keyreeve: %q", lines)
	}
	return strings.Join(lines, "\n")
}

// gated is a place with the gate, whose program and file are in order.
func gated(t *testing.T, account testenv.Account, yaml string, stack func(gate string) string) asks {
	t.Helper()
	a := newAsks(t, account)
	a.yaml += yaml
	a.put("etc/pam.d/common-auth", "auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\nauth required pam_permit.so\n")
	a.put("etc/pam.d/common-session", "session [default=1] pam_permit.so\nsession requisite pam_deny.so\nsession required pam_permit.so\n")
	a.put("etc/pam.d/sshd", stack(gateOf(a)))
	return a
}

// gateOf is the gate with the program and the file of a place.
func gateOf(a asks) string {
	return strings.ReplaceAll(ourGate(a.T), "/usr/libexec/keyreeve/keyreeve-keys --pam", a.program+" --pam --file="+a.dir+"/keys.cdb")
}

// The gate as configs/pam.d has it, in a stack as Debian has it, is in order; each thing that takes its force from it, or locks out root, is
// named.
func TestChecksOfPAM(t *testing.T) {
	account := testenv.NewAccount(t)
	at := func(gate string) string { return strings.Replace(debian, "GATE", gate, 1) }
	own := func(old, other string) func(string) string {
		return func(gate string) string { return at(strings.Replace(gate, old, other, 1)) }
	}
	before := func(line string) func(string) string {
		return func(gate string) string { return at(line + "\n" + gate) }
	}
	for name, c := range map[string]struct {
		stack func(gate string) string
		sshd  string
		want  []string
	}{
		"in order":                     {at, "", nil},
		"no gate":                      {func(string) string { return at("") }, "", []string{"note answer-unused sshd"}},
		"required":                     {own("requisite", "required"), "", nil},
		"optional":                     {own("requisite", "optional"), "", []string{"defeats gate-control etc/pam.d/sshd:4"}},
		"on two lines":                 {own("requisite ", "optional \\\n\t"), "", []string{"defeats gate-control etc/pam.d/sshd:4"}},
		"in actions":                   {own("requisite", "[success=ok new_authtok_reqd=ok default=die]"), "", nil},
		"as required":                  {own("requisite", "[success=ok new_authtok_reqd=ok ignore=ignore default=bad]"), "", nil},
		"actions that ignore":          {own("requisite", "[success=ok default=ignore]"), "", []string{"defeats gate-control etc/pam.d/sshd:4"}},
		"one that does":                {own("requisite", "[success=ok system_err=ignore default=die]"), "", []string{"defeats gate-control etc/pam.d/sshd:4"}},
		"no default":                   {own("requisite", "[success=ok]"), "", []string{"defeats gate-control etc/pam.d/sshd:4"}},
		"--pam behind a word":          {own("--pam", "--record=/usr/bin/keyreeve --pam"), "", []string{"locks-out gate-words etc/pam.d/sshd:4"}},
		"a word that it does not know": {own("--pam", "--pam --also=/usr/bin/keys"), "", []string{"locks-out gate-words etc/pam.d/sshd:4"}},
		"all keys":                     {own("--pam", "--pam --allow=publickey"), "", []string{"locks-out gate-words etc/pam.d/sshd:4"}},
		"user_readenv for logins":      {before("auth required pam_env.so user_readenv=1"), "", []string{"defeats gate-order etc/pam.d/sshd:3"}},
		"and behind the gate":          {func(gate string) string { return at(gate) + "auth optional pam_env.so user_readenv=2\n" }, "", []string{"defeats gate-order etc/pam.d/sshd:10"}},
		"user_readenv=0":               {before("auth required pam_env.so user_readenv=0"), "", nil},
		"in another phase":             {own("type=open_session", "type=account"), "", []string{"defeats gate-control etc/pam.d/sshd:4"}},
		"of another type":              {own("session requisite", "account requisite"), "", []string{"note answer-unused sshd"}},
		"user_readenv before":          {before("session required pam_env.so user_readenv=1"), "", []string{"defeats gate-order etc/pam.d/sshd:3"}},
		"pam_env before":               {before("session required pam_env.so"), "", nil},
		"at the end": {func(gate string) string { return at("") + gate + "\n" }, "", []string{
			"defeats gate-order etc/pam.d/sshd:8",
		}},
		"an end before":           {before("session sufficient pam_permit.so"), "", []string{"defeats gate-order etc/pam.d/sshd:3"}},
		"one that may be missing": {before("-session sufficient pam_sss.so"), "", []string{"defeats gate-order etc/pam.d/sshd:3"}},
		"another end":             {before("session [default=done] pam_permit.so"), "", []string{"defeats gate-order etc/pam.d/sshd:3"}},
		"a jump":                  {before("session [default=2] pam_permit.so"), "", []string{"defeats gate-order etc/pam.d/sshd:3"}},
		"one in an include":       {before("session include other"), "", []string{"defeats gate-order etc/pam.d/other:2"}},
		"one for logins alone":    {before("auth include other"), "", nil},
		"no break-glass":          {own("session [success=1 default=ignore] pam_succeed_if.so quiet user = root\n", ""), "", []string{"locks-out gate-break-glass etc/pam.d/sshd:3"}},
		"for somebody else":       {own("user = root", "user = eve"), "", []string{"locks-out gate-break-glass etc/pam.d/sshd:4"}},
		"for several":             {own("user = root", "user in eve:root"), "", nil},
		"by uid":                  {own("user = root", "uid = 0"), "", nil},
		"a jump too short": {own("user = root\n", "user = root\nsession required pam_permit.so\n"), "", []string{
			"locks-out gate-break-glass etc/pam.d/sshd:5",
		}},
		"a jump far enough":         {own("[success=1 default=ignore] pam_succeed_if.so quiet user = root\n", "[success=2 default=ignore] pam_succeed_if.so quiet user = root\nsession required pam_permit.so\n"), "", nil},
		"for whoever is a user":     {before("session sufficient pam_succeed_if.so quiet uid >= 2002"), "", []string{"defeats gate-order etc/pam.d/sshd:3"}},
		"for two conditions":        {before("session sufficient pam_succeed_if.so uid >= 1000 quiet user in eve:fay"), "", nil},
		"for all but some":          {before("session [success=2 default=ignore] pam_succeed_if.so user notin eve:fay"), "", []string{"defeats gate-order etc/pam.d/sshd:3"}},
		"for a group":               {own("user = root", "user ingroup wheel"), "", nil},
		"root does not get in":      {own("user = root", "user = eve"), "PermitRootLogin no\n", nil},
		"a jump that is too far":    {own("success=1", "success=2"), "", nil},
		"in a file of all services": {func(string) string { return at("session include gate") }, "", []string{"locks-out gate-everywhere etc/pam.d/gate:2"}},
		"without PAM":               {at, "UsePAM no\n", []string{"defeats gate-off drop/10.conf:3"}},
		"no program": {func(gate string) string { return at(strings.Replace(gate, "/keyreeve-keys", "/gone/keyreeve-keys", 1)) }, "", []string{
			"locks-out keys-program etc/pam.d/sshd:4",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := gated(t, account, "", c.stack)
			a.put("etc/pam.d/gate", gateOf(a)+"\n")
			a.put("etc/pam.d/other", "auth required pam_permit.so\nsession sufficient pam_permit.so\n")
			a.sshd(narrowed + c.sshd)
			found := a.found()
			for i := range found {
				found[i] = strings.Replace(strings.ReplaceAll(found[i], " /etc/", " etc/"), "answer.dir", "sshd", 1)
			}
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What the gate refuses is told as what it is, and no more; where it does not bind, or lets a method through, it is a danger as ever.
func TestGateShields(t *testing.T) {
	account := testenv.NewAccount(t)
	const open = narrowed + "StrictModes no\nHostbasedAuthentication yes\nTrustedUserCAKeys /etc/ssh/ca\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\n"
	for name, c := range map[string]struct {
		old, new, sshd string
		want           []string
	}{
		"all":           {"", "", "", []string{"note hostbased", "note passwords", "note strict-modes", "note trusted-ca"}},
		"but passwords": {"--pam", "--pam --allow=password,gssapi-with-mic", "", []string{"defeats passwords", "note hostbased", "note strict-modes", "note trusted-ca"}},
		"optional":      {"requisite", "optional", "", []string{"defeats gate-control", "defeats hostbased", "defeats passwords", "defeats strict-modes", "defeats trusted-ca"}},
		"without PAM":   {"", "", "UsePAM no\n", []string{"defeats gate-off", "defeats hostbased", "defeats passwords", "defeats strict-modes", "defeats trusted-ca"}},
		"certificates":  {"--pam", "--pam --authority=SHA256:x", "", []string{"locks-out algorithms-missing", "note hostbased", "note passwords", "note strict-modes", "note trusted-ca"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := gated(t, account, "doctor: {passwords: forbid}\n", func(gate string) string {
				return strings.Replace(debian, "GATE", strings.Replace(gate, c.old, c.new, 1), 1)
			})
			a.sshd(open + c.sshd)
			if diff := cmp.Diff(c.want, codes(a.found())); diff != "" {
				t.Error(diff)
			}
			if name == "certificates" {
				if text := a.facts().DropIn(doctor.Homes); !strings.Contains(text, ",ssh-ed25519-cert-v01@openssh.com,sk-ssh-ed25519-cert-v01@openssh.com,rsa-sha2-512-cert-v01@openssh.com,") || strings.Contains(text, "TrustedUserCAKeys") {
					t.Error(text)
				}
			}
		})
	}
}

// The stack is where PAM finds it, which is another directory on some systems; one that is nowhere is told where sshd uses it.
func TestStackOfAnotherSystem(t *testing.T) {
	account := testenv.NewAccount(t)
	a := gated(t, account, "", func(gate string) string { return strings.Replace(debian, "GATE", gate, 1) })
	if err := errors.Join(os.MkdirAll(a.path("usr/lib"), 0o755), os.Rename(a.path("etc/pam.d"), a.path("usr/lib/pam.d"))); err != nil {
		t.Fatal(err)
	}
	a.put("etc/pam.d/common-session", "session sufficient pam_permit.so\n") // /etc counts above it
	a.sshd(narrowed + "HostbasedAuthentication yes\n")
	if diff := cmp.Diff([]string{"note hostbased drop/10.conf:3"}, a.found()); diff != "" {
		t.Error(diff)
	}
	if facts := a.facts(); facts.Stack != "/usr/lib/pam.d/sshd" || !slices.ContainsFunc(facts.PAM, func(line doctor.PAMLine) bool { return line.File == "/etc/pam.d/common-session" }) {
		t.Errorf("%s: %+v", facts.Stack, facts.PAM)
	}
	a.yaml = ""
	if err := os.Remove(a.path("usr/lib/pam.d/sshd")); err != nil {
		t.Fatal(err)
	}
	a.sshd(narrowed)
	if diff := cmp.Diff([]string{"unknown unread this host"}, a.found()); diff != "" {
		t.Error(diff)
	}
	a.sshd(narrowed + "UsePAM no\n")
	if found := a.found(); len(found) > 0 {
		t.Error(found)
	}
}
