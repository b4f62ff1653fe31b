package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// gateStack is the stack of PAM of a host with the gate, as docs/sshd.md has it, and with the module that reads variables of the user's own: behind
// the gate, as Debian's has it, and in the auth stack, which sshd runs before (pam_setcred).
func (d desk) gateStack(t *testing.T, s site, flags string) string {
	t.Helper()
	text, err := os.ReadFile("../../configs/pam.d/keyreeve")
	if err != nil {
		t.Fatal(err)
	}
	recorder := filepath.Join(filepath.Dir(d.program), "recorder")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The test binary is keyreeve under that name; the gate runs it without a configuration's path.
	link := filepath.Join(filepath.Dir(d.program), "keyreeve")
	script := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\" --config=%s\n", link, s.path("keyreeve.yaml"))
	if err := os.WriteFile(recorder, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	stack := strings.NewReplacer("/usr/libexec/keyreeve/keyreeve-keys --pam", fmt.Sprintf("%s --pam --file=%s/keys.cdb --record=%s %s", d.program, d.dir, recorder, flags)).Replace(string(text))
	return "auth required pam_env.so user_readenv=1\nauth required pam_deny.so\naccount required pam_permit.so\n" + stack + "session required pam_env.so user_readenv=1\n"
}

// A way is something that one does with a session.
type way struct {
	program string
	words   func(login string, port int, file string) []string
	stdin   string
	reached string // what comes back if there is one
}

func ways() map[string]way {
	command := func(words ...string) func(string, int, string) []string {
		return func(login string, _ int, _ string) []string { return append([]string{login}, words...) }
	}
	return map[string]way{
		"command": {"ssh", command("echo", "reached"), "", "reached\n"},
		"shell":   {"ssh", func(login string, _ int, _ string) []string { return []string{"-tt", login} }, "echo rea''ched; exit\n", "reached\r\n"},
		"sftp":    {"sftp", func(login string, _ int, _ string) []string { return []string{login} }, "pwd\n", "Remote working directory"},
		"scp":     {"scp", func(login string, _ int, file string) []string { return []string{login + ":/etc/passwd", file} }, "", "root:"},
		"forwarding": {"ssh", func(login string, port int, _ string) []string {
			return []string{"-W", "127.0.0.1:" + strconv.Itoa(port), login}
		}, "", "SSH-2.0-"},
	}
}

// try reports whether a key has come to a session in this way.
func (w way) try(t *testing.T, server *testenv.SSHD, user, key string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	file := filepath.Join(t.TempDir(), "copy")
	arguments := []string{
		"-F", "none", "-i", key, "-o", "Port=" + strconv.Itoa(server.Port), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "PasswordAuthentication=no",
	}
	cmd := exec.CommandContext(ctx, w.program, append(arguments, w.words(user+"@127.0.0.1", server.Port, file)...)...)
	cmd.Stdin = strings.NewReader(w.stdin)
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s: %v: %s", w.program, err, output)
	}
	copied, _ := os.ReadFile(file)
	return strings.Contains(string(output)+string(copied), w.reached)
}

