package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

// servers looks for programs that serve SSH. A listening sshd has the title "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"
// (main of sshd.c since 8.2; before, it has the words alone), that of a session "sshd: ada [priv]".
func (q Question) servers(f *Facts) {
	names, err := filepath.Glob(q.path("/proc/[0-9]*"))
	if err != nil {
		f.Unread = append(f.Unread, err)
		return
	}
	mine, _ := os.Readlink(q.path("/proc/self/ns/pid"))
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		// A process that ends while it is looked at is none.
		comm, _ := os.ReadFile(filepath.Join(name, "comm"))        //nolint:gosec // of procfs
		title, _ := os.ReadFile(filepath.Join(name, "cmdline"))    //nolint:gosec // of procfs
		theirs, _ := os.Readlink(filepath.Join(name, "ns", "pid")) // a container's are not this host's
		program := strings.TrimSpace(string(comm))
		info, err := os.Stat(name)
		if err != nil || mine != "" && theirs != "" && mine != theirs {
			continue
		}
		args, listens := listener(program, string(title))
		if !listens {
			continue
		}
		uid, _ := statefile.Owner(info)
		f.Processes = append(f.Processes, Process{PID: pid, UID: uid, Name: program, Args: args})
	}
}

// listener tells a server from its sessions, and gives the words that it was started with.
func listener(program, title string) (args []string, listens bool) {
	words := strings.FieldsFunc(title, func(r rune) bool { return r == 0 || r == ' ' })
	if program != "sshd" {
		return words, slices.Contains([]string{"dropbear", "tinysshd", "lshd", "teleport"}, program)
	}
	if end := slices.Index(words, "[listener]"); end >= 2 && words[0] == "sshd:" {
		return words[2:end], true
	}
	if len(words) == 0 || filepath.Base(words[0]) != "sshd" {
		return nil, false
	}
	return words[1:], true
}
