package explain

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// account is what sshd asks of an account before any key (getpwnamallow and allowed_user in OpenSSH's auth.c), in its order.
func (v *visit) account() {
	if v.Account == nil {
		v.step(Step{Code: "no-account", State: Stops, Where: "passwd", What: fmt.Sprintf("this host knows no account %q (getent passwd)", v.User), Do: "look at the name service (nsswitch.conf, sssd)"})
		return
	}
	pam := v.Settings.Text("UsePAM") == "yes" || v.Err != nil
	v.step(Step{Code: "account", State: OK, Where: "passwd", What: fmt.Sprintf("uid %d, home %s, shell %s", v.Account.UID, v.Account.Home, v.Account.Shell)})
	if v.Account.Expired {
		v.step(Step{Code: "account-ended-here", State: Stops, Where: "shadow", What: "the account of this host has ended", Do: "chage -E -1 " + v.User})
	}
	switch {
	case v.Account.Locked && !pam:
		v.step(Step{Code: "account-locked-here", State: Stops, Where: "shadow", What: "the account of this host is locked (its password begins with \"!\"), and sshd does not use PAM", Do: "usermod -p '*' " + v.User})
	case v.Account.Locked:
		v.step(Step{Code: "account-locked-here", State: Note, Where: "shadow", What: "the password of this host is locked; with UsePAM yes keys log in all the same"})
	}
	if v.Account.ShellFault != "" && v.Settings.Text("ChrootDirectory") == "none" {
		v.step(Step{Code: "shell", State: Stops, Where: v.Account.Shell, What: v.Account.ShellFault, Do: "chsh -s /bin/bash " + v.User})
	}
	v.listed("DenyUsers", "deny-users", true, v.byUser)
	v.listed("AllowUsers", "allow-users", false, v.byUser)
	v.listed("DenyGroups", "deny-groups", true, v.byGroup)
	v.listed("AllowGroups", "allow-groups", false, v.byGroup)
	if v.Account.UID != 0 {
		return
	}
	switch root := v.Settings.Text("PermitRootLogin"); root {
	case "no":
		v.step(Step{Code: "root-login", State: Stops, Where: "PermitRootLogin", What: "root does not log in", Do: "PermitRootLogin prohibit-password"})
	case "forced-commands-only":
		v.step(Step{Code: "root-login", State: Limits, Where: "PermitRootLogin", What: "root logs in by keys with a command= alone"})
	}
}

// whether is an answer that may depend on the client's address.
type whether int

const (
	no whether = iota
	perhaps
	yes
)

// listed judges one of the lists of names.
func (v *visit) listed(keyword, code string, deny bool, is func(pattern string) whether) {
	patterns := v.Settings.Words(keyword)
	if len(patterns) == 0 {
		return
	}
	found := no
	for _, pattern := range patterns {
		found = max(found, is(pattern))
	}
	list := keyword + " " + strings.Join(patterns, " ")
	switch {
	case found == perhaps:
		v.step(Step{Code: code, State: Limits, Where: keyword, What: "it depends on the client's address: " + list, Do: "say it: --from ADDRESS"})
	case found == yes && deny:
		v.step(Step{Code: code, State: Stops, Where: keyword, What: "sshd lets him in by nothing: " + list, Do: "take him off the list in sshd's configuration"})
	case found == no && !deny:
		v.step(Step{Code: code, State: Stops, Where: keyword, What: "sshd lets nobody in whom it does not list: " + list, Do: "add him, or a group of his, to the list in sshd's configuration"})
	}
}

// byUser is match_user in OpenSSH's match.c.
func (v *visit) byUser(pattern string) whether {
	name, host, at := strings.Cut(pattern, "@")
	switch {
	case !authkeys.Match(name, v.Account.Name):
		return no
	case !at:
		return yes
	case !v.From.IsValid():
		return perhaps
	case authkeys.MatchAddress(v.From, host):
		return yes
	case v.Settings.Text("UseDNS") == "yes":
		return perhaps
	}
	return no
}

