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

// use is one way in which sshd, or PAM, runs keyreeve-keys.
type use struct {
	where, program, file, user string
	severity                   Severity // of its failure
}

// uses are all of them, each once: those in force, and those of Match blocks that an answer does not show. Where sshd reads files as well, a failure is
// told and locks nobody out.
func (f Facts) uses() []use {
	var list []use
	note := func(s host.Settings, where string) {
		if !ours(s) {
			return
		}
		one := use{where, s.Words("AuthorizedKeysCommand")[0], askedBy(s).file, s.Text("AuthorizedKeysCommandUser"), Note}
		if noFiles(s) {
			one.severity = LocksOut
		}
		list = add(list, one)
	}
	for _, said := range f.Said {
		for _, user := range slices.Sorted(maps.Keys(said.Users)) {
			s := said.Users[user]
			note(s, place(said, "authorizedkeyscommand", s))
			for _, block := range blocks(said) {
				first := slices.IndexFunc(block, func(line host.Line) bool { return strings.HasPrefix(line.Keyword, "authorizedkeyscommand") })
				if first < 0 {
					continue
				}
				if settings, other := within(said, block, user); other {
					note(settings, at(block[first]))
				}
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
		if why := f.unusable(u.program, u.user); why != "" {
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

// answerFile looks at the file as keyreeve-keys does, which wants it to be root's alone to write, as the user that sshd runs it as.
func (f Facts) answerFile(u use) []Finding {
	file, known := f.Answer[u.file]
	var list []Finding
	found := func(code, what, do string) { list = append(list, Finding{code, u.severity, u.where, what, do}) }
	reader, user := f.Readers[u.user]
	if why := f.Shut[Reach{u.user, u.file}]; why != "" {
		found("answer-reader", u.file+" cannot be reached by "+u.user+": "+why, "answer: {dir: "+answer.Dir+"}, in the configuration of keyreeve, and no --file; or let "+u.user+" pass there")
	}
	switch {
	case !known:
	case file.Missing:
		found("answer-missing", u.file+" is not there", "systemctl start keyreeve; its log says why it cannot write")
	case file.Fault == "" && (file.UID != 0 || file.Mode&0o022 != 0):
		found("answer-owner", fmt.Sprintf("%s belongs to uid %d, mode %04o: keyreeve-keys believes only what root alone can write", u.file, file.UID, file.Mode),
			"rm "+u.file+"; systemctl restart keyreeve")
	case u.user != "" && !user:
		found("answer-reader", "AuthorizedKeysCommandUser "+u.user+" is no account of this host", "AuthorizedKeysCommandUser "+commandUser)
	case file.Fault == "" && user && !reader.may(file.UID, file.GID, file.Mode, mayRead):
		found("answer-reader", fmt.Sprintf("%s (group %d, mode %04o) cannot be read by %s (groups %v)", u.file, file.GID, file.Mode, u.user, reader.Groups),
			fmt.Sprintf("chown root:%s %s; chmod 2750 %s; systemctl restart keyreeve", u.user, path.Dir(u.file), path.Dir(u.file)))
	case file.Stale:
		found("answer-stale", u.file+" is older than registry.max_stale lets it count: nobody is let in by it", "look at the registry (keyreeve registry status), and at the daemon")
	case file.Fault != "":
		found("answer-damaged", u.file+": "+file.Fault, "rm "+u.file+"; systemctl restart keyreeve")
	}
	return list
}

// The bits of a mode, of those of others.
const (
	mayRead = 0o4
	mayPass = 0o1 // a directory; or run a program
)

// may reports whether a file's mode gives a user a right: by the first class that he is in (path_resolution(7)). Root may all.
func (r Reader) may(uid, gid int, mode, bit uint32) bool {
	switch {
	case r.UID == 0:
		return true
	case r.UID == uid:
		return mode>>6&bit != 0
	case slices.Contains(r.Groups, gid):
		return mode>>3&bit != 0
	}
	return mode&bit != 0
}
