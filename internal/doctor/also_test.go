package doctor_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/doctor"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// also has sshd ask keyreeve-keys with another program behind --also, whose path is OTHER, with whatever follows.
func (a asks) also(flag, words string) {
	a.Helper()
	a.sshd(narrowed + a.command(strings.ReplaceAll(flag, "OTHER", filepath.Join(a.below, "other"))+" "+words) + "AuthorizedKeysFile none\n" + glass)
}

// Another program behind --also is another way in, and one that keyreeve-keys does not start, or that asks for a word that is not there, keeps out
// whoever gets in by it.
func TestChecksOfAlso(t *testing.T) {
	account := testenv.NewAccount(t)
	const told, shut = "defeats keys-also", "locks-out keys-also-program"
	for name, c := range map[string]struct {
		flag, words string
		spoil       func(a asks, other string) error
		want        []string
	}{
		"a program":                {"--also=OTHER", words, nil, []string{told}},
		"with its words":           {`"--also=OTHER verify %%u %%h"`, words, nil, []string{told}},
		"the other words":          {`"--also=OTHER %%u %%k %%t"`, words + " %t %k", nil, []string{told}},
		"a word that is not given": {`"--also=OTHER %%u %%k"`, words, nil, []string{told, shut}},
		"one that is not known":    {`"--also=OTHER %%C"`, words, nil, []string{told, shut}},
		"the name, by sshd":        {`"--also=OTHER %u"`, words, nil, []string{told}},
		"a --file= of its own":     {`"--also=OTHER --file=/nowhere"`, words, nil, []string{told}},
		"in other quotes":          {`'--also=OTHER x\\y'`, words, nil, []string{told}},
		"nothing":                  {`"--also= "`, words, nil, []string{"locks-out keys-command-words"}},
		"another flag":             {"--verbose", words, nil, []string{"locks-out keys-command-words"}},
		"behind the dashes":        {"--", "%u %U --also=OTHER", nil, nil},
		"it is not there":          {"--also=OTHER", words, func(_ asks, other string) error { return os.Remove(other) }, []string{told, shut}},
		"somebody else's":          {"--also=OTHER", words, func(a asks, other string) error { return os.Chown(other, a.account.UID, 0) }, []string{told, shut}},
		"others may write it":      {"--also=OTHER", words, func(_ asks, other string) error { return os.Chmod(other, 0o757) }, []string{told, shut}},
		"no program":               {"--also=OTHER", words, func(_ asks, other string) error { return os.Chmod(other, 0o644) }, []string{told, shut}},
		"root's alone to run":      {"--also=OTHER", words, func(_ asks, other string) error { return os.Chmod(other, 0o700) }, []string{told, shut}},
		"no absolute path":         {"--also=other", words, nil, []string{told, shut}},
		"by its user":              {"--also=/home/%u/keys", words, nil, []string{told, shut}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAsks(t, account)
			other := filepath.Join(a.below, "other")
			err := os.WriteFile(other, nil, 0o755)
			if c.spoil != nil {
				err = errors.Join(err, c.spoil(a, other))
			}
			if err != nil {
				t.Fatal(err)
			}
			a.also(c.flag, c.words)
			if diff := cmp.Diff(c.want, codes(a.found())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Where another program is chained, sshd does not take keys from keyreeve alone; where the gate binds, none of its keys begins a session. A block
// that chains one is one.
func TestAlsoIsNotStrong(t *testing.T) {
	account := testenv.NewAccount(t)
	a := newAsks(t, account)
	if err := os.WriteFile(filepath.Join(a.below, "other"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	a.also("--also=OTHER", words)
	text := "StrictModes no\nMatch Address 198.51.100.0/24\n\tAuthorizedKeysCommand " + a.program + " --file=" + a.dir + "/keys.cdb --also=/gone " + words + "\n"
	config, err := os.ReadFile(a.path("drop/10.conf"))
	if err != nil {
		t.Fatal(err)
	}
	a.put("drop/05.conf", text)
	want := []string{"defeats keys-also", "defeats keys-also", "defeats strict-modes", "locks-out keys-also-program"}
	if diff := cmp.Diff(want, codes(a.found())); diff != "" {
		t.Error(diff)
	}
	g := gated(t, account, "", func(gate string) string { return strings.Replace(debian, "GATE", gate, 1) })
	g.put("drop/05.conf", strings.ReplaceAll(text, a.below, g.below))
	g.sshd(strings.ReplaceAll(string(config), a.below, g.below))
	if diff := cmp.Diff([]string{"note keys-also", "note keys-also-program", "note strict-modes"}, codes(g.found())); diff != "" {
		t.Error(diff)
	}
}

// The drop-in goes on asking the program that is asked now, with its words, and names those that it leaves out.
func TestDropInKeepsAlso(t *testing.T) {
	a := newAsks(t, testenv.NewAccount(t))
	other := filepath.Join(a.below, "other")
	if err := os.WriteFile(other, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	a.also(`"--also=OTHER \"x y\" a\\b %%u %%k"`, words+" %t %k")
	const chained = ` "--also=OTHER \"x y\" a\\b %%u %%k" -- %u %U %h %f %t %k` + "\n"
	for _, way := range []string{doctor.Both, doctor.Strong} {
		text := a.facts().DropIn(way)
		if !strings.Contains(text, strings.ReplaceAll(chained, "OTHER", other)) || strings.Contains(text, "BEFORE") {
			t.Errorf("%s: %s", way, text)
		}
		// sshd reads there what it read before.
		b := a
		b.sshd(strings.NewReplacer("/usr/libexec/keyreeve/keyreeve-keys", a.program, "_keyreeve", a.account.Name, "/etc/ssh/authorized_keys", a.path("glass")).Replace(text))
		if diff := cmp.Diff([]string{"defeats keys-also"}, codes(b.found())); diff != "" {
			t.Errorf("%s: %s%s", way, diff, text)
		}
		a.also(`"--also=OTHER \"x y\" a\\b %%u %%k"`, words+" %t %k")
	}
	if text := a.facts().DropIn(doctor.Homes); strings.Contains(text, "AuthorizedKeysCommand") {
		t.Error(text)
	}
	a.sshd(narrowed + "AuthorizedKeysCommand /usr/bin/sss_ssh_authorizedkeys %u\nAuthorizedKeysCommandUser nobody\nMatch Address 10.0.0.0/8\n\tAuthorizedKeysCommand " + a.program + " --also=" + other + " " + words + "\n")
	if text := a.facts().DropIn(doctor.Strong); !strings.Contains(text, "# BEFORE THIS: sshd hears of keys by /usr/bin/sss_ssh_authorizedkeys %u now") || !strings.Contains(text, ` "--also=`+other+`" -- %u %U %h %f`+"\n") {
		t.Error(text)
	}
}

// Who cannot pass a directory above a file cannot read it, whatever the file's mode: the doctor says what the kernel does.
func TestReachIsThatOfTheKernel(t *testing.T) {
	account := testenv.NewAccount(t)
	for _, mode := range []os.FileMode{0o755, 0o711, 0o750, 0o700} {
		for _, gid := range []int{0, account.GID} {
			a := newAsks(t, account)
			if err := errors.Join(os.Chmod(a.dir, mode), os.Chown(a.dir, 0, gid)); err != nil {
				t.Fatal(err)
			}
			a.sshd(narrowed + a.command(words) + "AuthorizedKeysFile none\n" + glass)
			cat := exec.CommandContext(t.Context(), "cat", filepath.Join(a.dir, "keys.cdb"))
			cat.Dir = "/"
			cat.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(account.UID), Gid: uint32(account.GID)}}
			if reads, found := cat.Run() == nil, a.found(); reads != (len(found) == 0) {
				t.Errorf("mode %v, group %d: %v reads it: %v; found %v", mode, gid, account.Name, reads, found)
			}
		}
	}
}
