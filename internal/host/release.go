package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Release is a version of OpenSSH.
type Release struct{ Major, Minor int }

var release = regexp.MustCompile(`\bOpenSSH_([0-9]+)\.([0-9]+)`)

// askRelease asks sshd for its version. -V is known since 9.2; what does not know it is older, and prints the usage, which begins with the
// version, and fails.
func askRelease(ctx context.Context, program string) (r Release, ok bool) {
	_, said, err := runBoth(ctx, program, "-V")
	if err != nil {
		said = strings.ReplaceAll(err.Error(), program, "") // which may have a version in its name
	}
	version := release.FindStringSubmatch(said)
	if version == nil {
		return Release{}, false
	}
	major, err1 := strconv.Atoi(version[1])
	minor, err2 := strconv.Atoi(version[2])
	return Release{major, minor}, err1 == nil && err2 == nil
}

// asked is what a program said of its version.
type asked struct {
	mu sync.Mutex
	r  Release
	ok bool
}

// Release is the version of this host's sshd. It is asked every time, since the program may be a script that runs another one; what was said
// last outlives a failure. ok is false where nothing is known: nobody is asked, there is no sshd, or it never said.
func (s *SSHD) Release(ctx context.Context) (r Release, ok bool) {
	if len(s.servers) == 0 {
		return Release{}, false
	}
	a := &s.asked
	a.mu.Lock()
	defer a.mu.Unlock()
	if program := s.servers[0].find(); program != "" { // they are one program
		if r, ok := askRelease(ctx, program); ok {
			a.r, a.ok = r, true
		}
	}
	return a.r, a.ok
}

// Names are those of this host: the kernel's, the first one in /etc/hosts beside it, which is the full one (hosts(5)), and both up to their first
// dots. No name server is asked: what a host is told to do must not depend on one. With an error some of them may be missing.
func Names() ([]string, error) { return names("/etc/hosts") }

func names(hosts string) ([]string, error) {
	name, err := os.Hostname()
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask the kernel for the name of this host: %w", err)
	case name == "":
		return nil, errors.New("this host has no name")
	}
	text, err := os.ReadFile(hosts) //nolint:gosec // that of Names
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return namesOf(name, string(text)), err
}

func namesOf(name, hosts string) []string {
	list := []string{name}
	for line := range strings.Lines(hosts) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) > 1 && words[1] != "localhost" && slices.ContainsFunc(words[1:], func(w string) bool { return strings.EqualFold(w, name) }) {
			list = append(list, words[1])
		}
	}
	for _, full := range slices.Clone(list) {
		short, _, _ := strings.Cut(full, ".")
		list = append(list, short)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
