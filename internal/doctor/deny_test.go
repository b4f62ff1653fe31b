package doctor_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/krl"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// denyYAML has keyreeve keep a list; deny is sshd's drop-in for it, from its own line 3 on.
const (
	denyYAML = "deny: {file: @DIR/revoked.krl}\n"
	deny     = "Match User *,!root\n\tRevokedKeys @DIR/revoked.krl\n"
)

// listOf is a list as the daemon writes it.
func listOf(t *testing.T, lines ...string) string {
	t.Helper()
	var hashes []krl.Hash
	for _, line := range lines {
		hashes = append(hashes, sha256.Sum256(authkeys.Parse([]byte(line))[0].Key.Wire()))
	}
	return string(krl.Make(hashes))
}

// Every check of the list that sshd asks, by a real sshd -T.
func TestChecksOfDeny(t *testing.T) {
	one, two := newKey(t), newKey(t)
	list := listOf(t, one)
	for name, c := range map[string]struct {
		yaml, sshd string
		spoil      func(p *place)
		want       []string
	}{
		"in order":                    {denyYAML, deny, nil, nil},
		"an empty list":               {denyYAML, deny, func(p *place) { p.put("revoked.krl", "") }, nil},
		"missing":                     {denyYAML, deny, func(p *place) { p.noList() }, []string{"locks-out deny-missing drop/10.conf:4"}},
		"missing, in a block":         {denyYAML, "Match Address 10.0.0.0/8\n\tRevokedKeys @DIR/gone\n" + deny, nil, []string{"defeats deny-shadowed drop/10.conf:4", "locks-out deny-missing drop/10.conf:4"}},
		"missing, and nobody asks":    {denyYAML, "", func(p *place) { p.noList() }, []string{"defeats deny-unused sshd_config (a default: no line says it)"}},
		"the centre's own is missing": {"", "RevokedKeys @DIR/own\n", nil, []string{"locks-out deny-missing drop/10.conf:3"}},
		"the centre's own":            {"", "RevokedKeys @DIR/own\n", func(p *place) { p.put("own", "# ours\n\n"+one+"\n") }, nil},
		"the centre's own, spoilt":    {"", "RevokedKeys @DIR/own\n", func(p *place) { p.put("own", one+"\nrestrict "+two+"\n") }, []string{"locks-out deny-damaged drop/10.conf:3"}},
		"no file": {denyYAML, deny, func(p *place) { p.noList(); p.put("revoked.krl/file", "") }, []string{
			"locks-out deny-unreadable drop/10.conf:4",
		}},
		"cut off":         {denyYAML, deny, func(p *place) { p.put("revoked.krl", list[:len(list)-1]) }, []string{"locks-out deny-damaged drop/10.conf:4"}},
		"something else":  {denyYAML, deny, func(p *place) { p.put("revoked.krl", "hello\n") }, []string{"defeats deny-foreign deny.file", "locks-out deny-damaged drop/10.conf:4"}},
		"another's list":  {denyYAML, deny, func(p *place) { p.put("revoked.krl", one+"\n") }, []string{"defeats deny-foreign deny.file"}},
		"others write it": {denyYAML, deny, func(p *place) { p.mode("revoked.krl", 0o666) }, []string{"locks-out deny-exposed drop/10.conf:4"}},
		"nobody asks":     {denyYAML, "", nil, []string{"defeats deny-unused sshd_config (a default: no line says it)"}},
		"not everybody asks": {denyYAML, "Match Address 10.0.0.0/8\n\tRevokedKeys none\n" + deny, nil, []string{
			"defeats deny-unused drop/10.conf:4",
		}},
		"root's is the main part's":    {denyYAML, "RevokedKeys none\n" + deny, nil, nil},
		"shadowed for one":             {denyYAML, "Match User ada\n\tRevokedKeys @DIR/own\n" + deny, func(p *place) { p.put("own", "") }, []string{"defeats deny-shadowed drop/10.conf:4"}},
		"shadowed in a connection":     {denyYAML, "Match Address 10.0.0.0/8\n\tRevokedKeys @DIR/own\n" + deny, func(p *place) { p.put("own", "") }, []string{"defeats deny-shadowed drop/10.conf:4"}},
		"one that comes too late":      {denyYAML, deny + "Match Address 10.0.0.0/8\n\tRevokedKeys @DIR/own\n", func(p *place) { p.put("own", "") }, nil},
		"root asks it":                 {denyYAML, "RevokedKeys @DIR/revoked.krl\n", nil, []string{"locks-out deny-break-glass drop/10.conf:3"}},
		"root, in a connection":        {denyYAML, "Match Address 10.0.0.0/8\n\tRevokedKeys @DIR/revoked.krl\n" + deny, nil, []string{"locks-out deny-break-glass drop/10.conf:4"}},
		"a group without root":         {denyYAML, "Match Group kr-none\n\tRevokedKeys @DIR/revoked.krl\n" + deny, nil, nil},
		"root does not get in":         {denyYAML, "PermitRootLogin no\nRevokedKeys @DIR/revoked.krl\n", nil, nil},
		"kept no more":                 {"", deny, nil, []string{"locks-out deny-left drop/10.conf:4"}},
		"kept no more, and empty":      {"", deny, func(p *place) { p.put("revoked.krl", "") }, nil},
		"kept elsewhere":               {strings.Replace(denyYAML, "revoked", "new", 1), deny, func(p *place) { p.put("new.krl", "") }, []string{"defeats deny-shadowed drop/10.conf:4", "locks-out deny-left drop/10.conf:4"}},
		"a file to spare, with a word": {"deny: {file: @DIR/revoked.krl, except: [@DIR/spared]}\n", deny, func(p *place) { p.put("spared", one+"\nSHA256:x\n") }, []string{"defeats deny-except deny.except"}},
		"one with keys":                {"deny: {file: @DIR/revoked.krl, except: [@DIR/spared]}\n", deny, func(p *place) { p.put("spared", "# ours\n\ncert-authority "+one+"\nodd-option "+two+"\n") }, nil},
		"a file to spare is missing":   {"deny: {file: @DIR/revoked.krl, except: [@DIR/spared]}\n", deny, nil, []string{"defeats deny-except deny.except"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.yaml = c.yaml
			p.put("revoked.krl", list)
			p.sshd(narrowed + c.sshd)
			if c.spoil != nil {
				c.spoil(p)
			}
			if diff := cmp.Diff(c.want, p.found()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// noList takes the list away.
func (p *place) noList() {
	p.Helper()
	if err := os.Remove(p.path("revoked.krl")); err != nil {
		p.Fatal(err)
	}
}

func (p *place) mode(name string, mode os.FileMode) {
	p.Helper()
	if err := os.Chmod(p.path(name), mode); err != nil {
		p.Fatal(err)
	}
}

// The keys of authorities, and of hosts that all users trust, must not come onto the list.
func TestAuthoritiesAreSpared(t *testing.T) {
	const (
		except = "deny: {file: @DIR/revoked.krl, except: [@DIR/spared]}\n"
		ca     = "TrustedUserCAKeys @DIR/ca\n"
		hosts  = "HostbasedAuthentication yes\n"
	)
	one, two := newKey(t), newKey(t)
	for name, c := range map[string]struct {
		yaml, sshd, spared, known string
		want                      []string
	}{
		"spared":                 {except, ca, one + "\n" + two + "\n", "", []string{"defeats trusted-ca"}},
		"one of two":             {except, ca, one + "\n", "", []string{"defeats trusted-ca", "locks-out deny-authority"}},
		"in a block":             {except, "Match Address 10.0.0.0/8\n\tTrustedUserCAKeys @DIR/ca\n", "", "", []string{"defeats trusted-ca", "locks-out deny-authority"}},
		"no file of authorities": {except, "TrustedUserCAKeys @DIR/gone\n", "", "", []string{"defeats trusted-ca", "unknown deny-authority"}},
		"hosts":                  {except, hosts, one + "\n", "node1,10.0.0.1 " + one + "\n@revoked * " + two + "\n# " + two + "\n", []string{"defeats hostbased"}},
		"a host":                 {except, hosts, one + "\n", "node1 " + one + "\nnode2 " + two + "\n", []string{"defeats hostbased", "locks-out deny-hosts"}},
		"an authority of hosts":  {except, hosts, one + "\n", "@cert-authority * " + two + "\n", []string{"defeats hostbased", "locks-out deny-hosts"}},
		"no hosts":               {except, hosts, "", "", []string{"defeats hostbased"}},
		"a host that is not let": {except, "", "", "node1 " + one + "\n", nil},
		"no list":                {"", ca + hosts, "", "node1 " + one + "\n", []string{"defeats hostbased", "defeats trusted-ca"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.yaml = c.yaml
			text := narrowed + c.sshd
			if c.yaml != "" {
				text += deny
			}
			p.sshd(text)
			p.put("revoked.krl", "")
			p.put("ca", one+"\n"+two+"\n")
			p.put("spared", c.spared)
			if c.known != "" {
				p.put("etc/ssh/ssh_known_hosts", c.known)
			}
			if diff := cmp.Diff(c.want, codes(p.found())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An sshd before 7.9 does not print what that release brought; all else is the real one's.
func TestDenyWantsOpenSSH79(t *testing.T) {
	p := newPlace(t)
	sshd, err := testenv.Program("sshd")
	if err != nil {
		t.Fatal(err)
	}
	p.put("old-sshd", "#!/bin/sh\nout=$("+sshd+" \"$@\") || exit\necho \"$out\" | grep -vi ^CASignatureAlgorithms\n")
	p.mode("old-sshd", 0o755)
	p.yaml = denyYAML
	p.put("revoked.krl", "")
	p.sshd(narrowed + deny)
	if found := p.found(); len(found) > 0 {
		t.Error(found)
	}
	p.program = p.path("old-sshd")
	if diff := cmp.Diff([]string{"locks-out deny-old-sshd drop/10.conf:4"}, p.found()); diff != "" {
		t.Error(diff)
	}
	if text := p.facts().DropIn(doctor.Homes); strings.Contains(text, "RevokedKeys") {
		t.Error(text)
	}
}

// What is called damaged is what ssh-keygen and sshd do not read, byte for byte of a list; sshd refuses everybody then.
func TestDamagedListsAreThoseThatSSHRefuses(t *testing.T) {
	account := testenv.NewAccount(t)
	key, line := testenv.NewKey(t)
	authorize(t, account, line+"\n")
	p := newPlace(t)
	p.yaml = denyYAML
	p.sshd(narrowed + deny)
	keygen, err := testenv.Program("ssh-keygen")
	if err != nil {
		t.Fatal(err)
	}
	whole := listOf(t, newKey(t), newKey(t))
	locks := func() bool { return len(p.found()) > 0 }
	for cut := 8; cut <= len(whole); cut += 3 { // shorter ones are no binary list, which ssh-keygen does not read at all
		p.put("revoked.krl", whole[:cut])
		reads := exec.Command(keygen, "-Q", "-f", p.path("revoked.krl")).Run() == nil
		if cut < len(whole) && reads {
			continue // ssh-keygen is content with a list that ends between its sections; keyreeve's daemon is not
		}
		if locks() == reads {
			t.Errorf("%d of %d bytes: ssh-keygen reads it: %v", cut, len(whole), reads)
		}
	}
	server := testenv.StartSSHD(t, "RevokedKeys "+p.path("revoked.krl"))
	for name, text := range map[string]string{
		"whole": whole, "empty": "", "cut": whole[:len(whole)-1], "text": newKey(t) + "\n", "a bad line": newKey(t) + "\nbad\n", "options": "restrict " + newKey(t) + "\n", "gone": "",
	} {
		p.put("revoked.krl", text)
		if name == "gone" {
			p.noList()
		}
		refused := errors.Is(server.Login(account.Name, key), testenv.ErrRefused)
		if told := strings.Contains(fmt.Sprint(p.found()), "locks-out"); told != refused {
			t.Errorf("%s: sshd refuses everybody: %v, told: %v", name, refused, told)
		}
	}
	// Another tool's list, which is not keyreeve's.
	own := filepath.Join(t.TempDir(), "own")
	p.put("key.pub", newKey(t)+"\n")
	if said, err := exec.Command(keygen, "-q", "-k", "-f", own, p.path("key.pub")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	text, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	p.yaml = ""
	for _, c := range []struct {
		text []byte
		want []string
	}{{text, nil}, {text[:len(text)-1], []string{"locks-out deny-damaged drop/10.conf:4"}}, {bytes.ReplaceAll(text, []byte("SSHKRL\n\x00\x00\x00\x00\x01"), []byte("SSHKRL\n\x00\x00\x00\x00\x02")), []string{"locks-out deny-damaged drop/10.conf:4"}}} {
		p.put("revoked.krl", string(c.text))
		if diff := cmp.Diff(c.want, p.found()); diff != "" {
			t.Error(diff)
		}
	}
}
