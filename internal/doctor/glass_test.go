package doctor_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Each way in which what is configured could keep out root while a file of keyreeve's is missing or stale, in each way of finding keys, by a real
// sshd -T. The first of each is in order.
func TestBreakGlassInEachWay(t *testing.T) {
	account := testenv.NewAccount(t)
	const (
		homes  = ""
		strong = "AuthorizedKeysFile none\n"
		early  = "Match Address 10.0.0.0/8\n\tAuthorizedKeysFile none\n"
	)
	files := kinds(t, [2]string{"rsa", "2048"}, [2]string{"ecdsa", "256"})
	short, err := os.ReadFile(files[[2]string{"rsa", "2048"}] + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	ecdsa, err := os.ReadFile(files[[2]string{"ecdsa", "256"}] + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t) + "\n"
	for name, c := range map[string]struct {
		asks  bool
		sshd  string
		files map[string]string
		spoil func(a asks)
		want  []string
	}{
		"homes":                           {false, homes, map[string]string{"root/.ssh/authorized_keys": key}, nil, nil},
		"homes, a key that is too short":  {false, homes, map[string]string{"root/.ssh/authorized_keys": string(short)}, nil, []string{"locks-out break-glass-key drop/10.conf:1"}},
		"homes, one of another type":      {false, homes, map[string]string{"root/.ssh/authorized_keys": string(ecdsa)}, nil, []string{"locks-out break-glass-key drop/10.conf:1"}},
		"homes, and a good one":           {false, homes, map[string]string{"root/.ssh/authorized_keys": string(short), "root/.ssh/authorized_keys2": key}, nil, nil},
		"homes, a root's block for it":    {false, "Match User root\n\tPubkeyAcceptedAlgorithms +ecdsa-sha2-nistp256\n", map[string]string{"root/.ssh/authorized_keys": string(ecdsa)}, nil, nil},
		"homes, a file that others write": {false, homes, map[string]string{"root/.ssh/authorized_keys": key}, func(a asks) { a.mode("root/.ssh/authorized_keys", 0o666) }, []string{"locks-out break-glass-file root/.ssh/authorized_keys"}},
		"homes, a home that others write": {false, homes, map[string]string{"root/.ssh/authorized_keys": key}, func(a asks) { a.mode("root", 0o777) }, []string{"locks-out break-glass-file root/.ssh/authorized_keys"}},
		"homes, in no connection":         {false, early, map[string]string{"root/.ssh/authorized_keys": key}, nil, []string{"locks-out break-glass drop/10.conf:4"}},
		"homes, and an authority there":   {false, homes, map[string]string{"root/.ssh/authorized_keys": "cert-authority " + string(ecdsa)}, nil, nil},
		"both":                            {true, homes, map[string]string{"root/.ssh/authorized_keys": key}, nil, nil},
		"both, without a file of answers": {true, homes, map[string]string{"root/.ssh/authorized_keys": key}, func(a asks) { a.missing() }, []string{"note answer-missing drop/10.conf:3"}},
		"strong":                          {true, strong + glass, map[string]string{"glass/root": key}, nil, nil},
		"strong, no block":                {true, strong, nil, nil, []string{"locks-out break-glass drop/10.conf:5"}},
		"strong, no key":                  {true, strong + glass, map[string]string{"glass/root": ""}, nil, []string{"locks-out break-glass drop/10.conf:7"}},
		"strong, a key that is too short": {true, strong + glass, map[string]string{"glass/root": string(short)}, nil, []string{"locks-out break-glass-key drop/10.conf:1"}},
		"strong, another's directory":     {true, strong + glass, nil, func(a asks) { a.mode("glass", 0o777) }, []string{"locks-out break-glass-file glass/root"}},
		"strong, a block before it":       {true, strong + early + glass, nil, nil, []string{"locks-out break-glass drop/10.conf:7", "locks-out no-keys drop/10.conf:7"}},
		"strong, one behind it":           {true, strong + glass + early, nil, nil, nil},
		"strong, one for others before":   {true, strong + "Match User *,!root Address 10.0.0.0/8\n\tAuthorizedKeysFile none\n" + glass, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAsks(t, account)
			text := narrowed
			if c.asks {
				text += a.command(words)
			} else {
				a.yaml = ""
			}
			a.sshd(text + c.sshd)
			for file, text := range c.files {
				a.put(file, text)
			}
			if c.spoil != nil {
				c.spoil(a)
			}
			found := a.found()
			for i := range found {
				found[i] = strings.Replace(found[i], a.dir+"/", "", 1)
			}
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// missing takes the file of answers away.
func (a asks) missing() {
	a.Helper()
	if err := os.RemoveAll(a.dir + "/keys.cdb"); err != nil {
		a.Fatal(err)
	}
}

// That a key is too short, or a file not root's alone, is what keeps root out: sshd refuses both.
func TestBreakGlassLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	account := testenv.NewAccount(t)
	short := kinds(t, [2]string{"rsa", "2048"})[[2]string{"rsa", "2048"}]
	public, err := os.ReadFile(short + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	good, line := testenv.NewKey(t)
	p := newPlace(t)
	p.put("glass/"+account.Name, line+"\n"+string(public))
	server := testenv.StartSSHD(t, narrowed+"AuthorizedKeysFile "+p.path("glass/%u"))
	if err := server.Login(account.Name, good); err != nil {
		t.Error(err)
	}
	if err := server.Login(account.Name, short); err == nil {
		t.Error("a key that is too short got in")
	}
	p.mode("glass", 0o777)
	if err := server.Login(account.Name, good); err == nil {
		t.Error("a file in a directory that others write was read")
	}
}
