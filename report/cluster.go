package report

import "strings"

// Mark is how a cluster's own key is known; a stable code.
type Mark string

// The marks. None of these keys is in a registry, most have no passphrase, and without them ssh between the nodes no longer works.
const (
	// MarkWarewulf: /etc/profile.d/ssh_setup.sh of Warewulf and OpenHPC makes ~/.ssh/cluster at the first login, with the comment
	// "Warewulf Cluster key".
	MarkWarewulf Mark = "warewulf"
	// MarkCycleCloud: the comment names Azure CycleCloud, whose account and scripts make such keys.
	MarkCycleCloud Mark = "cyclecloud"
	// MarkOpenHPC: the comment names OpenHPC.
	MarkOpenHPC Mark = "openhpc"
	// MarkCluster: the comment calls it the key of a cluster.
	MarkCluster Mark = "cluster"
	// MarkOwnHost: the comment is user@host of the user himself and of the host of the report, which ssh-keygen(1) writes by itself: the
	// private key was made here, as init_sshkeys.sh (CycleCloud), createkeys.sh (fgci) and the manuals of centres do.
	MarkOwnHost Mark = "own-host"
)

// markOf says by what the comment of a line shows that the key is the cluster's; empty: by nothing.
func markOf(user, host, comment string) Mark {
	text := strings.ToLower(comment)
	for _, m := range []struct {
		mark Mark
		word string
	}{
		{MarkWarewulf, "warewulf"}, {MarkCycleCloud, "cyclecloud"}, {MarkOpenHPC, "openhpc"}, {MarkCluster, "cluster key"}, {MarkCluster, "cluster access"},
	} {
		if strings.Contains(text, m.word) {
			return m.mark
		}
	}
	if name, at, found := strings.Cut(comment, "@"); found && host != "" && name == user && shortName(at) == shortName(host) {
		return MarkOwnHost
	}
	return ""
}

// shortName is a host's name without its domain.
func shortName(host string) string {
	name, _, _ := strings.Cut(strings.ToLower(host), ".")
	return name
}
