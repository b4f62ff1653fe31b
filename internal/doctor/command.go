package doctor

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/host"
)

// command is how the drop-ins have sshd ask keyreeve.
const (
	program     = "/usr/libexec/keyreeve/keyreeve-keys"
	command     = "AuthorizedKeysCommand " + program + " -- " + askWords
	askWords    = "%u %U %h %f"
	commandUser = "_keyreeve"
)

// tokens are the tokens for which a program behind --also can ask, in the order of the words that keyreeve-keys is given.
const tokens = "uUhftk"

// asked is what keyreeve-keys makes of its words (parse in cmd/keyreeve-keys/main.go).
type asked struct {
	file, also string
	// words are the user's name and what follows; dashes: they stand behind "--".
	words  []string
	dashes bool
	// wrong is a flag that it does not know: it fails.
	wrong string
}

func parseAsked(args []string) asked {
	a := asked{file: path.Join(answer.Dir, answer.Name)}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && !a.dashes {
		name, value, ok := strings.Cut(args[0], "=")
		switch {
		case args[0] == "--":
			a.dashes = true
		case name == "--file" && ok:
			a.file = value
		case name == "--also" && strings.TrimSpace(value) != "":
			a.also = value
		case a.wrong == "":
			a.wrong = args[0]
		}
		args = args[1:]
	}
	a.words = args
	return a
}

// askedBy is what keyreeve-keys makes of its words in sshd's configuration, if it is asked.
func askedBy(s host.Settings) asked {
	if !ours(s) {
		return asked{}
	}
	return parseAsked(s.Words("AuthorizedKeysCommand")[1:])
}

// other is the program behind --also, and why keyreeve-keys does not start it, as far as the words tell (request.words in cmd/keyreeve-keys/also.go).
func (a asked) other() (other, why string) {
	list := strings.Fields(expanded(a.also))
	for _, word := range list {
		for _, token := range strings.Split(strings.ReplaceAll(word, "%%", ""), "%")[1:] {
			at := strings.IndexByte(tokens, (token + "?")[0])
			if at < 0 || at >= len(a.words) {
				return list[0], fmt.Sprintf("%q asks for a word that sshd's configuration does not give keyreeve-keys", word)
			}
		}
	}
	return list[0], ""
}

// expanded is a word as sshd hands it on (percent_expand in OpenSSH's misc.c), with a letter for what it puts in place of its own tokens.
func expanded(word string) string {
	var b strings.Builder
	for i := 0; i < len(word); i++ {
		switch {
		case word[i] != '%' || i+1 == len(word):
			b.WriteByte(word[i])
		case word[i+1] == '%':
			b.WriteByte('%')
			i++
		default:
			b.WriteByte('x')
			i++
		}
	}
	return b.String()
}

func foreignCommand(f Facts, s host.Settings) verdict {
	if s.Text("AuthorizedKeysCommand") == "none" || ours(s) {
		return verdict{}
	}
	return verdict{f.byGate(s, ""), "another program says which keys log in: " + s.Text("AuthorizedKeysCommand"), command}
}

// keysAlso: keyreeve-keys lets in by the keys of another program, which nobody registered (docs/sshd.md).
func keysAlso(f Facts, s host.Settings) verdict {
	also := askedBy(s).also
	if also == "" {
		return verdict{}
	}
	return verdict{f.byGate(s, ""), "another program says beside keyreeve which keys log in: --also=" + also, command}
}

// alsoProgram: the keys of the other program do not count, and whoever has no others does not get in.
func alsoProgram(f Facts, s host.Settings) verdict {
	a := askedBy(s)
	if a.also == "" {
		return verdict{}
	}
	other, why := a.other()
	do := "a program of root's behind --also, in directories of root's; or " + command
	if why != "" {
		do = "the words " + askWords + " %t %k behind \"--\""
	} else {
		why = f.unusable(other, s.Text("AuthorizedKeysCommandUser"))
	}
	if why == "" {
		return verdict{}
	}
	severity := LocksOut
	if f.gated(s, "") {
		severity = Note // such a key begins no session anyway
	}
	return verdict{severity, "keyreeve-keys takes no key of " + other + ": " + why, do}
}

// unusable says why a user cannot run a program, or who else could change it.
func (f Facts) unusable(program, user string) string {
	if why := f.Programs[program]; why != "" {
		return why
	}
	return f.Shut[Reach{user, program}]
}

// commandWords looks at the words that keyreeve-keys is given (its package comment). Words without "--" take a user's name for a
// flag, where one begins with "-"; without %U a local account of a name in the registry, with another uid, gets that user's keys.
func commandWords(_ Facts, s host.Settings) verdict {
	if !ours(s) {
		return verdict{}
	}
	a := askedBy(s)
	said := a.words
	const what = "keyreeve-keys is asked by other words than %u %U %h %f: "
	switch {
	case a.wrong != "":
		return verdict{LocksOut, what + "it does not know " + a.wrong + ", and fails", command}
	case len(said) == 0 || said[0] != "%u":
		return verdict{LocksOut, what + "it needs the user's name first", command}
	case len(said) < 2:
		return verdict{Defeats, what + "without %U a local account of another uid gets the keys of the user of its name", command}
	case said[1] != "%U":
		return verdict{LocksOut, what + "the second is compared with the user's uid", command}
	case len(said) > 3 && said[3] != "%f":
		return verdict{LocksOut, what + "the fourth is compared with the key's fingerprint", command}
	case !a.dashes:
		return verdict{Note, what + "\"--\" is missing before the name", command}
	}
	return verdict{}
}

// otherPrograms are the other programs that give keys by now, each once: those behind --also, and those that sshd asks itself. Those who have to get in are
// asked for as the others are.
func (f Facts) otherPrograms() (also, alone []string) {
	for _, s := range f.commands() {
		switch a := askedBy(s); {
		case ours(s) && a.also == "" || s.Text("AuthorizedKeysCommand") == "none":
		case ours(s):
			also = add(also, a.also)
		default:
			alone = add(alone, s.Text("AuthorizedKeysCommand"))
		}
	}
	return also, alone
}

// commands are those in force for the sample, then those of all lines of the configurations.
func (f Facts) commands() []host.Settings {
	var list []host.Settings
	for _, said := range f.Said {
		for _, account := range f.Accounts {
			if s, asked := said.Users[account.Name]; asked && s.Has("AuthorizedKeysCommand") {
				list = append(list, host.Settings{"authorizedkeyscommand": s.Words("AuthorizedKeysCommand")})
			}
		}
		for _, line := range said.Lines {
			if line.Keyword == "authorizedkeyscommand" && len(line.Values) > 0 {
				list = append(list, host.Settings{line.Keyword: line.Values})
			}
		}
	}
	return list
}

func add[T comparable](list []T, one T) []T {
	if slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

// commandLine is the line that asks keyreeve-keys on this host, with what it is told now beside its file.
func (f Facts) commandLine(also []string) string {
	line, given := "AuthorizedKeysCommand "+program, askWords
	if dir := f.Config.Answer.Dir; dir != "" && dir != answer.Dir {
		line += " --file=" + path.Join(dir, answer.Name)
	}
	if len(also) > 0 {
		line += ` "--also=` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(also[0]) + `"`
		if strings.Contains(also[0], "%%t") || strings.Contains(also[0], "%%k") {
			given += " %t %k"
		}
	}
	return line + " -- " + given
}
