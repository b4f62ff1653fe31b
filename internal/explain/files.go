package explain

import (
	"fmt"
	"path"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// file is what sshd makes of one key file (auth_openfile in auth2-pubkeyfile.c, safe_path in misc.c).
func (v *visit) file(f File) {
	s := source{file: f.Name, lines: authkeys.Parse(f.Data)}
	defer func() { v.sources = append(v.sources, s) }()
	at := f.Name
	if !path.IsAbs(at) {
		at = "~/" + at
	}
	skip := func(code string, what, do string) {
		s.step = v.step(Step{Code: code, State: Skips, Where: at, What: what, Do: do})
		s.opaque = code != "file-irregular"
	}
	unknown := func(what string) {
		v.unsure = true
		s.step, s.opaque = v.step(Step{Code: "file-unknown", State: Unknown, Where: at, What: what}), true
	}
	switch {
	case f.Err != nil:
		unknown(f.Err.Error())
		return
	case f.Blind:
		unknown("sshd goes on where keyreeve does not: " + f.Detail)
		return
	case f.State == homes.Missing && f.NoHome && !path.IsAbs(f.Name):
		skip("no-home", "there is no home, and so no key in it", "make the home of the user, or mount it")
		return
	case f.State == homes.Missing:
		v.step(Step{Code: "no-file", State: Note, Where: at, What: "there is no such file"})
		return
	case f.State == homes.Irregular:
		skip("file-irregular", "sshd reads regular files alone, and this is "+f.Detail, "")
		return
	case f.State == homes.Unreadable:
		why, do := f.Detail, ""
		if b := f.Barrier; b.Path != "" {
			why = fmt.Sprintf("%s belongs to uid %d and has mode %04o", b.Path, b.UID, b.Mode)
			if do = v.mend(b, "u+rX"); do == own && v.above(b) {
				do = "chmod a+x " + word(b.Path)
			}
		}
		skip("file-unreadable", "sshd cannot read it with the user's rights: "+why, do)
		return
	}
	if level, why := v.unsafe(f.Levels); why != "" {
		s.step = v.step(Step{Code: "strict-modes", State: Skips, Where: level.Path, What: fmt.Sprintf("%s, so that sshd takes no key from %s (StrictModes)", why, at), Do: v.mend(level, goW)})
		return
	}
	keys := 0
	for _, line := range s.lines {
		if line.Kind == authkeys.Entry {
			keys++
		}
	}
	what := fmt.Sprintf("sshd reads it, with %d %s", keys, plural(keys, "key"))
	if f.State == homes.Oversize {
		v.unsure = true
		what = fmt.Sprintf("it has %s, of which the first %d were looked at: %d %s", f.Detail, len(f.Data), keys, plural(keys, "key"))
	}
	v.step(Step{Code: "file", State: OK, Where: at, What: what})
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// unsafe is the first of the file and the directories above it for which StrictModes refuses a key file.
func (v *visit) unsafe(levels []homes.Level) (homes.Level, string) {
	if v.Settings.Text("StrictModes") == "no" {
		return homes.Level{}, ""
	}
	for _, l := range levels {
		switch {
		case l.UID != 0 && l.UID != v.uid():
			return l, fmt.Sprintf("it belongs to uid %d", l.UID)
		case l.Mode&0o002 != 0:
			return l, fmt.Sprintf("everybody may write to it (mode %04o)", l.Mode)
		case l.Mode&0o020 != 0 && !v.lenient(l.GID):
			return l, fmt.Sprintf("its group %d may write to it (mode %04o)", l.GID, l.Mode)
		}
	}
	return homes.Level{}, ""
}

// uid is that of the account, or the registry's where this host has none; -1 where nobody knows one.
func (f Facts) uid() int {
	switch {
	case f.Account != nil:
		return f.Account.UID
	case f.Registry.Listed:
		return f.Registry.UID
	}
	return -1
}

// lenient reports whether this sshd lets the group write.
func (v *visit) lenient(gid int) bool {
	return v.TrustsOwnGroups && v.Account != nil && v.Account.Own[gid]
}

const (
	// own is said to do where nothing is to be done about what is on the way: a link of the user's may lead there.
	own = "let it be a plain file of his, in a directory of his"
	goW = "go-w"
)

// mend is what is to be done about a file or directory. By a link of his the user says which that is, and what is below his home he can exchange at any
// time. So root is told to do something about the home, and about what is root's above it; what is the user's own is his to change, by his rights.
func (v *visit) mend(l homes.Level, mode string) string {
	home := v.home()
	switch {
	case l.Path == home && l.UID != v.uid():
		return "if it is his home, and no other's: chown " + v.User + " " + word(home)
	case l.Path == home, v.above(l) && mode == goW:
		return "chmod " + mode + " " + word(l.Path)
	case l.UID == v.uid():
		return "as " + v.User + ": chmod " + mode + " " + word(l.Path)
	}
	return own
}

func (v *visit) home() string {
	if v.Account != nil {
		return v.Account.Home
	}
	return v.Registry.Home
}

// above reports whether something is root's and above the home.
func (v *visit) above(l homes.Level) bool {
	return l.UID == 0 && l.Path != v.home() && strings.HasPrefix(v.home(), strings.TrimSuffix(l.Path, "/")+"/")
}

// word is a text as one word of a shell.
func word(text string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+@"
	if strings.Trim(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// command is what AuthorizedKeysCommand answered.
func (v *visit) command() {
	c := v.Command
	if c == nil {
		return
	}
	where := strings.Join(c.Words, " ")
	if c.Fault != "" {
		step := v.step(Step{Code: "command-fault", State: Skips, Where: where, What: "sshd does not run it: " + c.Fault, Do: "keyreeve doctor"})
		v.sources = append(v.sources, source{step: step, opaque: true})
		return
	}
	told := false
	lines := 0
	for _, asked := range sorted(c.Answers) {
		said := c.Answers[asked]
		s := source{asked: asked, lines: authkeys.Parse(said.Text)}
		if said.Err != nil {
			s.opaque = true
			s.step = &Step{Code: "command-failed", State: Skips, Where: where, What: "what it says does not count, since it fails: " + said.Err.Error(), Do: "keyreeve doctor"}
			if !told {
				told = true
				v.step(*s.step)
			}
		}
		for _, line := range s.lines {
			if line.Kind == authkeys.Entry {
				lines++
			}
		}
		v.sources = append(v.sources, s)
	}
	if !told {
		v.step(Step{Code: "command", State: OK, Where: where, What: fmt.Sprintf("asked as %s, it gives %d %s", c.User, lines, plural(lines, "key"))})
	}
}
