package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/explain"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/policy"
)

// explainSelf is explain without a user, for whoever asks: what the daemon tells him of himself, and what he can see of his files by his own rights.
func explainSelf(ctx context.Context, p process, path, format string, q userQuestion) (err error) {
	dir, err := runtimeDir(path)
	if err != nil {
		return err
	}
	uid := os.Getuid()
	list, err := readStatus(filepath.Join(statusDir(dir), statusName(uid)))
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(fmt.Errorf("the daemon tells nothing of uid %d: %w", uid, err),
			"it tells users who have a process on this host, after some seconds, if it keeps their files; root asks with \"keyreeve explain USER\"")
	}
	if err != nil {
		return err
	}
	groups := host.NewGroups(func(error) {})
	door, err := homes.Open(homes.Options{Groups: groups.Of})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, door.Close()) }()
	answers := []explain.Answer{}
	in := false
	for _, s := range list {
		a := explain.Judge(s.facts(ctx, door, q))
		answers, in = append(answers, a), in || a.LogsIn
	}
	if err := printDocument(p, format, answers, func(out *bufio.Writer) {
		for _, a := range answers {
			a.Text(out)
		}
	}); err != nil {
		return err
	}
	if !in {
		return errNoLogin
	}
	return nil
}

// runtimeDir is that of the configuration, or the default's where that is root's alone to read, or not there.
func runtimeDir(path string) (string, error) {
	c, err := loadConfig(path)
	if path == defaultConfig && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist)) {
		return config.Default().RuntimeDir, nil
	}
	return c.RuntimeDir, err
}

// readStatus reads the file of a user.
func readStatus(path string) ([]ownStatus, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) //nolint:gosec // below the daemon's own directory
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, 2*mostStatus))
	if err != nil {
		return nil, err
	}
	var list []ownStatus
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// facts are those of a status, with what its user sees. What sshd is configured to do is root's to ask.
func (s ownStatus) facts(ctx context.Context, door *homes.Door, q userQuestion) explain.Facts {
	f := explain.Facts{
		User: s.User, Now: time.Now(), Zone: time.Local, From: q.from, Wanted: q.wanted, Key: q.key, //nolint:gosmopolitan // as for root
		Registry: s.known(), Notes: s.Notes,
	}
	f.Judge = func(line authkeys.Line) policy.Verdict {
		for _, k := range f.Registry.Keys {
			if k.Key == line.Key && !line.Options.CertAuthority() {
				return k.Verdict
			}
		}
		return policy.Verdict{Reason: policy.ReasonUnregistered, Detail: "the daemon does not tell of the key"}
	}
	if s.Away {
		f.Notes = append(f.Notes, "the registry did not answer the daemon: its last good reading counts")
	}
	if age := time.Since(s.Written); age > staleStatus {
		f.Notes = append(f.Notes, fmt.Sprintf("the daemon said this %v ago: ask an administrator whether it runs", age.Round(time.Minute)))
	}
	for _, r := range s.Removed {
		f.Removed = append(f.Removed, explain.Removed(r))
	}
	server := explain.Server{Config: "as far as its users see", Err: errors.New("its configuration is root's to ask"), TrustsOwnGroups: s.TrustsOwnGroups}
	account, err := host.LookUp(ctx, s.User)
	if err != nil {
		f.Unknown = append(f.Unknown, "the account: "+err.Error())
	} else {
		f.Account = &explain.Account{Account: account, Own: make(map[int]bool)}
		for _, name := range s.Files {
			sight, err := door.Sight(account.Account, name)
			server.Files = append(server.Files, explain.File{Name: name, Sight: sight, Err: err})
			for _, level := range sight.Levels {
				if level.Mode&0o020 != 0 && s.TrustsOwnGroups {
					f.Account.Own[level.GID], _ = host.OwnGroup(ctx, level.GID, account.Account) // not known is as good as no
				}
			}
		}
	}
	if s.Answered && len(s.Files) == 0 {
		server.Command = s.answer(f.Registry)
	}
	f.Servers = []explain.Server{server}
	return f
}

// known is what the daemon said of the registry.
func (s ownStatus) known() explain.Registry {
	r := explain.Registry{Listed: s.Registry.Listed, Mode: s.Registry.Mode, UID: s.UID, Said: s.Registry.Steps}
	for i, k := range s.Registry.Keys {
		if i >= len(s.Lines) {
			break
		}
		line, err := authkeys.ParseValue([]byte(s.Lines[i]))
		if err != nil {
			continue
		}
		one := explain.Registered{Key: line.Key, Label: k.Label, Options: k.Options, Verdict: policy.Verdict{Reason: policy.Reason(k.Reason), Detail: k.Detail}}
		if k.Until != nil {
			one.Until = *k.Until
		}
		r.Keys = append(r.Keys, one)
	}
	return r
}

// answer is what keyreeve-keys gives, by what the daemon granted.
func (s ownStatus) answer(r explain.Registry) *explain.Command {
	var text []byte
	for _, k := range r.Keys {
		if k.Granted() {
			text = fmt.Appendf(text, "%s\n", k.Key)
		}
	}
	return &explain.Command{Words: []string{"keyreeve-keys"}, User: "its own user", Answers: map[string]explain.Said{"": {Text: text}}}
}
