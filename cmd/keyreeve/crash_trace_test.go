package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// changing are the system calls that change a file or bring it to the disk; openat does so with O_CREAT alone. others are those
// a sample is taken of. A "?" stands before names that an architecture or an strace may not know.
const (
	changing = "?rename,?renameat,renameat2,?unlink,unlinkat,?rmdir,?mkdir,mkdirat,linkat,symlinkat,?fchmodat2,fchmod,fchmodat," +
		"fchown,fchownat,write,pwrite64,ftruncate,fallocate,fsync,fdatasync,fsetxattr"
	others = "openat,close,flock,getdents64,getxattr,pread64,read,setfsuid,setgroups,capset"
)

// call is one system call that concerns the site.
type call struct {
	name  string
	label string // what it is in every run: name, file with its random parts blotted out, and how often that came before
	done  bool   // the program lived to see the end of it

	// strace counts calls by name and thread (-e inject in strace(1)), and where -P names a path, only those that have it
	// as an argument, or a descriptor of it.
	path          string // such a path, "" where it has a random part or there is none
	nth, nthOfAll int    // the call's number among those with that path, and among all of its thread
}

// door says how to let a program die as it enters a call.
type door struct {
	name, path string
	nth        int
}

// doors are the ways to a call: by its path, which does not depend much on what Go runs in which thread, and without.
func (c call) doors() []door {
	all := door{c.name, "", c.nthOfAll}
	if c.path == "" {
		return []door{all, all}
	}
	return []door{{c.name, c.path, c.nth}, all}
}

// traced runs "keyreeve apply" under strace and returns its calls in the order of their beginnings. The process is killed as it
// enters a call, which then does nothing; where the door is zero, it runs to its end. killed says whether it was.
func (s site) traced(at door) (calls []call, killed bool) {
	s.t.Helper()
	log := s.path("strace.log")
	arguments := []string{"-f", "-y", "-qqq", "-e", "signal=none", "-o", log, "-e", "trace=" + changing + "," + others}
	if at.name != "" {
		arguments = append(arguments, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", at.name, at.nth))
	}
	if at.path != "" {
		arguments = append(arguments, "-P", s.dir+at.path)
	}
	arguments = append(arguments, "keyreeve", "apply", "--config", s.path("keyreeve.yaml"))
	out, err := exec.CommandContext(s.t.Context(), "strace", arguments...).CombinedOutput()
	if err != nil {
		// strace ends as its tracee did (EXIT STATUS in strace(1)).
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			s.t.Fatal(err)
		}
		status, _ := exit.Sys().(syscall.WaitStatus)
		if at.name == "" || !status.Signaled() || status.Signal() != syscall.SIGKILL {
			s.t.Fatalf("strace %v: %v\n%s", arguments, err, out)
		}
		killed = true
	}
	text, err := os.ReadFile(log)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.parse(string(text)), killed
}

// A line of strace's log is a call, or the rest of one that another thread's call came into.
var (
	callLine    = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	resumedLine = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>(.*)$`)
	// The first argument, a path or a descriptor that -y has named, and the second, when it is a path.
	argument = regexp.MustCompile(`^(?:(?:AT_FDCWD|\d+)<([^>]*)>(?:\(deleted\))?)?(?:(?:, )?"([^"]*)")?`)
	random   = regexp.MustCompile(`\d{8}T\d{6}\.\d{6}Z|[A-Z2-7]{26}|\.new-\d+`)
)

// parse finds the calls that concern the site in a log of strace.
func (s site) parse(log string) []call {
	var all []call
	open := make(map[string]int)   // the call that a thread is in
	nth := make(map[[3]string]int) // by thread, name and path
	seen := make(map[string]int)   // by name and file
	done := func(line string) bool {
		return !strings.HasSuffix(line, "= ?") && !strings.HasSuffix(line, "<unfinished ...>")
	}
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		if m := resumedLine.FindStringSubmatch(line); m != nil {
			if i, ok := open[m[1]]; ok {
				all[i].done = done(line)
			}
			continue
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		thread, c := m[1], call{name: m[2], done: done(line)}
		nth[[3]string{thread, c.name}]++
		c.nthOfAll = nth[[3]string{thread, c.name}]
		delete(open, thread)
		given, file, ours := s.about(c.name, m[3])
		if !ours {
			continue
		}
		nth[[3]string{thread, c.name, given}]++
		if given != "" && !random.MatchString(given) {
			c.path, c.nth = given, nth[[3]string{thread, c.name, given}]
		}
		c.label = c.name + " " + random.ReplaceAllString(file, "*")
		if strings.Contains(line, "O_CREAT") {
			c.label += " O_CREAT"
		}
		seen[c.label]++
		c.label += fmt.Sprintf(" #%d", seen[c.label])
		open[thread] = len(all)
		all = append(all, c)
	}
	return all
}

// about finds the path that a call was given, as strace sees it, and the file that it is about, both below the site. Calls
// that change the identity of the thread have none.
func (s site) about(name, arguments string) (given, file string, ours bool) {
	if slices.Contains([]string{"setfsuid", "setgroups", "capset"}, name) {
		return "", "", true
	}
	m := argument.FindStringSubmatch(arguments)
	given, file = m[1], m[1]
	if second := m[2]; second != "" && (given == "" || strings.HasSuffix(strings.TrimSuffix(name, "2"), "at")) {
		if path.IsAbs(second) {
			given, file = second, second
		} else {
			file = path.Join(given, second)
		}
	}
	given, ours = strings.CutPrefix(given, s.dir)
	return given, cmp.Or(strings.TrimPrefix(file, s.dir), "/"), ours
}

// changes says whether the call changes a file or brings it to the disk.
func (c call) changes() bool {
	return slices.Contains(strings.Split(strings.ReplaceAll(changing, "?", ""), ","), c.name) || strings.Contains(c.label, " O_CREAT")
}
