package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// patience is for files that answer.
const patience = 3 * time.Second

// leastKey is less than any line with a key has: "ssh-ed25519 " and 68 characters.
const leastKey = 79

// fill looks at the files of somebody who has to get in. They can be behind a file server that does not answer: what does not tell in time has
// no key.
func (f *Facts) fill(a *Account) {
	names := slices.Clone(a.Files.Paths)
	for _, unkept := range a.Files.Unkept {
		names = append(names, unkept.Path) // one that all accounts share, say
	}
	type look struct {
		file GlassFile
		err  error
	}
	found := make(chan look, len(names))
	account := a.Account
	go func() {
		defer close(found)
		for _, name := range names {
			if !filepath.IsAbs(name) {
				name = filepath.Join(account.Home, name)
			}
			if file, err := glassFile(name, account.Home, account.UID); file.Path != "" || err != nil {
				found <- look{file, err}
			}
		}
	}()
	for end := time.After(patience); ; {
		select {
		case one, more := <-found:
			switch {
			case !more:
				return
			case f.hidden(one.err):
				a.Hidden = true
			case one.err == nil:
				a.Filled = append(a.Filled, one.file)
			}
		case <-end:
			return
		}
	}
}

// glassFile looks at one file, which has no path in the answer if it has no key's worth of bytes. Only one that root alone could have put there is
// read: what is in a home is for package homes.
func glassFile(name, home string, uid int) (GlassFile, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Size() <= leastKey) {
		return GlassFile{}, nil
	}
	if err != nil {
		return GlassFile{}, err
	}
	file := GlassFile{Path: name}
	if file.Unsafe, err = unsafeKeys(name, home, uid); err != nil {
		return GlassFile{}, err
	}
	if at, err := exposed(name); err != nil || at != "" {
		return file, nil //nolint:nilerr // it is not read, then
	}
	text, err := readRegular(name)
	if err != nil {
		return GlassFile{}, err
	}
	file.Known = true
	for _, line := range authkeys.Parse(text) {
		switch {
		case line.Kind != authkeys.Entry:
		case line.Options.CertAuthority():
			file.Known = false // whom it certifies is not known
		default:
			file.Keys = append(file.Keys, line.Key)
		}
	}
	return file, nil
}

// unsafeKeys says why sshd does not read a file of keys: it, and each directory above it up to the user's home, must be root's or the user's, and nobody
// else's to write (safe_path in OpenSSH's misc.c). Debian's admits a group of the user's own.
func unsafeKeys(name, home string, uid int) (string, error) {
	at, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", err
	}
	if target, err := filepath.EvalSymlinks(home); err == nil {
		home = target
	}
	for ; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			return "", err
		}
		if owner, _ := statefile.Owner(info); owner != 0 && owner != uid || info.Mode().Perm()&0o022 != 0 {
			return fmt.Sprintf("%s belongs to uid %d, mode %04o", at, owner, info.Mode().Perm()), nil
		}
		if at == home || at == "/" {
			return "", nil
		}
	}
}
