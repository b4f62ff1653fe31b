package doctor

import (
	"path"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/host"
)

// revoked are the files that sshd asks whether a key is revoked; from 10.3 on there can be several.
func revoked(s host.Settings) []string {
	return slices.DeleteFunc(slices.Clone(s.Words("RevokedKeys")), func(word string) bool { return strings.EqualFold(word, "none") })
}

// denies reports whether sshd asks the list that keyreeve keeps.
func (f Facts) denies(s host.Settings) bool {
	return f.Config.Deny.File != "" && slices.Contains(revoked(s), f.Config.Deny.File)
}

func (f Facts) revokedLine() string { return "RevokedKeys " + f.Config.Deny.File }

// askList is how sshd is to ask the list: not for those who have to get in, and not before it is there.
func (f Facts) askList() string {
	line := "Match User " + f.allButGlass() + ", with " + f.revokedLine()
	if f.Revoked[f.Config.Deny.File].Missing {
		line += ", once the daemon has made that file"
	}
	return line
}

func (f Facts) allButGlass() string {
	return strings.Join(append([]string{"*"}, strings.Split(f.glassNames(","), ",")...), ",!")
}

// denyUnused: keyreeve says that a key is refused, and sshd does not hear of it. Where sshd asks keyreeve for keys anyway, or the gate looks at
// each, that is no danger.
func denyUnused(f Facts, s host.Settings) verdict {
	if f.Config.Deny.File == "" || len(revoked(s)) > 0 {
		return verdict{}
	}
	return verdict{f.weigh(s), "a list of revoked keys is kept (deny.file), and sshd asks for none: such a key logs in wherever it still stands", f.askList()}
}

func denyShadowed(f Facts, s host.Settings) verdict {
	others := revoked(s)
	if f.Config.Deny.File == "" || len(others) == 0 || f.denies(s) {
		return verdict{}
	}
	return verdict{
		f.weigh(s), "RevokedKeys " + strings.Join(others, " ") + " counts here instead of deny.file: a key on that logs in wherever it still stands",
		f.askList() + "; from OpenSSH 10.3 on a line can name both",
	}
}

// denyLeft: a list that nobody keeps refuses for ever whose key is registered again.
func denyLeft(f Facts, s host.Settings) verdict {
	for _, file := range revoked(s) {
		if file != f.Config.Deny.File && f.Revoked[file].Ours {
			return verdict{LocksOut, file + " is a list of keyreeve's that nobody keeps any more, as deny.file does not name it: a key that is registered again stays refused", "RevokedKeys none; or deny: {file: " + file + "}, in the configuration of keyreeve"}
		}
	}
	return verdict{}
}

// refuses judges the files in force, for any reason why sshd refuses all keys of everybody then (sshkey_check_revoked in OpenSSH's authfile.c).
func (f Facts) refuses(s host.Settings, why func(RevokedFile) string) verdict {
	for _, name := range revoked(s) {
		if what := why(f.Revoked[name]); what != "" {
			do := "RevokedKeys none, until it is mended"
			if name == f.Config.Deny.File {
				do += ": rm " + name + "; systemctl restart keyreeve"
			}
			return verdict{LocksOut, "sshd refuses every key: " + name + " " + what, do}
		}
	}
	return verdict{}
}

func denyMissing(f Facts, s host.Settings) verdict {
	return f.refuses(s, func(r RevokedFile) string {
		if r.Missing {
			return "is not there"
		}
		return ""
	})
}

func denyUnreadable(f Facts, s host.Settings) verdict {
	return f.refuses(s, func(r RevokedFile) string {
		if r.Fault != "" {
			return "cannot be read: " + r.Fault
		}
		return ""
	})
}

func denyDamaged(f Facts, s host.Settings) verdict {
	return f.refuses(s, func(r RevokedFile) string {
		if r.Damage != "" {
			return "is no list: " + r.Damage
		}
		return ""
	})
}

func denyExposed(f Facts, s host.Settings) verdict {
	for _, name := range revoked(s) {
		if why := f.Revoked[name].Exposed; why != "" {
			return verdict{LocksOut, "who may change " + name + " can lock out everybody, and take keys from the list: " + why, "chown root:root and chmod go-w, there"}
		}
	}
	return verdict{}
}

// tooOld: the list names keys by SHA-256 alone, which sshd knows from 7.9 on; before, a section that it does not know is an error. sshd -T has
// CASignatureAlgorithms since the same release.
func tooOld(s host.Settings) bool { return !s.Has("CASignatureAlgorithms") }

func denyOldSSHD(f Facts, s host.Settings) verdict {
	if !f.denies(s) || !tooOld(s) {
		return verdict{}
	}
	return verdict{LocksOut, "this sshd is older than 7.9 and does not read the list: it refuses every key as soon as one is on it", "RevokedKeys none; or OpenSSH 7.9 or later"}
}

// denyAuthority: sshd asks the list for the key of a certificate's authority, too. Who can write his own entry can register that key and withdraw it.
func denyAuthority(f Facts, s host.Settings) verdict {
	file := s.Text("TrustedUserCAKeys")
	if !f.denies(s) || file == "none" {
		return verdict{}
	}
	return f.spares(file, f.Authorities[file], "certificates of")
}

// denyHosts: and for a host's key (auth2-hostbased.c).
func denyHosts(f Facts, s host.Settings) verdict {
	if !f.denies(s) || s.Text("HostbasedAuthentication") != "yes" {
		return verdict{}
	}
	for _, file := range hostKeyFiles() {
		if known, there := f.Hosts[file]; there {
			if v := f.spares(file, known, "users of hosts of"); v.severity != "" {
				return v
			}
		}
	}
	return verdict{}
}

// spares judges whether keys can come onto the list.
func (f Facts) spares(file string, keys KeyFile, whose string) verdict {
	if keys.Err != nil {
		return verdict{Unknown, "whether deny.except has its keys is not known: " + keys.Err.Error(), "deny: {except: [FILE]}, with a file of these keys"}
	}
	var open []string
	for _, key := range keys.Keys {
		if !f.exempt(key) {
			open = append(open, key.Fingerprint())
		}
	}
	if len(open) == 0 {
		return verdict{}
	}
	return verdict{LocksOut, whose + " " + file + " are refused when somebody registers their key and withdraws it, as deny.except has not: " + some(open), "deny: {except: [" + path.Clean(file) + "]}, or a file of authorized_keys lines with these keys"}
}

func (f Facts) exempt(key authkeys.Key) bool {
	for _, file := range f.Config.Deny.Except {
		if slices.Contains(f.Spared[file].Keys, key) {
			return true
		}
	}
	return false
}

// lists are what is wrong with the list whoever asks for it.
func (f Facts) lists() []Finding {
	var list []Finding
	file := f.Config.Deny.File
	if file == "" {
		return nil
	}
	if r := f.Revoked[file]; r.Fault == "" && !r.Missing && r.Foreign {
		list = append(list, Finding{"deny-foreign", Defeats, "deny.file", file + " is not a list that keyreeve wrote: the daemon does not start", "deny: {file: ...}, in the configuration of keyreeve, with another name"})
	}
	for _, name := range f.Config.Deny.Except {
		if err := f.Spared[name].Err; err != nil {
			list = append(list, Finding{"deny-except", Defeats, "deny.except", "no further key comes onto the list: " + err.Error(), "a file of root's, and of root's alone to write; or take it out of deny.except"})
		}
	}
	return list
}
