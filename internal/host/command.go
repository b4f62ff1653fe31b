package host

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
)

// standardPath is _PATH_STDPATH of paths.h, which sshd gives its commands.
const standardPath = "/usr/bin:/bin:/usr/sbin:/sbin"

// RunAs runs a command of sshd's, such as AuthorizedKeysCommand, as sshd does (subprocess in OpenSSH's misc.c): by its absolute path, without a shell,
// as the account, with the account's groups alone, from "/", with nothing on stdin, and with an environment of four variables. It returns what it printed.
// As with sshd, a command that does not end with 0 has said nothing. The bounds on time and output are those of the package.
func RunAs(ctx context.Context, account homes.Account, groups []int, words []string) (string, error) {
	if len(words) == 0 || !filepath.IsAbs(words[0]) {
		return "", fmt.Errorf("the command %q has no absolute path", words)
	}
	who := &syscall.Credential{Uid: uint32(account.UID), Gid: uint32(account.GID)} //nolint:gosec // ids of NSS
	for _, gid := range groups {
		who.Groups = append(who.Groups, uint32(gid)) //nolint:gosec // as above
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // the words of sshd's configuration, which is root's
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + standardPath, "USER=" + account.Name, "LOGNAME=" + account.Name, "HOME=" + account.Home}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with what it has started
	cmd.WaitDelay = waitDelay
	var out, said bounded
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if err = ended(ctx, err, out.over || said.over); err != nil {
		return "", fmt.Errorf("%s: %w%s", words[0], err, prefixed(": ", plain.Cut(oneLine(said.text.String()), maxSaid)))
	}
	return out.text.String(), nil
}

// Offered is the key that a client offers, as the tokens of a command have it; the zero Offered where none of them is used.
type Offered struct{ Fingerprint, Type, Base64 string }

// ErrConnection is that a command is told the connection (%C, %D; since OpenSSH 9.4), of which nothing is known before there is one.
var ErrConnection = errors.New("it is told the connection")

// TellsKey reports whether words of AuthorizedKeysCommand hand on the key that is offered.
func TellsKey(words []string) bool {
	for _, word := range words {
		for i := 0; i+1 < len(word); i++ {
			if word[i] != '%' {
				continue
			}
			if i++; strings.IndexByte("fkt", word[i]) >= 0 {
				return true
			}
		}
	}
	return false
}

// CommandWords are the words of AuthorizedKeysCommand as it is run for an account (user_key_command_allowed2 in OpenSSH's auth2-pubkey.c): each token is put in
// within its word, and the user's name is the one argument where there is none.
func CommandWords(words []string, a homes.Account, key Offered) ([]string, error) {
	var list []string
	for _, word := range words {
		var b strings.Builder
		for i := 0; i < len(word); i++ {
			if word[i] != '%' || i+1 == len(word) {
				b.WriteByte(word[i])
				continue
			}
			i++
			if strings.IndexByte("CD", word[i]) >= 0 {
				return nil, fmt.Errorf("%%%c: %w", word[i], ErrConnection)
			}
			value, known := map[byte]string{
				'%': "%", 'u': a.Name, 'U': strconv.Itoa(a.UID), 'h': a.Home, 'f': key.Fingerprint, 't': key.Type, 'k': key.Base64,
			}[word[i]]
			if !known {
				return nil, fmt.Errorf("sshd does not know the token %%%c, and ends each login that gets here", word[i])
			}
			b.WriteString(value)
		}
		list = append(list, b.String())
	}
	if len(list) == 1 {
		list = append(list, a.Name)
	}
	return list, nil
}
