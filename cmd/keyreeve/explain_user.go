package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/explain"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
)

// errNoLogin makes explain end with statusAttention; it is not an error that is printed.
var errNoLogin = errors.New("no key logs in")

// userQuestion is what explain USER is asked.
type userQuestion struct {
	name string
	from netip.Addr
	// wanted is a fingerprint, and key the key where it was given; empty for all keys.
	wanted string
	key    authkeys.Key
}

func explainUserOf(cmd *cobra.Command, p process, path, format, from string, words []string) error {
	if len(words) > 2 || len(words) == 0 && os.Geteuid() == 0 {
		return withHint(fmt.Errorf("explain needs a user, and perhaps a key, and was given %d words", len(words)), "see \"keyreeve explain --help\"")
	}
	var q userQuestion
	var err error
	if from != "" {
		if q.from, err = netip.ParseAddr(from); err != nil {
			return fmt.Errorf("--from: %q is no address", from)
		}
	}
	if len(words) == 0 {
		return explainSelf(cmd.Context(), p, path, format, q)
	}
	q.name = words[0]
	if err := (homes.Account{Name: q.name, Home: "/x"}).Check(); err != nil {
		return err
	}
	if len(words) == 2 {
		if err := q.about(words[1]); err != nil {
			return err
		}
	}
	return explainUser(cmd.Context(), p, path, format, q)
}

// about takes the key of the question: a line, a fingerprint, or a file with one line.
func (q *userQuestion) about(text string) error {
	if line, err := authkeys.ParseValue([]byte(text)); err == nil {
		q.key, q.wanted = line.Key, line.Key.Fingerprint()
		return nil
	}
	if f, err := parseLogin(text); err == nil {
		if q.wanted = f.sha256; q.wanted == "" {
			return errors.New("a key of a user is named by its SHA256, or by itself; MD5 goes with --login")
		}
		return nil
	}
	line, err := readKeyLine(text)
	if err != nil {
		// Without the text: somebody may have pasted a private key.
		if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
			err = failed.Err
		}
		return withHint(fmt.Errorf("KEY is neither a key nor a fingerprint, nor a file with a key: %w", err), "\"keyreeve check-key\" says what is wrong with a key")
	}
	q.key, q.wanted = line.Key, line.Key.Fingerprint()
	return nil
}

// readKeyLine reads the first line of a file such as id_ed25519.pub.
func readKeyLine(path string) (authkeys.Line, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the person who asks names it; a FIFO would keep the open waiting
	if err != nil {
		return authkeys.Line{}, err
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return authkeys.Line{}, errors.Join(err, errors.New("no regular file"))
	}
	text, err := io.ReadAll(io.LimitReader(file, 1<<14))
	if err != nil {
		return authkeys.Line{}, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return authkeys.ParseValue([]byte(strings.TrimSpace(first)))
}

// userExplained is what explain USER prints.
type userExplained struct {
	explain.Answer

	Reading explainedReading `json:"reading"`
}

func explainUser(ctx context.Context, p process, path, format string, q userQuestion) (err error) {
	one, read, err := openWorld(ctx, p, path)
	if err != nil {
		return err
	}
	one.sshd = newSSHD(one.config.Homes.SSHD)
	groups := host.NewGroups(func(err error) { p.warn(fmt.Errorf("groups are taken from /etc/group: %w", err)) })
	one.modes = modes{config: one.config, groups: groups}
	if one.door, err = homes.Open(homes.Options{Groups: groups.Of}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.door.Close()) }()
	c := collector{pass: one, root: p.root(), question: q, groups: groups}
	d := userExplained{Answer: explain.Judge(c.collect(ctx)), Reading: describeExplained(one, read)}
	if err := printDocument(p, format, d, func(out *bufio.Writer) {
		d.Reading.text(out)
		d.Text(out)
	}); err != nil {
		return err
	}
	switch {
	case !d.Known:
		return errors.New("whether a key logs in is not known: not all could be looked at")
	case d.LogsIn:
		return nil
	}
	return errNoLogin
}

// removedShown bounds the lines from quarantine, the newest of which are told.
const removedShown = 20

// removed are the lines that went from the user's files, the newest first, by copies of which the newest is the last.
func removed(copies []enforcer.Copy, wanted string) (list []explain.Removed) {
	for _, c := range slices.Backward(copies) {
		for _, line := range c.Lines {
			if line.Action != audit.RemoveLine || wanted != "" && line.Fingerprint != wanted {
				continue
			}
			if len(list) == removedShown {
				return list
			}
			list = append(list, explain.Removed{
				Time: c.Time.Truncate(time.Second), File: c.Path, Line: line.Line, Fingerprint: line.Fingerprint, Reason: string(line.Reason), Detail: line.Detail, Copy: c.ID,
			})
		}
	}
	return list
}
