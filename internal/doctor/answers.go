package doctor

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/host"
)

// command is how the drop-ins have sshd ask keyreeve.
const (
	program     = "/usr/libexec/keyreeve-keys"
	command     = "AuthorizedKeysCommand " + program + " -- %u %U %h %f"
	commandUser = "_keyreeve"
)

func foreignCommand(f Facts, s host.Settings) verdict {
	if s.Text("AuthorizedKeysCommand") == "none" || ours(s) {
		return verdict{}
	}
	severity := Defeats
	if f.gated(s, "") {
		severity = Note
	}
	return verdict{severity, "another program says which keys log in: " + s.Text("AuthorizedKeysCommand"), command}
}

func noKeys(f Facts, s host.Settings) verdict {
	if !noFiles(s) || s.Text("AuthorizedKeysCommand") != "none" {
		return verdict{}
	}
	return verdict{f.weighNone(), "no key logs in: sshd reads no file, and asks nobody", command}
}

func keysOff(f Facts, s host.Settings) verdict {
	if s.Text("PubkeyAuthentication") != "no" {
		return verdict{}
	}
	return verdict{f.weighNone(), "no key logs in: PubkeyAuthentication no", "PubkeyAuthentication yes"}
}

// weighNone is the severity of a host that takes no keys: where answers are kept it is meant to.
func (f Facts) weighNone() Severity {
	if f.Config.Answer.Dir != "" {
		return LocksOut
	}
	return Note
}

// commandWords looks at the words that keyreeve-keys is given (its package comment). Words without "--" take a user's name for a
// flag, where one begins with "-"; without %U a local account of a name in the registry, with another uid, gets that user's keys.
func commandWords(_ Facts, s host.Settings) verdict {
	if !ours(s) {
		return verdict{}
	}
	words := s.Words("AuthorizedKeysCommand")[1:]
	end := slices.Index(words, "--")
	said := words[end+1:]
	for end < 0 && len(said) > 0 && strings.HasPrefix(said[0], "-") {
		said = said[1:]
	}
	const what = "keyreeve-keys is asked by other words than %u %U %h %f: "
	switch {
	case len(said) == 0 || said[0] != "%u":
		return verdict{LocksOut, what + "it needs the user's name first", command}
	case len(said) < 2:
		return verdict{Defeats, what + "without %U a local account of another uid gets the keys of the user of its name", command}
	case said[1] != "%U":
		return verdict{LocksOut, what + "the second is compared with the user's uid", command}
	case len(said) > 3 && said[3] != "%f":
		return verdict{LocksOut, what + "the fourth is compared with the key's fingerprint", command}
	case end < 0:
		return verdict{Note, what + "\"--\" is missing before the name", command}
	}
	return verdict{}
}

// use is one way in which sshd, or PAM, runs keyreeve-keys.
type use struct {
	where, program, file, user string
	severity                   Severity // of its failure
}

func fileOf(words []string) string {
	for _, word := range words {
		if file, ok := strings.CutPrefix(word, "--file="); ok {
			return file
		}
	}
	return filepath.Join(answer.Dir, answer.Name)
}

// uses are all of them, each once. Where sshd reads files as well, a failure is told and locks nobody out.
func (f Facts) uses() []use {
	var list []use
	for _, said := range f.Said {
		for _, user := range slices.Sorted(maps.Keys(said.Users)) {
			s := said.Users[user]
			if !ours(s) {
				continue
			}
			words := s.Words("AuthorizedKeysCommand")
			one := use{place(said, "authorizedkeyscommand", s), words[0], fileOf(words[1:]), s.Text("AuthorizedKeysCommandUser"), Note}
			if noFiles(s) {
				one.severity = LocksOut
			}
			if !slices.Contains(list, one) {
				list = append(list, one)
			}
		}
	}
	if g := f.gate(); g.there {
		list = append(list, use{g.where, g.program, g.file, "", LocksOut})
	}
	return list
}

// answers compares what is configured with what sshd runs.
func (f Facts) answers() []Finding {
	var list []Finding
	dir, uses := f.Config.Answer.Dir, f.uses()
	silent := func(said host.Said) bool { return said.Err != nil }
	if dir != "" && len(uses) == 0 && len(f.Said) > 0 && !slices.ContainsFunc(f.Said, silent) {
		list = append(list, Finding{"answer-unused", Note, "answer.dir", "a file of answers is kept, and neither sshd nor PAM asks keyreeve-keys", command})
	}
	for _, u := range uses {
		if why := f.Programs[u.program]; why != "" {
			list = append(list, Finding{"keys-program", u.severity, u.where, u.program + ": " + why, "install -m 0755 bin/keyreeve-keys " + u.program})
		}
		switch {
		case dir == "":
			list = append(list, Finding{"answer-not-kept", u.severity, u.where, "keyreeve-keys is asked, and nobody writes " + u.file, "answer: {dir: " + path.Dir(u.file) + "}, in the configuration of keyreeve"})
		case filepath.Join(dir, answer.Name) != u.file:
			list = append(list, Finding{"answer-elsewhere", u.severity, u.where, "keyreeve-keys reads " + u.file + ", and answer.dir is " + dir, "--file=" + filepath.Join(dir, answer.Name)})
		default:
			list = append(list, f.answerFile(u)...)
		}
	}
	return list
}

// answerFile looks at the file as keyreeve-keys does, which wants it to be root's alone to write, as the user that sshd runs it as: who
// reads by the group.
func (f Facts) answerFile(u use) []Finding {
	file, known := f.Answer[u.file]
	found := func(code, what, do string) []Finding { return []Finding{{code, u.severity, u.where, what, do}} }
	gid, user := f.Groups[u.user]
	switch {
	case !known:
		return nil
	case file.Missing:
		return found("answer-missing", u.file+" is not there", "systemctl start keyreeve; its log says why it cannot write")
	case file.UID != 0 || file.Mode&0o022 != 0:
		return found("answer-owner", fmt.Sprintf("%s belongs to uid %d, mode %04o: keyreeve-keys believes only what root alone can write", u.file, file.UID, file.Mode),
			"rm "+u.file+"; systemctl restart keyreeve")
	case u.user != "" && !user:
		return found("answer-reader", "AuthorizedKeysCommandUser "+u.user+" is no account of this host", "AuthorizedKeysCommandUser "+commandUser)
	case user && u.user != "root" && file.Mode&0o004 == 0 && (file.GID != gid || file.Mode&0o040 == 0):
		return found("answer-reader", fmt.Sprintf("%s (group %d, mode %04o) cannot be read by %s (group %d)", u.file, file.GID, file.Mode, u.user, gid),
			fmt.Sprintf("chown root:%s %s; chmod 2750 %s; systemctl restart keyreeve", u.user, path.Dir(u.file), path.Dir(u.file)))
	case file.Stale:
		return found("answer-stale", u.file+" is older than registry.max_stale lets it count: nobody is let in by it", "look at the registry (keyreeve registry status), and at the daemon")
	case file.Fault != "":
		return found("answer-damaged", u.file+": "+file.Fault, "rm "+u.file+"; systemctl restart keyreeve")
	}
	return nil
}
