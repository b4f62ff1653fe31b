package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/internal/krl"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// krlMagic begins a list in OpenSSH's binary form (PROTOCOL.krl); sshd takes everything else for lines of keys.
const krlMagic = "SSHKRL\n\x00"

// maxKeys bounds a file of public keys that has to be spared, as the daemon does.
const maxKeys = 1 << 20

// hostKeyFiles have the keys of hosts that HostbasedAuthentication trusts for everybody (_PATH_SSH_SYSTEM_HOSTFILE and HOSTFILE2).
func hostKeyFiles() []string {
	return []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
}

// lists looks at the files of revoked keys, and at those whose keys must not get on them.
func (q Question) lists(ctx context.Context, f *Facts) {
	f.Revoked, f.Authorities = make(map[string]RevokedFile), make(map[string]KeyFile)
	f.Hosts, f.Spared = make(map[string]KeyFile), make(map[string]KeyFile)
	revokedNames := slices.DeleteFunc(append(valuesOf(f.Said, "revokedkeys"), q.Config.Deny.File), func(name string) bool { return name == "" })
	for _, name := range revokedNames {
		r, err := revokedFile(ctx, name)
		if err != nil {
			f.Unread = append(f.Unread, err)
		}
		f.Revoked[name] = r
	}
	if q.Config.Deny.File == "" {
		return
	}
	for _, name := range valuesOf(f.Said, "trustedusercakeys") {
		text, err := readRegular(name)
		f.Authorities[name] = KeyFile{keysOf(text), err}
	}
	for _, name := range hostKeyFiles() {
		text, err := readRegular(q.path(name))
		if !errors.Is(err, fs.ErrNotExist) {
			f.Hosts[name] = KeyFile{hostKeysOf(text), err}
		}
	}
	for _, name := range q.Config.Deny.Except {
		text, err := statefile.Read(name, maxKeys) // as the daemon does
		if f.hidden(err) {
			err = nil
		}
		f.Spared[name] = KeyFile{keysOf(text), err}
	}
}

// valuesOf are the files that sshd's answers, or lines of its configuration, name for a keyword, each once.
func valuesOf(all []host.Said, keyword string) []string {
	var list []string
	for _, said := range all {
		for _, s := range said.Users {
			list = append(list, s.Words(keyword)...)
		}
		for _, line := range said.Lines {
			if line.Keyword == keyword {
				list = append(list, line.Values...)
			}
		}
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(name string) bool { return !filepath.IsAbs(name) })
}

// hidden takes an error that a program without root's rights gets, where sshd would not, for what it is.
func (f *Facts) hidden(err error) bool {
	if os.Geteuid() == 0 || !errors.Is(err, fs.ErrPermission) {
		return false
	}
	f.Unread = append(f.Unread, err)
	return true
}

// revokedFile looks at a file as sshd reads it: as root, through links. An error says that it could not be looked at.
func revokedFile(ctx context.Context, name string) (RevokedFile, error) {
	text, err := readRegular(name)
	if errors.Is(err, fs.ErrNotExist) {
		return RevokedFile{Missing: true}, nil
	}
	if err != nil {
		if os.Geteuid() != 0 && errors.Is(err, fs.ErrPermission) {
			return RevokedFile{}, err
		}
		return RevokedFile{Fault: err.Error()}, nil
	}
	var r RevokedFile
	hashes, ours, err := krl.Parse(text)
	r.Ours, r.Foreign = ours && len(hashes) > 0, !ours
	switch {
	case err != nil:
		r.Damage = err.Error()
	case ours:
	case bytes.HasPrefix(text, []byte(krlMagic)):
		if err := host.CheckKRL(ctx, name); err != nil {
			r.Damage = err.Error()
		}
	default:
		r.Damage = notKeys(text)
	}
	r.Exposed, err = exposed(name)
	return r, err
}

// notKeys says what in a file of lines is no key alone, without options: one such line makes sshd refuse all (sshkey_in_file in OpenSSH's
// authfile.c).
func notKeys(text []byte) string {
	for _, line := range authkeys.Parse(text) {
		if line.Kind == authkeys.Malformed || line.Kind == authkeys.Entry && !line.Options.IsZero() {
			return fmt.Sprintf("line %d is no public key alone", line.N)
		}
	}
	return ""
}

// exposed says who else than root may change a file.
func exposed(name string) (string, error) {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", err
	}
	at, info, err := statefile.Exposed(target)
	if err != nil || at == "" {
		return "", err
	}
	uid, _ := statefile.Owner(info)
	return fmt.Sprintf("%s belongs to uid %d, mode %04o", at, uid, info.Mode().Perm()), nil
}

func keysOf(text []byte) []authkeys.Key {
	var list []authkeys.Key
	for _, line := range authkeys.Parse(text) {
		if !line.Key.IsZero() {
			list = append(list, line.Key)
		}
	}
	return list
}

// hostKeysOf are the keys of a file of known hosts (SSH_KNOWN_HOSTS FILE FORMAT in sshd(8)): a marker that may be missing, names, then a key. Behind
// "@revoked" none is found where it is looked for, and that lets nobody in anyway.
func hostKeysOf(text []byte) []authkeys.Key {
	var keys []authkeys.Key
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) > 0 && words[0] == "@cert-authority" {
			words = words[1:]
		}
		if len(words) >= 3 && words[0][0] != '#' {
			keys = append(keys, keysOf([]byte(words[1]+" "+words[2]))...)
		}
	}
	return keys
}
