package enforcer_test

import (
	edkeys "crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// newPrivate makes a private key in OpenSSH's form, with a passphrase unless that is empty.
func newPrivate(tb testing.TB, passphrase string) string {
	tb.Helper()
	_, key, err := edkeys.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "ann@laptop")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "ann@laptop", []byte(passphrase))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

// put makes a file in the .ssh of an account.
func (c *centre) put(a homes.Account, name, text string, mode os.FileMode) {
	c.tb.Helper()
	path := filepath.Join(a.Home, ".ssh", name)
	if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode), os.Lchown(path, a.UID, a.GID)); err != nil {
		c.tb.Fatal(err)
	}
}

// A look tells of private keys that are not as they should be, whatever their names, and of what could not be looked at; of those with a passphrase where
// others may read them.
func TestLookForPrivateKeys(t *testing.T) {
	testenv.Need(t, "root") // who may read everything finds nothing unreadable
	c := newCentre(t)
	a := c.account("ann", "")
	c.put(a, "plain", newPrivate(t, ""), 0o600)
	c.put(a, "known_hosts", newPrivate(t, ""), 0o644)
	c.put(a, "id_ed25519", newPrivate(t, "passphrase"), 0o600)
	c.put(a, "id_rsa", newPrivate(t, "passphrase"), 0o640)
	c.put(a, "cut", newPrivate(t, "")[:200], 0o600)
	c.put(a, "closed", newPrivate(t, ""), 0o000)
	look := enforcer.Looker{Homes: c.door, Grants: grants(t, lineA)}
	if got := look.Look(a).Private; got != nil {
		t.Errorf("nobody asked, and %+v is told", got)
	}
	look.Private = enforcer.PrivateKeys(c.door, []string{".ssh"})
	result := look.Look(a)
	var got []string
	for _, k := range result.Private {
		got = append(got, strings.TrimPrefix(k.Path, a.Home+"/.ssh/")+" "+string(k.State)+k.Blind)
	}
	want := []string{"cut unclear", "id_rsa encrypted", "known_hosts plain", "plain plain", "closed permission denied"}
	if diff := cmp.Diff(want, got); diff != "" || result.Err != nil {
		t.Errorf("%v %s", result.Err, diff)
	}
}

// Where a look hung, nobody looks for private keys, and that is told.
func TestLookThatHungFindsNoPrivateKeys(t *testing.T) {
	for _, hung := range []error{homes.ErrStuck, homes.ErrSilent, nil, errors.New("input/output error")} {
		asked := false
		look := enforcer.Looker{
			Homes: shelf{".ssh/authorized_keys": regular("")}, Grants: grants(t, lineA),
			Files: func(homes.Account) (homes.KeyFiles, error) {
				return homes.KeyFiles{Paths: []string{".ssh/authorized_keys"}}, hung
			},
			Private: func(homes.Account) []enforcer.PrivateKey { asked = true; return nil },
		}
		got := look.Look(alice).Private
		skips := errors.Is(hung, homes.ErrStuck) || errors.Is(hung, homes.ErrSilent)
		if asked == skips || skips != (len(got) == 1 && got[0].Blind != "" && got[0].Path == alice.Home) {
			t.Errorf("%v: asked %v, %+v", hung, asked, got)
		}
	}
}
