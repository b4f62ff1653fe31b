// Package host asks this host's own programs what they would do: sshd, in which
// files it looks for a user's keys, and getent, which groups a user is in.
//
// Both know what no other program can find out: sshd resolves Match and Include
// and the defaults that a distribution compiled in, and getent goes through NSS,
// which a program that is not linked with the C library cannot.
//
//	sshd := host.NewSSHD("", []string{"/etc/ssh/sshd_config"})
//	changed, err := sshd.Refresh(ctx)     // at the start, and when something may have changed
//	files, err := sshd.KeyFiles(account)  // for each look
//
// A program is run by its absolute path, without a shell, with an environment and
// arguments of the package's own, and with bounds on its time and its output. A
// user's name is the only foreign text among the arguments, and it never stands at
// the beginning of one but for a name that homes.Account.Check has admitted, which
// begins with a letter. It is the only package that runs programs. RunAs alone goes by other rules: it runs a command that root
// has put into sshd's configuration, as another user; and a [Hook] is
// one of the administrator's, which has no rights of root's.
//
// # Limits
//
// What depends on a connection (Match Address, LocalPort, ...) cannot be asked
// for every connection: the values that stand in such blocks are taken from the
// text and count for everybody. An sshd that was started with -o, or that runs
// with a configuration that was changed since and not reloaded, reads other files
// than it says here.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/plain"
)

const (
	// patience bounds one run. It is less than the time after which a look counts as hanging.
	patience = 4 * time.Second
	// maxOutput bounds what a program may print, in bytes: sshd -T prints about 4 KiB, and a list of 65536 groups
	// (NGROUPS_MAX) has 700 KB.
	maxOutput = 1 << 20
	// maxSaid bounds what of a program's complaint gets into an error.
	maxSaid = 300
	// waitDelay is how long a child of a program may hold its pipes open.
	waitDelay = time.Second
)

// searchPath is where programs of the system are. /usr/local comes last: its folders may be a group's to write, as Debian's staff.
const searchPath = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"

// find returns the absolute path of a program, or "" when this host has none.
func find(name string) string {
	for dir := range strings.SplitSeq(searchPath, ":") {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// run runs a program to its end and returns what it printed on stdout. The error says what it printed on stderr.
func run(ctx context.Context, program string, args ...string) (string, error) {
	out, _, err := runBoth(ctx, program, args...)
	return out, err
}

// runBoth is run, and returns what the program printed on stderr, too.
func runBoth(ctx context.Context, program string, args ...string) (stdout, stderr string, err error) {
	return runFed(ctx, "", program, args...)
}

// runFed is runBoth for a program that reads a text from its stdin; without a text it has /dev/null there.
func runFed(ctx context.Context, input, program string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // an absolute path, and arguments as the package comment says
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C", "PATH=" + searchPath}
	cmd.WaitDelay = waitDelay
	if input != "" {
		cmd.Stdin = strings.NewReader(input)
	}
	var out, said bounded
	cmd.Stdout, cmd.Stderr = &out, &said
	err = cmd.Run()
	if err = ended(ctx, err, out.over || said.over); err != nil {
		return "", "", fmt.Errorf("%s %s: %w%s", program, args[0], err, prefixed(": ", plain.Cut(oneLine(said.text.String()), maxSaid)))
	}
	return out.text.String(), said.text.String(), nil
}

// ended says how a run ended, where more is known than that it failed.
func ended(ctx context.Context, err error, over bool) error {
	switch {
	case over:
		return errTooMuch
	case ctx.Err() != nil:
		return fmt.Errorf("no answer within %v: %w", patience, ctx.Err())
	}
	return err
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

var errTooMuch = errors.New("it prints too much")

// bounded takes so much and no more: a program that prints on is cut off. The buffer is not embedded, since its ReadFrom
// knows no bound.
type bounded struct {
	text bytes.Buffer
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.over = b.over || b.text.Len()+len(p) > maxOutput; b.over {
		return 0, errTooMuch
	}
	return b.text.Write(p)
}
