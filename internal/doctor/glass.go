package doctor

import (
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
)

// breakGlass looks at root and the administrators: what they log in by must not be keyreeve's file alone, nor be refused by one, in no connection.
func (f Facts) breakGlass() []Finding {
	var list []Finding
	for _, said := range f.Said {
		for _, account := range f.glass() {
			s, known := said.Users[account.Name]
			if !known || account.Name == "root" && s.Text("PermitRootLogin") == "no" {
				continue
			}
			now := f.shut(said, account, s, func(keyword string) string { return place(said, keyword, s) }, "")
			list = append(list, now...)
			for _, block := range blocks(said) {
				settings, other := within(said, block, account.Name)
				if !other || !byConnection(block[0].Match) {
					continue
				}
				where := func(keyword string) string {
					return at(block[max(0, slices.IndexFunc(block, func(line host.Line) bool { return line.Keyword == keyword }))])
				}
				for _, one := range f.shut(said, account, settings, where, " (where \"Match "+block[0].Match+"\" holds)") {
					if !slices.ContainsFunc(now, func(told Finding) bool { return told.Code == one.Code }) {
						list = append(list, one)
					}
				}
			}
		}
	}
	return list
}

// shut is what keeps out somebody who has to get in, by settings that are in force in some connection.
func (f Facts) shut(said host.Said, account Account, s host.Settings, where func(keyword string) string, when string) []Finding {
	var list []Finding
	if what, severity := noWay(account, s, f.strongFor(said)); what != "" {
		keyword := "authorizedkeysfile"
		if s.Text("PubkeyAuthentication") == "no" {
			keyword = "pubkeyauthentication"
		}
		list = append(list, Finding{
			"break-glass", severity, where(keyword),
			account.Name + " does not get in while keyreeve's file is missing or stale: " + what + when,
			"Match User " + account.Name + ", with AuthorizedKeysFile /etc/ssh/authorized_keys/%u and AuthorizedKeysCommand none; his key in that file, root's, mode 0644",
		})
	}
	if file, why := notRead(account, s); why != "" {
		list = append(list, Finding{"break-glass-file", LocksOut, file, account.Name + " does not get in by it, as sshd does not read it: " + why + when, "chown root:root and chmod go-w, there"})
	} else if file := noKey(account, s); file != "" {
		list = append(list, Finding{"break-glass-key", LocksOut, where("pubkeyacceptedalgorithms"), account.Name + " does not get in: sshd takes no key of " + file + when, "a key that the policy accepts, in that file"})
	}
	if f.denies(s) {
		list = append(list, Finding{
			"deny-break-glass", LocksOut, where("revokedkeys"),
			account.Name + " does not get in when " + f.Config.Deny.File + " is missing or damaged: sshd refuses every key then" + when,
			f.askList(),
		})
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
func noWay(account Account, s host.Settings, isStrong bool) (string, Severity) {
	switch {
	case s.Text("PubkeyAuthentication") == "no":
		return "PubkeyAuthentication no is in force for him", LocksOut
	case noFiles(s):
		return "AuthorizedKeysFile none is in force for him", LocksOut
	case !isStrong || len(account.Filled) > 0:
		return "", ""
	case account.Hidden:
		return "whether there is a key in " + strings.Join(s.Words("AuthorizedKeysFile"), " or ") + " could not be looked at", Unknown
	default:
		return "there is no key in " + strings.Join(s.Words("AuthorizedKeysFile"), " or "), LocksOut
	}
}

// notRead gives a file that sshd does not read, where it reads none that an account has.
func notRead(account Account, s host.Settings) (file, why string) {
	if noFiles(s) || account.Hidden || s.Text("StrictModes") != "yes" {
		return "", ""
	}
	for _, one := range account.Filled {
		if one.Unsafe == "" {
			return "", ""
		}
		file, why = one.Path, one.Unsafe
	}
	return file, why
}

// noKey gives a file of which sshd takes no key, where that is so of all that an account has.
func noKey(account Account, s host.Settings) (file string) {
	if noFiles(s) || account.Hidden {
		return ""
	}
	for _, one := range account.Filled {
		switch {
		case one.Unsafe != "" && s.Text("StrictModes") == "yes":
		case one.Known && !slices.ContainsFunc(one.Keys, func(key authkeys.Key) bool { return takes(s, key) }):
			file = one.Path
		default:
			return ""
		}
	}
	return file
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
