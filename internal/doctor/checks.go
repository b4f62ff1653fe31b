package doctor

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/host"
)

// check judges what is in force for a user, or would be by a line.
type check struct {
	code string
	// keywords are those that it depends on; lines with the first are for changing.
	keywords []string
	of       scope
	// judge says nothing by an empty severity.
	judge func(Facts, host.Settings) verdict
}

// scope says whom a check is about.
type scope int

const (
	everybody scope = iota
	// kept: it is about what is in the files that keyreeve keeps, and no matter of other accounts.
	kept
	// others are those of them who need not get in whatever becomes of keyreeve.
	others
)

type verdict struct {
	severity Severity
	what, do string
}

// checks are in the words of sshd_config(5).
func checks() []check {
	return []check{
		{"strict-modes", []string{"strictmodes"}, kept, strictModes},
		{"user-environment", []string{"permituserenvironment"}, everybody, userEnvironment},
		{"hostbased", []string{"hostbasedauthentication"}, everybody, hostbased},
		{"shosts", []string{"ignorerhosts", "hostbasedauthentication"}, everybody, shosts},
		{"trusted-ca", []string{"trustedusercakeys"}, everybody, trustedCA},
		{"principals", []string{"authorizedprincipalsfile", "trustedusercakeys"}, everybody, principalsFile},
		{"principals", []string{"authorizedprincipalscommand", "trustedusercakeys"}, everybody, principalsCommand},
		{"keys-command", []string{"authorizedkeyscommand"}, everybody, foreignCommand},
		{"keys-command-words", []string{"authorizedkeyscommand"}, everybody, commandWords},
		{"no-keys", []string{"authorizedkeysfile", "authorizedkeyscommand"}, everybody, noKeys},
		{"no-keys", []string{"pubkeyauthentication"}, everybody, keysOff},
		{"passwords", []string{"passwordauthentication", "authenticationmethods"}, everybody, passwords("PasswordAuthentication", "password")},
		{"passwords", []string{"kbdinteractiveauthentication", "authenticationmethods"}, everybody, passwords("KbdInteractiveAuthentication", "keyboard-interactive")},
		{"rsa-size", []string{"requiredrsasize"}, kept, rsaSize},
		{"algorithms", []string{"pubkeyacceptedalgorithms"}, kept, algorithms},
		{"algorithms-missing", []string{"pubkeyacceptedalgorithms"}, kept, algorithmsMissing},
		{"locked-accounts", []string{"usepam"}, everybody, lockedAccounts},
		{"gate-off", []string{"usepam"}, everybody, gateOff},
		{"gssapi", []string{"gssapiauthentication"}, everybody, gssapi},
		{"deny-unused", []string{"revokedkeys"}, others, denyUnused},
		{"deny-shadowed", []string{"revokedkeys"}, others, denyShadowed},
		{"deny-left", []string{"revokedkeys"}, everybody, denyLeft},
		{"deny-missing", []string{"revokedkeys"}, everybody, denyMissing},
		{"deny-unreadable", []string{"revokedkeys"}, everybody, denyUnreadable},
		{"deny-damaged", []string{"revokedkeys"}, everybody, denyDamaged},
		{"deny-exposed", []string{"revokedkeys"}, everybody, denyExposed},
		{"deny-old-sshd", []string{"revokedkeys"}, everybody, denyOldSSHD},
		{"deny-authority", []string{"trustedusercakeys", "revokedkeys"}, everybody, denyAuthority},
		{"deny-hosts", []string{"hostbasedauthentication", "revokedkeys"}, everybody, denyHosts},
	}
}

// strong: sshd takes keys from keyreeve alone.
func strong(s host.Settings) bool { return noFiles(s) && ours(s) }

func noFiles(s host.Settings) bool { return allNone(s.Words("AuthorizedKeysFile")) }

func allNone(entries []string) bool {
	return !slices.ContainsFunc(entries, func(entry string) bool { return !strings.EqualFold(entry, "none") })
}

// ours: the command is keyreeve's.
func ours(s host.Settings) bool {
	words := s.Words("AuthorizedKeysCommand")
	return len(words) > 0 && path.Base(words[0]) == "keyreeve-keys"
}

// weigh is the severity of what lets another key reach a session: little, where sshd asks keyreeve alone or the gate looks at each.
func (f Facts) weigh(s host.Settings) Severity {
	if strong(s) || f.gated(s, "") {
		return Note
	}
	return Defeats
}

// gated reports whether the gate refuses sessions by a method; "" is a key that is not granted.
func (f Facts) gated(s host.Settings, method string) bool {
	g := f.gate()
	return g.binds && s.Text("UsePAM") == "yes" && !slices.Contains(g.allow, method)
}

