package enforcer

import (
	"fmt"
	"slices"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// locals are the accounts that this host has of its own, in /etc/passwd, by name and by home: some hosts have every user there. sshd
// finds them before those of the directory ("files" is the first word of nsswitch.conf everywhere), so that no entry of the registry
// can be one of them, but with their uid.
type locals struct{ byName, byHome map[string][]homes.Account }

func newLocals(list []homes.Account) locals {
	l := locals{make(map[string][]homes.Account, len(list)), make(map[string][]homes.Account, len(list))}
	for _, a := range list {
		a.Home = homes.Tidy(a.Home)
		l.byName[a.Name] = append(l.byName[a.Name], a)
		if !nobodysHome(a.Home) {
			l.byHome[a.Home] = append(l.byHome[a.Home], a)
		}
	}
	return l
}

// claims says what an account of the registry claims of this host's own, in a few words; empty when nothing.
func (l locals) claims(a homes.Account) string {
	own := l.byName[a.Name]
	switch {
	case l.another(a):
		return fmt.Sprintf("its name is that of an account of this host with the uid %d", own[0].UID)
	case a.UID == 0 && len(own) == 0:
		return "its uid is 0, and this host has no such account"
	}
	for _, local := range l.byHome[a.Home] {
		if local.Name != a.Name {
			return fmt.Sprintf("its home %s is that of %s, an account of this host", a.Home, local.Name)
		}
	}
	return ""
}

// another reports whether the account's name is that of an account of this host with another uid, which is somebody else.
func (l locals) another(a homes.Account) bool {
	own := l.byName[a.Name]
	return len(own) > 0 && !slices.ContainsFunc(own, func(local homes.Account) bool { return local.UID == a.UID })
}

// nobodysHome reports whether a home is one that distributions give to accounts without any (Debian policy 9.2.3, the BSDs). Whoever
// has it claims nothing.
func nobodysHome(home string) bool {
	return slices.Contains([]string{"/nonexistent", "/var/empty", "/dev/null"}, home)
}
