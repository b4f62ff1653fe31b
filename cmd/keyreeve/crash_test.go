package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// crash is a home that is out of line, in whose repair keyreeve dies.
type crash struct {
	name    string
	homes   string                                    // options of the configuration
	prepare func(t *testing.T, m member, text string) // puts the home out of line
	read    bool                                      // keyreeve reads the text, so that quarantine keeps it
	comment string                                    // of the text, that stays
	begun   bool                                      // keyreeve's own folders are there
	root    bool                                      // the file becomes root's
	every   bool                                      // it dies at calls that change nothing too
	program string                                    // that dies; empty: keyreeve itself
	full    bool                                      // the home has no room: a crash may leave a mixture of the old and the new file
	gap     bool                                      // the old file goes aside before the new one is there
	bare    bool                                      // the text has no comment
	old     bool                                      // there is an old copy, which has to go for the new one
}

func crashes() []crash {
	write := func(t *testing.T, m member, text string) {
		t.Helper()
		m.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", text)
	}
	link := func(t *testing.T, m member, text string) {
		t.Helper()
		m.does(t, "cat >mine; chmod 644 mine; mkdir .ssh; ln -s ../mine .ssh/authorized_keys", text)
	}
	fill := func(then func(t *testing.T, m member, text string)) func(t *testing.T, m member, text string) {
		return func(t *testing.T, m member, text string) {
			t.Helper()
			then(t, m, text)
			m.does(t, "cat /dev/zero >mine || test -s mine", "")
		}
	}
	return []crash{
		{name: "rewrite", homes: "install: present", every: true, begun: true, read: true, comment: "# mine\n", prepare: write},
		{name: "first run", homes: "install: present", read: true, comment: "# mine\n", prepare: write},
		{name: "link", homes: "install: present", begun: true, read: true, prepare: link},
		{name: "no .ssh", homes: "install: all", begun: true, prepare: func(*testing.T, member, string) {}},
		{name: "root's rewrite", homes: "guard: root", every: true, begun: true, read: true, comment: "# mine\n", prepare: write, root: true},
		{name: "root's link", homes: "guard: root", begun: true, read: true, prepare: link, root: true},
		{name: "seized", homes: "install: present", begun: true, read: true, prepare: write, program: "seizer", gap: true, bare: true},
		{name: "renewed", homes: "install: present", begun: true, read: true, prepare: write, program: "renewer", gap: true, bare: true},
		{name: "full disk", homes: "install: present", begun: true, read: true, prepare: fill(write), full: true, bare: true},
		{name: "old copy", homes: "install: present", begun: true, read: true, comment: "# mine\n", prepare: write, old: true},
	}
}

// The program dies by SIGKILL at the door of every system call that it makes from its first look at the home to its end, one
// after the other; Go's own care for threads, memory and signals alone is left out, and some homes have the calls alone that
// change a file. Wherever that is, the file is the old one or the new one, what was done was told before, what went is in
// quarantine, who logged in before still does, and the next run ends the work and leaves no temporary file. What the kernel
// has is not lost by that, as it is with the power: see TestApplySyncs.
//
// What a dead process leaves is what is on the file system. So what needs other programs (logins, the next run) is tried once
// for each state that was found there, and not again for a call that left nothing new.
func TestApplyKilled(t *testing.T) {
	testenv.Need(t, "root", "sshd", "mount")
	server := testenv.StartSSHD(t, "")
	goodFile, good := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	for _, c := range crashes() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := ruin{crash: c, site: newSite(t), member: guest(t, good), server: server, goodFile: goodFile, badFile: badFile, key: good}
			r.text = bad + " intruder\n# mine\n" + good + "\n"
			if r.bare {
				r.text = strings.Replace(r.text, "# mine\n", "", 1)
			}
			if r.program == "" {
				r.program = "keyreeve"
			}
			if r.full {
				r.small(t)
			}
			r.run(t)
		})
	}
}

// ruin is a crash on its site.
type ruin struct {
	crash
	site              site
	member            member
	server            *testenv.SSHD
	goodFile, badFile string
	key, text         string // the registered key; what the file holds at first
}

// leastCalls is how many calls there must have been, or the counting has begun too late.
func (c crash) leastCalls() int {
	if c.every {
		return 150
	}
	return 15
}

func (r ruin) run(t *testing.T) {
	t.Helper()
	r.reset(t)
	old, fresh := r.member.state(t), r.fresh()
	was := r.server.Login(r.member.name, r.goodFile)
	found := make(map[string]bool)
	for n := 1; ; n++ {
		r.reset(t)
		calls, killed := r.site.stepped(r.program, r.member.home, r.every, n)
		if !killed {
			t.Logf("%d calls to die at, which left %d different states", n-1, len(found))
			if n <= r.leastCalls() {
				t.Errorf("the program made %d calls, want %d at least", n-1, r.leastCalls())
			}
			break
		}
		now := r.member.state(t)
		if now != old && now != fresh && (!r.gap || now != "missing") && (!r.full || !r.mixture(t)) {
			t.Errorf("killed at %v: the file is\n%s, neither the old one\n%s, nor the new one\n%s", calls, now, old, fresh)
		}
		if state := r.state(t); !found[state] {
			found[state] = true
			r.check(t, fmt.Sprint("killed at ", calls), now != old, was == nil && now != "missing")
		}
		if t.Failed() {
			t.Fatalf("killed at call %d, %v", n, calls)
		}
	}
	if now := r.member.state(t); now != fresh {
		t.Errorf("a whole run left\n%s, want\n%s", now, fresh)
	}
}

