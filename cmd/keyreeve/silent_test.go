package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A home on a file server that is silent is named, and keeps nobody waiting; it is looked at again when the server answers.
func TestDaemonBesideADeadFileServer(t *testing.T) {
	testenv.Need(t, "root", "mount", "fuse")
	s := newSite(t)
	_, keys := vectors(t)
	user, other := s.newMember(1, keys["A"]), s.newMember(2, keys["A"])
	for _, m := range []member{user, other} {
		m.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	}
	s.put("registry.ldif", entries(user, other))
	s.configure("enforce", s.ldifRegistry())
	dead := testenv.Hang(t, user.as(), user.home)
	defer dead.Let() // before the daemon is waited for
	d := s.start()
	other.loses(t, "authorized_keys", keys["B"])
	d.await("home does not answer", 1)
	for range 3 {
		other.append(t, "authorized_keys", keys["B"]+"\n")
		other.loses(t, "authorized_keys", keys["B"])
	}
	if d.said("home does not answer") != 1 || d.said(`"user":"user001","home":"`+user.home+`","server":"fuse `) != 1 {
		t.Error("the home was not named once, with its server")
	}
	dead.Let()
	d.await("home answers again", 1)
	d.stop()
}

// So it is in one pass, and where a copy is to come back: the home is named, which is an error, and the others are planned and kept.
func TestPassBesideADeadFileServer(t *testing.T) {
	testenv.Need(t, "root", "mount", "fuse")
	s := newSite(t)
	_, keys := vectors(t)
	user, other := s.newMember(1, keys["A"]), s.newMember(2, keys["A"])
	for _, m := range []member{user, other} {
		m.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+"\n")
	}
	s.put("registry.ldif", entries(user, other))
	s.configure("enforce", s.ldifRegistry())
	s.keyreeve(statusOK, "apply", user.name)
	copies, _ := s.keyreeve(statusOK, "quarantine", "list", "--user", user.name)
	dead := testenv.Hang(t, user.as(), user.home)
	defer dead.Let()
	silence := user.home + " does not answer"
	plan := s.begin(silence, "plan")
	plan.says(t, "1 accounts could not be looked at", other.file("authorized_keys"))
	apply := s.begin(silence, "apply")
	apply.says(t, "1 accounts could not be kept in line", other.file("authorized_keys"))
	if got := other.read(t, "authorized_keys"); got != keys["A"]+"\n" {
		t.Errorf("the other home has %q", got)
	}
	restore := s.begin(silence, "quarantine", "restore", strings.Fields(copies)[0])
	dead.Let()
	for _, p := range []waiting{plan, apply, restore} {
		if _ = p.cmd.Wait(); p.cmd.ProcessState.ExitCode() != statusError {
			t.Errorf("%v ended with %d", p.cmd.Args, p.cmd.ProcessState.ExitCode())
		}
	}
}

// waiting is a program that has said all, and is not gone before the thread of it that waits for a file server.
type waiting struct {
	cmd    *exec.Cmd
	output string // a file
}

// begin starts a program and waits until it has said something.
func (s site) begin(what string, arguments ...string) waiting {
	s.t.Helper()
	p := waiting{exec.Command("keyreeve", append(arguments, "--config", s.path("keyreeve.yaml"))...), s.path(arguments[0] + ".output")}
	file, err := os.Create(p.output)
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	p.cmd.Stdout, p.cmd.Stderr = file, file
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "it says "+what, func() bool {
		text, err := os.ReadFile(p.output)
		return err == nil && strings.Contains(unfolded(string(text)), what) && threads(p.cmd.Process.Pid)["Z"] == 1
	})
	return p
}

func (p waiting) says(t *testing.T, texts ...string) {
	t.Helper()
	said, err := os.ReadFile(p.output)
	for _, text := range texts {
		if err != nil || !strings.Contains(unfolded(string(said)), text) {
			t.Errorf("%v says %q, %v, and nothing of %q", p.cmd.Args, said, err, text)
		}
	}
}

// on puts a disk under the home of a guest.
func (m member) on(t *testing.T, kind string) {
	t.Helper()
	testenv.Need(t, "root", "mount", kind)
	image, over := filepath.Join(t.TempDir(), "image"), filepath.Dir(m.home)
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 300<<20); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"mkfs." + kind, "-q", image}, {"mount", "-o", "loop", image, over}} {
		program, err := testenv.Program(words[0])
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), program, words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(over, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(os.Chmod(over, 0o755), os.Mkdir(m.home, 0o755), os.Chown(m.home, m.uid, m.gid)); err != nil {
		t.Fatal(err)
	}
}

