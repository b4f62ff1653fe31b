package host

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// defaultFiles are those that sshd reads where its configuration names none (AuthorizedKeysFile in sshd_config(5)).
func defaultFiles() []string { return []string{".ssh/authorized_keys", ".ssh/authorized_keys2"} }

// keyFiles makes of the entries of AuthorizedKeysFile the files of one account, each once. "none" is no file, in any
// case and place (servconf.c and auth2-pubkey.c of 9.2; 10.5 refuses it beside others).
func keyFiles(entries []string, a homes.Account) homes.KeyFiles {
	var files homes.KeyFiles
	for _, entry := range entries {
		if strings.EqualFold(entry, "none") {
			continue
		}
		name, why := expand(entry, a)
		switch odd := (homes.Unkept{Path: entry, Why: why}); {
		case why != "":
			if !slices.Contains(files.Unkept, odd) {
				files.Unkept = append(files.Unkept, odd)
			}
		case !slices.Contains(files.Paths, name):
			files.Paths = append(files.Paths, name)
		}
	}
	return files
}

// expand is the path that an entry names for an account, below the home relative to it, or why it is not kept. Tokens and
// paths are those of expand_authorized_keys in auth.c.
func expand(entry string, a homes.Account) (name, why string) {
	text, own, unknown := tokens(entry, a)
	switch {
	case unknown != "":
		// fatal() in percent_expand of misc.c, in the monitor, at each login.
		return "", "sshd does not know the token " + strconv.QuoteToASCII(unknown) + " and ends each login that gets here"
	case path.IsAbs(text) && !own:
		return "", "one file for all accounts: keyreeve does not keep it"
	case strings.ContainsAny(entry, `*?[]\`):
		return "", "it holds a glob character, by which OpenSSH 10 and later find any number of files: keyreeve does not keep them"
	case slices.Contains(strings.Split(text, "/"), ".."):
		return "", `it leads through "..", which may be anywhere behind a symbolic link: keyreeve does not keep it`
	case !path.IsAbs(text):
		text = a.Home + "/" + text
	}
	text = path.Clean(text)
	if text == a.Home {
		text = "."
	} else if below, found := strings.CutPrefix(text, a.Home+"/"); found {
		text = below
	}
	if err := homes.CheckPath(text); err != nil {
		return "", err.Error()
	}
	return text, ""
}

// tokens puts in the values of %%, %h, %u and %U (TOKENS in sshd_config(5)). own reports whether the result is a matter of
// the account; unknown is a token that sshd does not take here.
func tokens(entry string, a homes.Account) (text string, own bool, unknown string) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(entry, "%")
		out.WriteString(before)
		if !found {
			return out.String(), own, ""
		}
		token := after[:min(1, len(after))]
		switch token {
		case "%":
			out.WriteString("%")
		case "h":
			out.WriteString(a.Home)
		case "u":
			out.WriteString(a.Name)
		case "U":
			out.WriteString(strconv.Itoa(a.UID))
		default:
			return "", false, "%" + token
		}
		own = own || token != "%"
		entry = after[1:]
	}
}
