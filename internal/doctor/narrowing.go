package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/host"
)

// certified is what sshd calls an algorithm when the key comes in a certificate (PROTOCOL.certkeys of OpenSSH).
func certified(algorithm string) string {
	return strings.TrimSuffix(algorithm, "@openssh.com") + "-cert-v01@openssh.com"
}

// wanted are the algorithms that sshd needs by the policy, those of one kind of key in a list; where the gate admits certificates, theirs too.
func (f Facts) wanted() (kinds [][]string, bits int) {
	kinds, bits = f.Config.Policy.Algorithms(f.Now)
	if len(f.gate().authorities) == 0 {
		return kinds, bits
	}
	for _, kind := range slices.Clone(kinds) {
		var more []string
		for _, name := range kind {
			more = append(more, certified(name))
		}
		kinds = append(kinds, more)
	}
	return kinds, bits
}

func accepted(s host.Settings) []string {
	return strings.Split(s.Text("PubkeyAcceptedAlgorithms"), ",")
}

// takes reports whether sshd takes a key by its algorithm and its size; one that is too old for a keyword does not ask.
func takes(s host.Settings, key authkeys.Key) bool {
	names := []string{key.Type()}
	if key.Type() == "ssh-rsa" {
		names = []string{"ssh-rsa", "rsa-sha2-256", "rsa-sha2-512"}
		if least, err := strconv.Atoi(s.Text("RequiredRSASize")); err == nil && key.Bits() < least {
			return false
		}
	}
	return !s.Has("PubkeyAcceptedAlgorithms") || slices.ContainsFunc(names, func(name string) bool { return slices.Contains(accepted(s), name) })
}

func narrow(kinds [][]string) string {
	return "PubkeyAcceptedAlgorithms " + strings.Join(slices.Concat(kinds...), ",")
}

// keptOut is a warning behind a line that is to be written, where those who have to get in do not by it.
func (f Facts) keptOut(line host.Settings) string {
	list := f.refused(line)
	if len(list) == 0 {
		return ""
	}
	return "; BEFORE THIS put a key there that the policy accepts, as by it sshd takes none of " + strings.Join(list, ", ")
}

// refused are the files of those who have to get in of which sshd takes no key by other settings than those in force, and whose each is.
func (f Facts) refused(line host.Settings) (list []string) {
	for _, said := range f.Said {
		for _, account := range f.glass() {
			s, known := said.Users[account.Name]
			if !known || f.barred(account.Name) {
				continue
			}
			s = maps.Clone(s)
			maps.Copy(s, line)
			if file := noKey(account, s); file != "" {
				list = add(list, file+" ("+account.Name+")")
			}
		}
	}
	return list
}

// algorithms: what the policy refuses should not reach a login.
func algorithms(f Facts, s host.Settings) verdict {
	if !s.Has("PubkeyAcceptedAlgorithms") {
		return verdict{}
	}
	kinds, _ := f.wanted()
	wanted := slices.Concat(kinds...)
	extra := slices.DeleteFunc(accepted(s), func(name string) bool { return slices.Contains(wanted, name) })
	if len(extra) == 0 {
		return verdict{}
	}
	return verdict{
		f.weigh(s), "sshd takes keys and certificates that the policy refuses: " + some(extra),
		narrow(kinds) + f.keptOut(host.Settings{"pubkeyacceptedalgorithms": {strings.Join(wanted, ",")}}),
	}
}

// algorithmsMissing: whose key the policy accepts should get in by it.
func algorithmsMissing(f Facts, s host.Settings) verdict {
	if !s.Has("PubkeyAcceptedAlgorithms") {
		return verdict{}
	}
	kinds, _ := f.wanted()
	var missing []string
	for _, kind := range kinds {
		if !slices.ContainsFunc(accepted(s), func(name string) bool { return slices.Contains(kind, name) }) {
			missing = append(missing, kind[0])
		}
	}
	if len(missing) == 0 {
		return verdict{}
	}
	return verdict{LocksOut, "sshd refuses keys that the policy accepts: " + some(missing), narrow(kinds)}
}

func rsaSize(f Facts, s host.Settings) verdict {
	_, bits := f.wanted()
	if bits == 0 || !slices.ContainsFunc(accepted(s), func(name string) bool { return strings.HasPrefix(name, "rsa-") }) {
		return verdict{}
	}
	if !s.Has("RequiredRSASize") {
		return verdict{Note, "this sshd cannot be told a least size of RSA keys", "OpenSSH 9.1 and later know RequiredRSASize"}
	}
	least, err := strconv.Atoi(s.Text("RequiredRSASize"))
	switch {
	case err != nil:
		return verdict{Unknown, fmt.Sprintf("sshd says RequiredRSASize %q", s.Text("RequiredRSASize")), ""}
	case least < bits:
		return verdict{
			f.weigh(s), fmt.Sprintf("sshd takes RSA keys of %d bits, and the policy wants %d", least, bits),
			"RequiredRSASize " + strconv.Itoa(bits) + f.keptOut(host.Settings{"requiredrsasize": {strconv.Itoa(bits)}}),
		}
	case least > bits:
		return verdict{LocksOut, fmt.Sprintf("sshd refuses RSA keys of less than %d bits, and the policy accepts %d", least, bits), "RequiredRSASize " + strconv.Itoa(bits)}
	}
	return verdict{}
}