// A user makes the look at one of his files hang, and writes a key into the other one: by a link to a dead server, or by a listing
// on XFS that nothing but a look-up waits for.
func TestLoginsBesideASilentFile(t *testing.T) {
	testenv.Need(t, "root", "fuse", "mount", "sshd", "xfs")
	server := testenv.StartSSHD(t, "")
	goodFile, good := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	for title, hang := range map[string]func(t *testing.T, m member, d *child) *testenv.Stall{
		"a link to a dead server": func(t *testing.T, m member, _ *child) *testenv.Stall {
			t.Helper()
			dead := filepath.Join(filepath.Dir(m.home), "dead")
			if err := os.Mkdir(dead, 0o755); err != nil {
				t.Fatal(err)
			}
			stall := testenv.Hang(t, m.as(), dead)
			m.does(t, "ln -s "+dead+"/x .ssh/authorized_keys2", "")
			eventually(t, "the link is taken away", func() bool {
				info, err := os.Lstat(m.file("authorized_keys2"))
				return err == nil && info.Mode().IsRegular()
			})
			return stall
		},
		"a listing on XFS": func(t *testing.T, m member, d *child) *testenv.Stall {
			t.Helper()
			m.does(t, "mkdir ssh.new; cat >ssh.new/authorized_keys; for i in $(seq 25); do : >ssh.new/a-rather-long-name-of-a-file-that-fills-a-block-$i; done; ls ssh.new/rc ssh.new/environment || true", good+"\n")
			stall := testenv.HoldDir(t, m.as(), filepath.Join(m.home, "ssh.new"))
			m.does(t, "mv .ssh old; mv ssh.new .ssh", "")
			d.hangs()
			return stall
		},
	} {
		t.Run(title, func(t *testing.T) {
			s, m := newSite(t), guest(t, good)
			m.on(t, "xfs")
			m.does(t, "mkdir -m 700 .ssh; cat >.ssh/authorized_keys", good+"\n")
			s.put("registry.ldif", entries(m))
			s.configure("enforce", s.ldifRegistry())
			d := s.start()
			d.await("every home was looked at", 1)
			stall := hang(t, m, d)
			defer stall.Let() // before the daemon is waited for
			for n := range 3 {
				m.does(t, "cat >>.ssh/authorized_keys", fmt.Sprintf("%s %d\n", bad, n))
				m.loses(t, "authorized_keys", bad)
				if err := server.Login(m.name, goodFile); err != nil {
					t.Errorf("the registered key: %v", err)
				}
			}
			if server.Login(m.name, badFile) == nil { // it may as well hang where the look does
				t.Error("the unregistered key logs in")
			}
			stall.Let()
			d.stop()
		})
	}
}

// A user makes the look at his files hang, and has other files in their place then.
func TestLoginsByAFileThatWasExchanged(t *testing.T) {
	testenv.Need(t, "root", "fuse", "mount", "sshd")
	server := testenv.StartSSHD(t, "")
	goodFile, good := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	s, m := newSite(t), guest(t, good)
	m.does(t, "mkdir -m 700 .ssh; cat >.ssh/authorized_keys", good+"\n")
	dead := filepath.Join(filepath.Dir(m.home), "dead")
	if err := os.Mkdir(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	stall := testenv.Hang(t, m.as(), dead)
	s.put("registry.ldif", entries(m))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	defer stall.Let() // before the daemon is waited for
	d.await("every home was looked at", 1)
	for n := range 2 {
		m.does(t, fmt.Sprintf("mv .ssh old%d; ln -s %s/x .ssh", n, dead), "")
		d.await("no answer yet", n+1)
		m.does(t, "rm .ssh; mkdir -m 700 .ssh; cat >.ssh/authorized_keys", good+"\n"+bad+"\n")
		m.loses(t, "authorized_keys", bad)
		if server.Login(m.name, badFile) == nil {
			t.Error("the unregistered key logs in")
		}
		if err := server.Login(m.name, goodFile); err != nil {
			t.Errorf("the registered key: %v", err)
		}
	}
	stall.Let()
	d.stop()
}
