package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/explain"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// program copies this program to where every user can run it.
func (s site) program() string {
	s.t.Helper()
	path := s.path("keyreeve")
	own, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := os.ReadFile(own)
	if err == nil {
		err = errors.Join(os.WriteFile(path, text, 0o755), os.Chmod(path, 0o755))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

// A user asks about himself without any right: what the daemon grants, what it took out, and what stands in his file. Nobody else can ask.
func TestExplainSelf(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	_, keys := vectors(t)
	program := s.program()
	ada, bob := guest(t, keys["A"]), guest(t, keys["B"])
	inFile(t, &ada, keys["A"]+" mine\n"+keys["B"]+" planted")
	s.put("registry.ldif", entries(ada, bob))
	s.configure("enforce", s.ldifRegistry())
	if err := os.Chmod(s.path("keyreeve.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	as := func(m member, words ...string) (out, said string, status int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append(words, "--config", s.path("keyreeve.yaml"))...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(m.uid), Gid: uint32(m.gid)}}
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr, cmd.Dir = &stdout, &stderr, "/"
		if err := cmd.Run(); cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
	}
	ask := func(m member) (a explain.Answer, status int) {
		t.Helper()
		out, said, status := as(m, "explain", "--format", "json")
		var list []explain.Answer
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
			t.Fatalf("%v: %s%s", err, out, said)
		}
		return list[0], status
	}
	if _, said, status := as(ada, "explain"); status != statusError || !strings.Contains(said, "the daemon tells nothing of uid ") {
		t.Errorf("without a daemon: %d %s", status, said)
	}
	here := exec.CommandContext(t.Context(), "sleep", "600") // she has a process on this host, and bob has none
	here.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(ada.uid), Gid: uint32(ada.gid)}}
	if err := here.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = here.Process.Kill()
			_ = here.Wait()
		}
	}
	t.Cleanup(end)
	d := s.start()
	ada.loses(t, "authorized_keys", keys["B"])
	file := filepath.Join(s.path("run", "users"), statusName(ada.uid))
	d.signal(syscall.SIGHUP) // a new world is told of at once
	eventually(t, "what was taken out is told", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), fingerprintOf(t, keys["B"]))
	})
	a, status := ask(ada)
	if status != statusOK || !a.LogsIn || a.User != ada.name || len(a.Registry.Keys) != 1 || a.Registry.Keys[0].Reason != "granted" || len(a.Removed) != 1 ||
		a.Removed[0].Reason != "unregistered" || a.Removed[0].File != ada.file("authorized_keys") || len(a.Servers[0].Lines) != 1 || a.Servers[0].Lines[0].Reason != "granted" {
		t.Errorf("%d %+v", status, a)
	}
	text, _, _ := as(ada, "explain")
	if !strings.Contains(text, "answer       a key of his logs in, as far as is known\n") || strings.Contains(text, bob.name) {
		t.Error(text)
	}
	ada.does(t, "rm .ssh/authorized_keys", "")
	if a, status := ask(ada); status != statusAttention || a.Stop == nil || a.Stop.Code != "no-line" {
		t.Errorf("without her file: %d %+v", status, a.Stop)
	}
	if _, said, status := as(bob, "explain"); status != statusError || !strings.Contains(said, "the daemon tells nothing of uid ") {
		t.Errorf("who has no process here: %d %s", status, said)
	}
	for _, command := range []string{"cat " + file, "ls " + filepath.Dir(file)} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(bob.uid), Gid: uint32(ada.gid)}}
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("another user, in her group: %s: %s", command, out)
		}
	}
	end()
	d.signal(syscall.SIGHUP)
	eventually(t, "who has gone has no status", func() bool { _, err := os.Stat(file); return os.IsNotExist(err) })
	d.stop()
}
