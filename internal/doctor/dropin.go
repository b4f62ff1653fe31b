package doctor

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/host"
)

// The ways in which sshd finds keys (docs/sshd.md).
const (
	Homes  = "homes"
	Both   = "both"
	Strong = "strong"
)

// Way is the way of this host: the one in force, else the mildest by which what is configured is used.
func (f Facts) Way() string {
	switch {
	case f.Config.Answer.Dir != "" && slices.ContainsFunc(f.Said, f.strongFor):
		return Strong
	case f.Config.Answer.Dir != "":
		return Both
	}
	return Homes
}

// DropIn is the file for sshd_config.d by which this host does as its policy says, in one of the ways.
func (f Facts) DropIn(way string) string {
	var b strings.Builder
	b.WriteString("# " + map[string]string{
		Homes:  "sshd takes keys from the homes, which keyreeve's daemon keeps clean.",
		Both:   "sshd takes keys from the homes, which keyreeve's daemon keeps clean, and from keyreeve's answers.",
		Strong: "sshd takes keys from keyreeve alone: what stands in anybody's home does not count.",
	}[way] + ` Made by "keyreeve doctor --show-config" for this host; install as
# /etc/ssh/sshd_config.d/10-keyreeve.conf, then "sshd -t" and a reload. The first value counts, so it must come before files that say the
# same. Keep a session open meanwhile.

# What the policy accepts, and nothing else.
`)
	kinds, bits := f.wanted()
	f.known(&b, "PubkeyAcceptedAlgorithms", strings.TrimPrefix(narrow(kinds), "PubkeyAcceptedAlgorithms "))
	if bits > 0 {
		f.known(&b, "RequiredRSASize", fmt.Sprint(bits))
	}
	f.tooNarrow(&b, kinds, bits)
	b.WriteString("\n# What leads past keys, or past who may write them.\nStrictModes yes\nPermitUserEnvironment no\nHostbasedAuthentication no\n")
	if len(f.gate().authorities) == 0 {
		b.WriteString("TrustedUserCAKeys none\n")
	}
	if f.Config.Doctor.Passwords == config.Forbid {
		b.WriteString("PasswordAuthentication no\nKbdInteractiveAuthentication no\n")
	}
	if f.gate().there {
		b.WriteString("UsePAM yes\n")
	}
	f.asking(&b, way)
	f.refusing(&b)
	return b.String()
}

// known writes a line for an sshd that knows its keyword; another would not start with it.
func (f Facts) known(b *strings.Builder, keyword, value string) {
	if slices.ContainsFunc(f.Said, func(said host.Said) bool {
		for _, s := range said.Users {
			return !s.Has(keyword)
		}
		return false
	}) {
		fmt.Fprintf(b, "# This sshd does not know it: ")
	}
	fmt.Fprintf(b, "%s %s\n", keyword, value)
}

// tooNarrow tells whom the lines keep out who gets in now and has to.
func (f Facts) tooNarrow(b *strings.Builder, kinds [][]string, bits int) {
	for _, said := range f.Said {
		for _, account := range f.glass() {
			s, known := said.Users[account.Name]
			if !known || f.barred(account.Name) {
				continue
			}
			s = maps.Clone(s)
			s["pubkeyacceptedalgorithms"], s["requiredrsasize"] = []string{strings.Join(slices.Concat(kinds...), ",")}, []string{fmt.Sprint(bits)}
			if file := noKey(account, s); file != "" {
				fmt.Fprintf(b, "# BEFORE THIS: by these lines sshd takes no key of %s, and %s has to get in. Put one there that the policy accepts.\n", file, account.Name)
			}
		}
	}
}

// asking writes what the files of configs/sshd_config.d say, with this host's names.
func (f Facts) asking(b *strings.Builder, way string) {
	if way == Homes {
		return
	}
	b.WriteString("\n# Whom sshd asks.\n")
	if way == Strong {
		b.WriteString("AuthorizedKeysFile none\n")
	}
	line := command
	if dir := f.Config.Answer.Dir; dir != "" && dir != answer.Dir {
		line = strings.Replace(command, " -- ", " --file="+filepath.Join(dir, answer.Name)+" -- ", 1)
	}
	fmt.Fprintf(b, "%s\nAuthorizedKeysCommandUser %s\n", line, commandUser)
	if way == Strong {
		names, files := f.glassNames(","), "/etc/ssh/authorized_keys/%u"
		if names == "root" { // anybody else's home is his own, and to be read no more
			files += " .ssh/authorized_keys"
		}
		fmt.Fprintf(b, `
# Who has to get in when keyreeve's file is not there: their keys are in files of root's, which no answer replaces.
Match User %s
	AuthorizedKeysFile %s
	AuthorizedKeysCommand none
`, names, files)
	}
}

// refusing writes what configs/sshd_config.d/20-keyreeve-deny.conf says: nobody who has to get in depends on the list.
func (f Facts) refusing(b *strings.Builder) {
	if f.Config.Deny.File == "" {
		return
	}
	b.WriteString("\n# Which keys sshd refuses, whatever a home says. Without the list, which the daemon makes, it refuses every key.\n")
	if f.Revoked[f.Config.Deny.File].Missing {
		b.WriteString("# BEFORE THIS: it is not there yet. Start the daemon.\n")
	}
	if slices.ContainsFunc(f.Said, func(said host.Said) bool {
		for _, s := range said.Users {
			return tooOld(s)
		}
		return false
	}) {
		b.WriteString("# This sshd is older than 7.9 and does not know such a list.\n")
		return
	}
	fmt.Fprintf(b, "Match User %s\n\t%s\n", f.allButGlass(), f.revokedLine())
}