// The gate lets nobody do anything with a key that is not granted, however sshd came to take it; who is granted does all.
func TestGate(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	d, s := newDesk(t), newSite(t)
	s.put("registry.ldif", "")
	s.configure("enforce", s.ldifRegistry())
	saved := testenv.NewAccount(t)
	savedFile, savedKey := testenv.NewKey(t)
	stack := strings.Replace(d.gateStack(t, s, ""), "user = root", "user in root:"+saved.Name, 1)
	server := testenv.StartPAM(t, stack, "Subsystem sftp internal-sftp\nAllowTcpForwarding yes\n")
	goodFile, good := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	ada := guest(t, good)
	authorize(t, saved, savedKey)
	ada.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", good+"\n"+bad+"\n")
	if !strings.Contains(stack, saved.Name) {
		t.Fatal("the stack has no break-glass")
	}
	// What PAM's module would take from the user's own file must not be what the gate believes.
	ada.does(t, "cat >.pam_environment", "SSH_AUTH_INFO_0=publickey "+good+"\n")
	bob := answer.User{Name: "bob", UID: ada.uid + 1, Keys: []answer.Key{answerOf(t, bad)}}
	d.answers(t, answer.User{Name: ada.name, UID: ada.uid, Keys: []answer.Key{answerOf(t, good)}}, bob)

	for name, way := range ways() {
		if !way.try(t, server, ada.name, goodFile) {
			t.Errorf("%s: not with the granted key", name)
		}
		if way.try(t, server, ada.name, badFile) {
			t.Errorf("%s: with the other key", name)
		}
	}
	record := s.audit()
	for _, want := range []string{
		`"event.action":"refuse-session"`, `"event.reason":"not-granted"`, `"source.address":"127.0.0.1"`, fmt.Sprintf(`"user.name":%q`, ada.name),
		fmt.Sprintf(`"ssh.key.fingerprint":%q`, answerOf(t, bad).Fingerprint),
	} {
		if !strings.Contains(record, want) {
			t.Errorf("the trail has no %s: %s", want, record)
		}
	}
	s.keyreeve(statusOK, "audit", "verify")

	command := ways()["command"]
	for _, line := range []string{"PAM_TYPE=close_session", "PAM_USER=bob", "PAM_RHOST=198.51.100.1"} {
		ada.does(t, "cat >.pam_environment", line+"\n")
		if command.try(t, server, ada.name, badFile) {
			t.Errorf("a file with %s let in a key that is not granted", line)
		}
	}
	if record := s.audit(); !strings.Contains(record, `"event.reason":"unknown"`) || strings.Contains(record, `"user.name":"bob"`) || strings.Contains(record, "198.51.100.1") {
		t.Errorf("the trail has what the user's file says: %s", record)
	}
	ada.does(t, "rm .pam_environment", "")
	d.answers(t, answer.User{Name: ada.name, UID: ada.uid + 1, Keys: []answer.Key{answerOf(t, good)}})
	if command.try(t, server, ada.name, goodFile) {
		t.Error("a key got in that is granted to another uid")
	}
	d.answers(t)
	if command.try(t, server, ada.name, goodFile) {
		t.Error("a key got in that is not granted any more")
	}
	// So many were refused by now that no more of hers are recorded this minute.
	if err := errors.Join(os.Remove(filepath.Join(d.dir, answer.Name)), os.RemoveAll(s.path("state/refused"))); err != nil {
		t.Fatal(err)
	}
	record = s.audit()
	if command.try(t, server, ada.name, goodFile) {
		t.Error("somebody got in although nobody knows what is granted")
	}
	if record := s.audit()[len(record):]; !strings.Contains(record, `"event.reason":"unknown"`) {
		t.Errorf("no record of it: %s", record)
	}
	if !command.try(t, server, saved.Name, savedFile) {
		t.Error("break-glass does not get in")
	}
}

// authorize gives an account a key file.
func authorize(t *testing.T, a testenv.Account, key string) {
	t.Helper()
	member{name: a.Name, uid: a.UID, gid: a.GID, home: a.Home}.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", key+"\n")
}

// answers writes the file of answers as the daemon does.
func (d desk) answers(t *testing.T, users ...answer.User) {
	t.Helper()
	data, err := answer.Make(slices.Values(users), time.Time{}, answer.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, answer.Name), data, 0o640); err != nil {
		t.Fatal(err)
	}
}

// answerOf is a key as sshd is told of it; ssh-keygen says what its fingerprint is.
func answerOf(t *testing.T, line string) answer.Key {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ssh-keygen", "-l", "-f", "-")
	cmd.Stdin = strings.NewReader(line + "\n")
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(output)
	return answer.Key{Fingerprint: string(fields[1]), Line: line + "\n"}
}