// byGate is the severity of another method.
func (f Facts) byGate(s host.Settings, method string) Severity {
	if f.gated(s, method) {
		return Note
	}
	return Defeats
}

func strictModes(f Facts, s host.Settings) verdict {
	if s.Text("StrictModes") != "no" {
		return verdict{}
	}
	return verdict{f.weigh(s), "sshd takes key files, and homes, that others than their user may write", "StrictModes yes"}
}

func userEnvironment(_ Facts, s host.Settings) verdict {
	switch value := s.Text("PermitUserEnvironment"); value {
	case "no", "none":
		return verdict{}
	case "yes":
		return verdict{Defeats, "~/.ssh/environment sets variables such as LD_PRELOAD, which lead past a forced command of the registry", "PermitUserEnvironment no"}
	default:
		return verdict{Note, "~/.ssh/environment sets the variables " + value, "PermitUserEnvironment no"}
	}
}

func hostbased(f Facts, s host.Settings) verdict {
	if s.Text("HostbasedAuthentication") != "yes" {
		return verdict{}
	}
	what := "users of other hosts log in without a key of theirs"
	if len(f.Equivalents) > 0 {
		what += ", those of " + strings.Join(f.Equivalents, " and ") + " in any account"
	}
	return verdict{f.byGate(s, "hostbased"), what, "HostbasedAuthentication no"}
}

func shosts(f Facts, s host.Settings) verdict {
	if s.Text("HostbasedAuthentication") != "yes" || s.Text("IgnoreRhosts") == "yes" {
		return verdict{}
	}
	return verdict{f.byGate(s, "hostbased"), "each user's own ~/.shosts says who logs in as him", "IgnoreRhosts yes"}
}

func trustedCA(f Facts, s host.Settings) verdict {
	file := s.Text("TrustedUserCAKeys")
	if file == "none" {
		return verdict{}
	}
	return verdict{f.byGate(s, ""), "whom an authority of " + file + " certifies logs in by a key that nobody registered", "TrustedUserCAKeys none"}
}

func principalsFile(f Facts, s host.Settings) verdict {
	file := s.Text("AuthorizedPrincipalsFile")
	switch {
	case file == "none" || s.Text("TrustedUserCAKeys") == "none":
		return verdict{}
	case !strings.HasPrefix(file, "/") || strings.Contains(file, "%h"):
		return verdict{f.byGate(s, ""), "the user's own file " + file + " says whose certificates log in as him", "AuthorizedPrincipalsFile none"}
	default:
		return verdict{Note, file + " says whose certificates log in", "AuthorizedPrincipalsFile none"}
	}
}

func principalsCommand(_ Facts, s host.Settings) verdict {
	command := s.Text("AuthorizedPrincipalsCommand")
	if command == "none" || s.Text("TrustedUserCAKeys") == "none" {
		return verdict{}
	}
	return verdict{Note, command + " says whose certificates log in", "AuthorizedPrincipalsCommand none"}
}

// passwords judges a method by which passwords are taken. By "AuthenticationMethods publickey,password" one needs a key as well.
func passwords(keyword, method string) func(Facts, host.Settings) verdict {
	return func(f Facts, s host.Settings) verdict {
		alone := slices.ContainsFunc(s.Words("AuthenticationMethods"), func(list string) bool {
			first, _, _ := strings.Cut(list, ":") // keyboard-interactive:pam
			return list == "any" || first == method
		})
		if f.Config.Doctor.Passwords != config.Forbid || s.Text(keyword) != "yes" || !alone {
			return verdict{}
		}
		return verdict{f.byGate(s, method), "passwords log in, which doctor.passwords forbids", keyword + " no"}
	}
}

func gssapi(f Facts, s host.Settings) verdict {
	if s.Text("GSSAPIAuthentication") != "yes" || f.gated(s, "gssapi-with-mic") {
		return verdict{}
	}
	return verdict{Note, "Kerberos logs in; ~/.k5login says who else logs in as its user", "GSSAPIAuthentication no"}
}

func lockedAccounts(f Facts, s host.Settings) verdict {
	if s.Text("UsePAM") == "yes" || len(f.Locked) == 0 {
		return verdict{}
	}
	return verdict{
		LocksOut, fmt.Sprintf("without PAM sshd lets nobody in whose password is locked: %s", some(f.Locked)),
		"UsePAM yes; or a password that nobody can give instead of a locked one: usermod -p '*' USER",
	}
}

func gateOff(f Facts, s host.Settings) verdict {
	if g := f.gate(); !g.there || s.Text("UsePAM") == "yes" {
		return verdict{}
	}
	return verdict{Defeats, "the gate stands in PAM's stack, which this sshd does not use", "UsePAM yes"}
}

// some names a few.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
