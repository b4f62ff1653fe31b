package enforcer

import (
	"errors"
	"path"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/privkey"
)

// PrivateKey is a private key in a home that is not as it should be: no passphrase protects it, or others than its user may read it, or
// nobody can tell. Of its private half nothing is here.
type PrivateKey struct {
	Path string // absolute
	// Key is the zero Key where Blind is set: what stands at Path, a file or a directory, could not be looked at, for that reason.
	privkey.Key
	Blind string
	Mode  uint32 // permission bits
}

// Exposed reports that others than its user have rights to the file: ssh does not use it then (sshkey_perm_ok in authfile.c).
func (k PrivateKey) Exposed() bool { return k.Mode&0o077 != 0 }

// PrivateKeys is a Looker's Private that looks below directories of a home. Keys that a passphrase protects, and those of devices, are left out: the
// former unless they are exposed, the latter always, since they are of no use to who reads them.
func PrivateKeys(door *homes.Door, dirs []string) func(homes.Account) []PrivateKey {
	return func(a homes.Account) (list []PrivateKey) {
		found := homes.Sift(door, a, dirs, privkey.Find)
		for _, file := range found.Files {
			key := PrivateKey{Path: below(a, file.Path), Key: file.What, Mode: file.Mode}
			if key.State == privkey.Plain || key.State == privkey.Unclear || key.State == privkey.Encrypted && key.Exposed() {
				list = append(list, key)
			}
		}
		for _, b := range found.Blind {
			list = append(list, PrivateKey{Path: below(a, b.Path), Blind: b.Why})
		}
		return list
	}
}

func below(a homes.Account, name string) string { return path.Join(a.Home, name) }

// lookForPrivate adds the private keys to a look. One in which something hung already is not made longer: the same would hang this too, and a look
// that takes too long is given up with all that it has found.
func (l Looker) lookForPrivate(r *Result) {
	switch {
	case l.Private == nil || r.NoHome:
	case errors.Is(r.Err, homes.ErrStuck), errors.Is(r.Err, homes.ErrSilent):
		r.Private = []PrivateKey{{Path: r.Account.Home, Blind: "nobody looked for private keys, since the look at its files hung"}}
	default:
		r.Private = l.Private(r.Account)
	}
}
