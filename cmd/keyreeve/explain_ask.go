package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/explain"
	"github.com/keyreeve/keyreeve/internal/host"
)

// mostKeys bounds the keys that a command is asked about one by one.
const mostKeys = 64

// keysOf are the keys in question: the one that was named, else those of the registry and of the files.
func (c *collector) keysOf(s explain.Server) []authkeys.Key {
	var list []authkeys.Key
	note := func(k authkeys.Key) {
		if !k.IsZero() && (c.question.wanted == "" || c.question.wanted == k.Fingerprint()) && !slices.Contains(list, k) && len(list) < mostKeys {
			list = append(list, k)
		}
	}
	note(c.question.key)
	for _, k := range c.facts.Registry.Keys {
		note(k.Key)
	}
	for _, file := range s.Files {
		for _, line := range authkeys.Parse(file.Data) {
			note(line.Key)
		}
	}
	return list
}

// command runs AuthorizedKeysCommand as sshd would, for each of the keys where it is told the key.
func (c *collector) command(ctx context.Context, s *explain.Server, keys []authkeys.Key) {
	words := s.Settings.Words("AuthorizedKeysCommand")
	if len(words) == 0 || words[0] == "none" || c.facts.Account == nil {
		return
	}
	run := &explain.Command{Words: words, User: s.Settings.Text("AuthorizedKeysCommandUser"), Answers: make(map[string]explain.Said)}
	s.Command = run
	if err := doctor.UnsafeProgram(words[0]); err != nil {
		run.Fault = words[0] + ": " + err.Error()
		return
	}
	as, err := host.LookUp(ctx, run.User)
	if err != nil {
		run.Fault = "AuthorizedKeysCommandUser " + run.User + ": " + err.Error()
		return
	}
	groups, err := c.groups.Of(as.Account)
	if err != nil {
		run.Fault = err.Error()
		return
	}
	offered := []host.Offered{{Fingerprint: c.question.wanted}} // where no more is known of the key
	if !host.TellsKey(words) {
		offered[0].Fingerprint = ""
	} else if len(keys) > 0 || c.question.wanted == "" {
		offered = nil
		for _, k := range keys {
			kind, blob, _ := strings.Cut(k.String(), " ")
			offered = append(offered, host.Offered{Fingerprint: k.Fingerprint(), Type: kind, Base64: blob})
		}
	}
	for _, key := range offered {
		var said explain.Said
		full, err := host.CommandWords(words, c.account, key)
		if errors.Is(err, host.ErrConnection) {
			c.facts.Unknown = append(c.facts.Unknown, "what AuthorizedKeysCommand answers: "+err.Error())
			s.Command = nil
			return
		}
		if err != nil {
			run.Fault = err.Error()
			return
		}
		text, err := host.RunAs(ctx, as.Account, groups, full)
		said.Text, said.Err = []byte(text), err
		run.Answers[key.Fingerprint] = said
		if errors.Is(err, context.DeadlineExceeded) {
			run.Fault = err.Error() // the next one would last as long
			return
		}
	}
}

// revoked looks at the lists of keys that sshd refuses.
func (c *collector) revoked(ctx context.Context, s *explain.Server, keys []authkeys.Key) {
	for _, name := range s.Settings.Words("RevokedKeys") {
		if name == "none" {
			continue
		}
		file, on, err := doctor.Revoked(ctx, name, keys)
		r := explain.Revoked{Path: name, Fault: file.Fault, Keys: on}
		switch {
		case err != nil:
			c.facts.Unknown = append(c.facts.Unknown, err.Error())
		case file.Missing:
			r.Fault = "it is not there"
		case file.Damage != "":
			r.Fault = file.Damage
		}
		s.Revoked = append(s.Revoked, r)
	}
}

// gate is what the gate would let in.
func (c *collector) gate(g doctor.Gate) (map[string]bool, error) {
	if g.Where == "" {
		return nil, nil
	}
	file, err := os.Open(g.File)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	user, found, err := answer.Find(file, info.Size(), c.question.name, c.facts.Now)
	if err != nil {
		return nil, err
	}
	granted := make(map[string]bool)
	for _, key := range user.Keys {
		granted[key.Fingerprint] = found && user.UID == c.account.UID
	}
	return granted, nil
}

// mostGroups bounds the groups of which names are asked.
const mostGroups = 256

// groupNames are those of the account's groups, for AllowGroups and DenyGroups.
func (c *collector) groupNames(ctx context.Context) {
	account := c.facts.Account
	if account == nil || account.Groups != nil {
		return
	}
	gids, err := c.groups.Of(c.account)
	gids = append(gids, c.account.GID)
	for _, gid := range gids[:min(len(gids), mostGroups)] {
		name, wrong := host.GroupName(ctx, gid)
		err = errors.Join(err, wrong)
		account.Groups = append(account.Groups, name)
	}
	if err != nil {
		c.facts.Unknown = append(c.facts.Unknown, "his groups: "+err.Error())
	}
}

// ownGroups finds out of which groups that may write on the way to a key file he is the only member.
func (c *collector) ownGroups(ctx context.Context) {
	account := c.facts.Account
	if account == nil {
		return
	}
	for _, s := range c.facts.Servers {
		for _, file := range s.Files {
			for _, level := range file.Levels {
				if _, known := account.Own[level.GID]; known || level.Mode&0o020 == 0 {
					continue
				}
				own, err := host.OwnGroup(ctx, level.GID, c.account)
				if account.Own[level.GID] = own; err != nil {
					c.facts.Unknown = append(c.facts.Unknown, fmt.Sprintf("whose the group %d is: %v", level.GID, err))
				}
			}
		}
	}
}