func (v *visit) byGroup(pattern string) whether {
	if slices.ContainsFunc(v.Account.Groups, func(name string) bool { return authkeys.Match(pattern, name) }) {
		return yes
	}
	return no
}

// server is what sshd's configuration says of keys.
func (v *visit) server() {
	if v.Err != nil {
		v.unsure = true
		step := Step{Code: "sshd-silent", State: Unknown, Where: v.Config, What: "sshd does not say what it does, and its defaults are judged by: " + v.Err.Error()}
		if path.IsAbs(v.Config) { // where no sshd is asked, or a user asks of himself, there is no such file to check
			step.Do = "sshd -t -f " + v.Config
		}
		v.step(step)
		return
	}
	if v.Settings.Text("PubkeyAuthentication") == "no" {
		v.step(Step{Code: "pubkey-off", State: Stops, Where: "PubkeyAuthentication", What: "sshd takes no keys", Do: "PubkeyAuthentication yes"})
	}
	v.methods()
	for _, block := range v.Blocks {
		v.step(Step{Code: "match", State: Limits, Where: "Match " + block, What: "for such connections other settings may be in force", Do: "say the client's address: --from ADDRESS"})
	}
	if v.Settings.Text("TrustedUserCAKeys") != "none" {
		v.step(Step{Code: "certificates", State: Note, Where: "TrustedUserCAKeys", What: "certificates let in as well, and are not judged here"})
	}
}

// methods judges AuthenticationMethods: lists of methods that are wanted one after the other.
func (v *visit) methods() {
	alone, with := false, false
	lists := v.Settings.Words("AuthenticationMethods")
	for _, list := range lists {
		alone = alone || list == "publickey" || list == "any"
		with = with || slices.Contains(strings.Split(list, ","), "publickey")
	}
	switch all := strings.Join(lists, " "); {
	case len(lists) == 0 || alone:
	case with:
		v.step(Step{Code: "methods", State: Limits, Where: "AuthenticationMethods", What: "a key alone does not do: " + all})
	default:
		v.step(Step{Code: "methods", State: Stops, Where: "AuthenticationMethods", What: "sshd does not ask for a key: " + all, Do: "AuthenticationMethods any"})
	}
}

// lists judges RevokedKeys, which is asked before any file, and lets nobody in where it cannot be read.
func (v *visit) lists() {
	for _, list := range v.Revoked {
		if list.Fault != "" {
			v.step(Step{Code: "revoked-list", State: Stops, Where: list.Path, What: "sshd cannot read the list of revoked keys, and takes no key of anybody: " + list.Fault, Do: "keyreeve doctor"})
		}
	}
}

// session is what comes after a key was taken.
func (v *visit) session() {
	if v.Gate.Where != "" && !v.Gate.Passed {
		switch {
		case v.Gate.Wrong != "":
			v.after = append(v.after, Step{Code: "gate-broken", State: Stops, Where: v.Gate.Where, What: "the gate lets no session begin: " + v.Gate.Wrong, Do: "keyreeve doctor"})
		case v.GateErr != nil:
			v.after = append(v.after, Step{Code: "gate-broken", State: Stops, Where: v.Gate.File, What: "the gate lets no session begin: " + v.GateErr.Error(), Do: "keyreeve doctor"})
		default:
			v.step(Step{Code: "gate", State: OK, Where: v.Gate.Where, What: fmt.Sprintf("sessions begin by keys that are granted alone; %d of his are", len(v.Granted))})
		}
	}
	if v.Facts.NoLogin != "" && v.Server.NoLogin && v.Account != nil && v.Account.UID != 0 {
		v.after = append(v.after, Step{Code: "nologin", State: Stops, Where: v.Facts.NoLogin, What: "nobody but root begins a session while this file is there", Do: "rm " + v.Facts.NoLogin + ", if the host is not shutting down"})
	}
	v.answer.Steps = append(v.answer.Steps, v.after...)
}
