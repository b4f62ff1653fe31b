package host

import (
	"context"
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
		said = err.Error()
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
	mu    sync.Mutex
	stamp stamp
	r     Release
	ok    bool
}

// Release is the version of this host's sshd. It is asked once, and again when the program is another one; what was said last outlives a failure.
// ok is false where nothing is known: nobody is asked, there is no sshd, or it did not say.
func (s *SSHD) Release(ctx context.Context) (r Release, ok bool) {
	if len(s.servers) == 0 {
		return Release{}, false
	}
	program := s.servers[0].find() // they are one program
	if program == "" {
		return Release{}, false
	}
	a := &s.asked
	a.mu.Lock()
	defer a.mu.Unlock()
	now := stampOf([]string{program})
	if a.ok && a.stamp.same(now) {
		return a.r, true
	}
	if r, ok := askRelease(ctx, program); ok {
		a.stamp, a.r, a.ok = now, r, true
	}
	return a.r, a.ok
}

// Names are those of this host: the kernel's, the first one in /etc/hosts beside it, which is the full one (hosts(5)), and both up to their first
// dots. No name server is asked: what a host is told to do must not depend on one.
func Names() []string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return nil
	}
	text, _ := os.ReadFile("/etc/hosts") // a host may have none
	return namesOf(name, string(text))
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
