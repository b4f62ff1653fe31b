package doctor

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
)

// breakGlass looks at root and the administrators: what they log in by must not be keyreeve's file alone.
func (f Facts) breakGlass() []Finding {
	var list []Finding
	for _, said := range f.Said {
		for _, account := range f.glass() {
			s, known := said.Users[account.Name]
			if !known || account.Name == "root" && s.Text("PermitRootLogin") == "no" {
				continue
			}
			if what := noWay(account, s, f.strongFor(said)); what != "" {
				list = append(list, Finding{
					"break-glass", LocksOut, place(said, "authorizedkeysfile", s),
					account.Name + " does not get in while keyreeve's file is missing or stale: " + what,
					"Match User " + account.Name + ", with AuthorizedKeysFile /etc/ssh/authorized_keys/%u and AuthorizedKeysCommand none; his key in that file, root's, mode 0644",
				})
			}
		}
	}
	return list
}

// strongFor reports whether an sshd reads no files of anybody else's: then those who break the glass have files of their own.
func (f Facts) strongFor(said host.Said) bool {
	return slices.ContainsFunc(f.Accounts, func(a Account) bool {
		s, known := said.Users[a.Name]
		return known && !a.Glass && noFiles(s)
	})
}

// noWay says why an account has no way in beside keyreeve's answers. A password is none: it may be locked, expired or forgotten.
func noWay(account Account, s host.Settings, isStrong bool) string {
	if noFiles(s) {
		return "AuthorizedKeysFile none is in force for him"
	}
	if isStrong && len(account.Filled) == 0 {
		return "there is no key in " + strings.Join(s.Words("AuthorizedKeysFile"), " or ")
	}
	return ""
}

// keyFiles looks at the files that sshd reads beside those that keyreeve keeps.
func (f Facts) keyFiles() []Finding {
	var list []Finding
	for _, account := range f.Accounts {
		if !account.Kept {
			continue
		}
		for _, unkept := range account.Files.Unkept {
			list = append(list, notKept(f.lineOf(unkept.Path), unkept, ""))
		}
		list = append(list, f.inOtherBlocks(account, list)...)
	}
	for _, said := range f.Said {
		if !f.strongFor(said) {
			continue
		}
		for _, line := range said.Lines {
			if line.Keyword == "authorizedkeysfile" && line.Match != "" && !allNone(line.Values) && !f.ofGlass(line.Match) {
				list = append(list, Finding{
					"key-file", Note, at(line), "what stands in " + strings.Join(line.Values, " and ") + " counts, and keyreeve only cleans it (where \"Match " + line.Match + "\" holds)", "AuthorizedKeysFile none",
				})
			}
		}
	}
	return list
}

func notKept(where string, file homes.Unkept, when string) Finding {
	return Finding{
		"key-file", Defeats, where, "sshd reads " + file.Path + ": " + file.Why + when,
		"AuthorizedKeysFile .ssh/authorized_keys; or none, with keyreeve-keys (docs/sshd.md)",
	}
}

// inOtherBlocks looks at the Match blocks that may be for an account in another connection, or for somebody like him. What was told of a
// line is not told again.
func (f Facts) inOtherBlocks(account Account, told []Finding) []Finding {
	var list []Finding
	for _, said := range f.Said {
		for _, block := range blocks(said) {
			for _, line := range block {
				if line.Keyword != "authorizedkeysfile" || slices.ContainsFunc(told, func(one Finding) bool { return one.Where == at(line) }) {
					continue
				}
				for _, unkept := range host.Expand(line.Values, account.Account).Unkept {
					list = append(list, notKept(at(line), unkept, " (where \"Match "+line.Match+"\" holds)"))
				}
			}
		}
	}
	return list
}

// ofGlass reports whether a Match block is for those alone who have to get in.
func (f Facts) ofGlass(match string) bool {
	return onlyFor(match, func(name string) bool {
		return slices.ContainsFunc(f.glass(), func(a Account) bool { return a.Name == name })
	})
}

// lineOf is the first line of AuthorizedKeysFile that has an entry.
func (f Facts) lineOf(entry string) string {
	for _, said := range f.Said {
		for _, line := range said.Lines {
			if line.Keyword == "authorizedkeysfile" && slices.Contains(line.Values, entry) {
				return at(line)
			}
		}
	}
	return "homes.sshd"
}
