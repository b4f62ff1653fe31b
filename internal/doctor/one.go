package doctor

import (
	"bytes"
	"context"
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
)

// Stack are the facts about sshd's stack of PAM, for the answers that sshd gave: Said, PAM, Stack, and in Unread what could not be read.
func Stack(root string, said []host.Said) Facts {
	f := Facts{Said: said}
	Question{Root: root}.stack(&f)
	return f
}

// Gate is keyreeve-keys in sshd's stack of PAM, as it is for one account.
type Gate struct {
	Where string // the line; empty: there is no gate
	File  string // the file of answers by which it judges
	Wrong string // why it refuses everybody
	// Passed: a line before it lets him past it, or its refusal does not end the session.
	Passed bool
}

// GateOf finds the gate in the facts of Stack.
func (f Facts) GateOf(a homes.Account) Gate {
	g := f.gate()
	if !g.there {
		return Gate{}
	}
	return Gate{Where: g.where, File: g.file, Wrong: g.wrong, Passed: !g.binds || f.spared(g, Account{Account: a})}
}

// Asks reports whether a type of sshd's stack has a module.
func (f Facts) Asks(kind, module string) bool {
	for _, line := range f.PAM {
		if line.Type == kind && line.is(module) {
			return true
		}
	}
	return false
}

// Revoked looks at a file of RevokedKeys as sshd does, and for some keys in it: those that are on it, by their fingerprints.
func Revoked(ctx context.Context, path string, keys []authkeys.Key) (r RevokedFile, on map[string]bool, err error) {
	if r, err = revokedFile(ctx, path); err != nil || r.Fault != "" || r.Missing || r.Damage != "" {
		return r, nil, err
	}
	text, err := readRegular(path)
	if err != nil {
		return r, nil, err
	}
	on = make(map[string]bool)
	listed := keysOf(text)
	for _, key := range keys {
		is := slices.Contains(listed, key)
		if bytes.HasPrefix(text, []byte(krlMagic)) {
			if is, err = host.InKRL(ctx, path, key.String()); err != nil {
				return r, on, err
			}
		}
		on[key.Fingerprint()] = is
	}
	return r, on, nil
}

// UnsafeProgram says why sshd would not run a program (auth_secure_path in OpenSSH's misc.c).
func UnsafeProgram(path string) error { return unsafePath(path) }

// ByConnection reports whether what a Match line asks for depends on more than the user.
func ByConnection(match string) bool { return byConnection(match) }
