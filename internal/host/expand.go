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

// Expand makes of the entries of AuthorizedKeysFile the files of one account, as an sshd before 10.0 does.
func Expand(entries []string, a homes.Account) homes.KeyFiles { return keyFiles(entries, a, false) }

// keyFiles makes of the entries of AuthorizedKeysFile the files of one account, each once. "none" is no file, in any
// case and place (servconf.c and auth2-pubkey.c of 9.2; 10.5 refuses it beside others).
func keyFiles(entries []string, a homes.Account, expands bool) homes.KeyFiles {
	var files homes.KeyFiles
	for _, entry := range entries {
		if strings.EqualFold(entry, "none") {
			continue
		}
		name, pattern, why := expand(entry, a, expands)
		if why != "" {
			files.Unkept = add(files.Unkept, homes.Unkept{Path: entry, Why: why})
			continue
		}
		files.Paths = add(files.Paths, name)
		if pattern != "" {
			files.Patterns = add(files.Patterns, pattern)
		}
	}
	return files
}

func add[T comparable](list []T, one T) []T {
	if slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

// expand is the path that an entry names for an account, below the home relative to it, or why it is not kept. Tokens and
// paths are those of expand_authorized_keys in auth.c. Of a pattern, name is the file to install keys in.
func expand(entry string, a homes.Account, expands bool) (name, pattern, why string) {
	text, own, unknown := tokens(entry, a)
	switch {
	case unknown != "":
		// fatal() in percent_expand of misc.c, in the monitor, at each login.
		return "", "", "sshd does not know the token " + strconv.QuoteToASCII(unknown) + " and ends each login that gets here"
	case path.IsAbs(text) && !own:
		return "", "", "one file for all accounts: keyreeve does not keep it"
	case slices.Contains(strings.Split(text, "/"), ".."):
		return "", "", `it leads through "..", which may be anywhere behind a symbolic link: keyreeve does not keep it`
	case !path.IsAbs(text):
		text = a.Home + "/" + text
	}
	text = path.Clean(text)
	if text == a.Home {
		text = "."
	} else if below, found := strings.CutPrefix(text, a.Home+"/"); found {
		text = below
	}
	if expands && strings.ContainsAny(text, homes.GlobCharacters) {
		if text, pattern, why = glob(text, entry); why != "" {
			return "", "", "of what OpenSSH 10 and later find by glob characters: " + why + ": keyreeve does not keep it"
		}
	}
	if err := homes.CheckPath(text); err != nil {
		return "", "", err.Error()
	}
	return text, pattern, ""
}

// glob is a file that glob(3) finds by a path, and the path, unless it is that of one file; or why not all that it finds can be
// kept.
func glob(text, entry string) (name, pattern, why string) {
	dir, last := path.Split(text)
	if strings.ContainsAny(dir, homes.GlobCharacters) {
		// A directory that is put aside would match, too.
		return "", "", "a directory's name holds one"
	}
	found, err := homes.ParsePattern(last)
	folder := path.Base(dir)
	switch {
	case err != nil:
		return "", "", err.Error()
	case !found.Wild():
		return dir + found.Name(), "", ""
	case dir == "":
		return "", "", "it finds files in the home itself, among all others"
	case path.IsAbs(text) && !strings.Contains(strings.ReplaceAll(path.Dir(entry), "%%", ""), "%"):
		return "", "", "it may find another user's file: no directory is the account's own"
	case folder == ".ssh" && slices.ContainsFunc(sshFiles(), found.Match):
		return "", "", "it finds what ssh keeps in .ssh, such as private keys, which are not for keyreeve to change"
	}
	return dir + found.Name(), text, ""
}

// sshFiles are names in .ssh that hold something else than authorized keys (FILES in ssh(1)).
func sshFiles() []string {
	return []string{
		"config", "environment", "rc", "known_hosts", "known_hosts.old", "id_rsa", "id_rsa.pub", "id_ecdsa", "id_ecdsa.pub", "id_ecdsa_sk",
		"id_ed25519", "id_ed25519.pub", "id_ed25519_sk", "id_dsa", "identity",
	}
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
