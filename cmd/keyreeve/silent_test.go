package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

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
		return err == nil && strings.Contains(string(text), what) && threads(p.cmd.Process.Pid)["Z"] == 1
	})
	return p
}

func (p waiting) says(t *testing.T, texts ...string) {
	t.Helper()
	said, err := os.ReadFile(p.output)
	for _, text := range texts {
		if err != nil || !strings.Contains(string(said), text) {
			t.Errorf("%v says %q, %v, and nothing of %q", p.cmd.Args, said, err, text)
		}
	}
}