// check looks at what a dead run has left, and at what the next one makes of it. changed says that the file is another one than before,
// in that the registered key must log in.
func (r ruin) check(t *testing.T, when string, changed, in bool) {
	t.Helper()
	s, m := r.site, r.member
	if changed {
		s.told(m, r.quarantined())
	}
	s.whole()
	m.clean(t, tempName, asideName, markName)
	r.dropped(t, when)
	if in {
		r.logsIn(t, when)
	}

	s.keyreeve(statusOK, "apply")
	s.keyreeve(statusOK, "quarantine", "list")
	if now := m.state(t); now != r.fresh() {
		t.Errorf("%s: after the next run the file is\n%s, want\n%s", when, now, r.fresh())
	}
	for _, name := range []string{"authorized_keys", "authorized_keys2"} {
		onlyKey(t, name, m.read(t, name), r.key)
	}
	s.told(m, r.quarantined())
	s.whole()
	if r.gap {
		m.clean(t, asideName, markName) // a mark stays until the file is changed again
	} else {
		m.clean(t, asideName)
	}
	if gone := r.dropped(t, when+", and the next run"); r.old && !gone {
		t.Errorf("%s, and the next run: the old copy is still there", when)
	}
	r.logsIn(t, when+", and the next run")
	if err := r.server.Login(m.name, r.badFile); !errors.Is(err, testenv.ErrRefused) {
		t.Errorf("%s, and the next run: the unknown key: got %v, want ErrRefused", when, err)
	}
}

func (r ruin) logsIn(t *testing.T, when string) {
	t.Helper()
	if err := r.server.Login(r.member.name, r.goodFile); err != nil {
		t.Errorf("%s: the registered key: %v", when, err)
	}
}

// reset puts home and site back to what they were before any run.
func (r ruin) reset(t *testing.T) {
	t.Helper()
	s := r.site
	old, err := filepath.Glob(r.member.home + "/*")
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := filepath.Glob(r.member.home + "/.*")
	if err != nil {
		t.Fatal(err)
	}
	old = append(old, hidden...)
	for _, path := range append(old, s.path("log"), s.path("state"), s.path("run")) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	r.prepare(t, r.member, r.text)
	s.put("registry.ldif", entries(r.member))
	s.configure("enforce", s.ldifRegistry())
	s.setHomes(r.homes)
	if !r.begun {
		return
	}
	for _, dir := range []string{"log", "state", "state/quarantine"} {
		if err := os.Mkdir(s.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if path := r.oldCopy(); r.old {
		if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o400), os.Truncate(path, enforcer.DefaultBudget+1)); err != nil {
			t.Fatal(err)
		}
	}
}

// quarantined is what of the text keyreeve read.
func (r ruin) quarantined() string {
	if r.read {
		return r.text
	}
	return ""
}

// fresh is the state in which keyreeve leaves the file.
func (r ruin) fresh() string {
	mode, uid, gid := fs.FileMode(0o600), r.member.uid, r.member.gid
	if r.root {
		mode, uid, gid = 0o644, 0, 0
	}
	return fmt.Sprintf("%v %d:%d %q", mode, uid, gid, r.comment+r.key+"\n")
}

// state is what matters of all that a run can change, without what differs from run to run.
func (r ruin) state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, top := range []string{r.member.home, r.site.path("log"), r.site.path("state"), r.site.path("run")} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			uid, _ := owner(info)
			fmt.Fprintf(&b, "%s %v %d", random.ReplaceAllString(path, "*"), info.Mode(), uid)
			if info.Mode().IsRegular() {
				data, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				b.WriteString(shape(data, strings.HasPrefix(path, r.site.dir)))
			}
			b.WriteString("\n")
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return b.String()
}

// shape is the content of a file; of keyreeve's own, which hold times and digests, how many lines there are, and whether
// the file is cut off.
func shape(data []byte, own bool) string {
	if !own {
		return fmt.Sprintf(" %q", data)
	}
	return fmt.Sprintf(" %d lines, ends in %.1q, JSON %v", strings.Count(string(data), "\n"), data[max(len(data)-1, 0):], json.Valid(data))
}

// state is everything that matters of authorized_keys, in one text.
func (m member) state(t *testing.T) string {
	t.Helper()
	info, err := os.Lstat(m.file("authorized_keys"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "missing"
	case err != nil:
		t.Fatal(err)
	case info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(m.file("authorized_keys"))
		return fmt.Sprintf("a link to %s, %v", target, err)
	}
	uid, gid := owner(info)
	return fmt.Sprintf("%v %d:%d %q", info.Mode(), uid, gid, m.read(t, "authorized_keys"))
}
