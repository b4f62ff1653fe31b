package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/host"
)

// defaultConfig is what sshd reads without -f (sshd(8)).
const defaultConfig = "/etc/ssh/sshd_config"

// processes looks for servers that nobody asked.
func (f Facts) processes() []Finding {
	var list []Finding
	for _, p := range f.Processes {
		where := fmt.Sprintf("process %d", p.PID)
		switch {
		case p.UID != 0:
			list = append(list, Finding{"own-server", Defeats, where, fmt.Sprintf("the user %d has a server of SSH of his own: %s", p.UID, p.Name), fmt.Sprintf("kill %d, and ask him", p.PID)})
		case p.Name != "sshd":
			list = append(list, Finding{"other-server", Defeats, where, p.Name + " serves logins, and reads key files by rules of its own", "stop and disable " + p.Name})
		default:
			list = append(list, f.sshdProcess(p, where)...)
		}
	}
	return list
}

func (f Facts) sshdProcess(p Process, where string) []Finding {
	var list []Finding
	w := parseWords(p.Args)
	if w.asks {
		return nil
	}
	if !slices.ContainsFunc(f.Said, func(said host.Said) bool { return said.Config == w.file }) {
		list = append(list, Finding{"other-sshd", Defeats, where, "an sshd runs with " + w.file + ", which homes.sshd.configs does not name: other key files may count there", "homes: {sshd: {configs: [" + w.file + ", ...]}}, or stop it"})
	}
	for _, option := range w.options {
		keyword := strings.ToLower(option[:len(option)-len(strings.TrimLeft(option, letters))])
		if keyword == "authorizedkeysfile" || slices.ContainsFunc(checks(), func(c check) bool { return slices.Contains(c.keywords, keyword) }) {
			list = append(list, Finding{"sshd-option", Defeats, where, "an sshd runs with -o " + option + ", of which sshd -T does not know", "put it into " + w.file + " instead"})
		}
	}
	return list
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// sshdWords are what an sshd was started with.
type sshdWords struct {
	file    string
	options []string
	// asks: it serves nobody, but says something and ends (-T, -G, -t, -V), or is a part of another one (-R).
	asks bool
}

// parseWords reads them as getopt in main of sshd.c does; the letters with a value are those of 9.2 and 10.
func parseWords(args []string) sshdWords {
	w := sshdWords{file: defaultConfig}
	for i := 0; i < len(args); i++ {
		word, ok := strings.CutPrefix(args[i], "-")
		for at := 0; ok && at < len(word); at++ {
			w.asks = w.asks || strings.Contains("TGtVR", word[at:at+1])
			if !strings.Contains("fopEbkhugcC", word[at:at+1]) {
				continue
			}
			value := word[at+1:]
			if value == "" && i+1 < len(args) {
				i++
				value = args[i]
			}
			switch word[at] {
			case 'f':
				w.file = value
			case 'o':
				w.options = append(w.options, value)
			}
			break
		}
	}
	return w
}

// The watches of one home: its own and that of the folder of the key file at least (package homes names more where links lead elsewhere).
const watchesOfAHome = 2

// clockSlack is how far clocks may be apart: registrations end to the second, and readings are stamped.
const clockSlack = time.Minute

// machine judges the rest of the host.
func (f Facts) machine() []Finding {
	var list []Finding
	for _, kind := range slices.Sorted(maps.Keys(f.Kinds)) {
		if blind(kind) {
			fast := fmt.Sprintf("homes.fast_check (%v) for users with a process here, homes.sweep (%v) for all", f.Config.Homes.FastCheck, f.Config.Homes.Sweep)
			if f.Config.Homes.FastCheck == 0 {
				fast = fmt.Sprintf("homes.sweep (%v)", f.Config.Homes.Sweep)
			}
			list = append(list, Finding{"blind-homes", Note, "homes", fmt.Sprintf("%d homes are on %s, where changes from elsewhere raise no event; found by %s", f.Kinds[kind], kind, fast), "a shorter homes.sweep; the gate, or keyreeve-keys alone (docs/sshd.md)"})
		}
	}
	if need := f.Homes * watchesOfAHome; f.Watches > 0 && need > f.Watches {
		list = append(list, Finding{"inotify", Note, "fs.inotify.max_user_watches", fmt.Sprintf("%d homes need %d watches or more, and there are %d: the rest waits for homes.sweep (%v)", f.Homes, need, f.Watches, f.Config.Homes.Sweep), fmt.Sprintf("fs.inotify.max_user_watches = %d, in /etc/sysctl.d", 2*need)})
	}
	if f.Instances > 0 && f.Instances < leastInstances {
		list = append(list, Finding{"inotify", Note, "fs.inotify.max_user_instances", fmt.Sprintf("root may have %d instances, which other programs use up", f.Instances), "fs.inotify.max_user_instances = 128, in /etc/sysctl.d"})
	}
	for _, path := range f.Writers {
		list = append(list, Finding{"writer", Note, path, cmp.Or(agents()[path], "a profile script") + " writes keys into authorized_keys; keyreeve takes them out again where nobody registered them", "turn that off, or register the keys"})
	}
	if f.ClockAsked && !f.Clocked {
		list = append(list, Finding{"clock", Note, "the clock", "the directory does not tell this reader its time", "let the reader see cn=monitor there, or look at both clocks"})
	}
	if f.Clocked && f.Clock.Abs() > clockSlack {
		list = append(list, Finding{"clock", LocksOut, "the clock", fmt.Sprintf("the directory's clock is %v from this host's: registrations begin and end at another time here", f.Clock.Round(time.Second)), "timedatectl set-ntp true, here and there"})
	}
	return list
}

// leastInstances are those of keyreeve, with some for systemd and others of root's.
const leastInstances = 16

// blind file systems are changed from elsewhere without an event (inotify(7), "Limitations"), or mounted when somebody comes (autofs).
func blind(kind string) bool {
	first, _, _ := strings.Cut(kind, ".")
	return slices.Contains([]string{
		"nfs", "nfs4", "autofs", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3", "afs", "9p", "fuse", "fuseblk", "glusterfs", "gfs2", "ocfs2", "panfs", "pvfs2", "virtiofs", "overlay",
	}, first)
}

// agents are tools that write the authorized_keys files of users, by a path that they have where they work. Profile scripts, such as Warewulf's
// ssh_setup.sh, are found by what they say.
func agents() map[string]string {
	return map[string]string{
		"/etc/cloud/cloud.cfg":        "cloud-init",
		"/usr/bin/google_guest_agent": "Google's guest agent",
		"/usr/sbin/waagent":           "Azure's agent",
		"/usr/sbin/qemu-ga":           "QEMU's guest agent (guest-ssh-add-authorized-keys)",
		"/usr/bin/qemu-ga":            "QEMU's guest agent (guest-ssh-add-authorized-keys)",
		"/opt/cycle/jetpack":          "Azure CycleCloud",
	}
}
