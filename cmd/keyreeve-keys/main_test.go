package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// TestMain makes the test binary the program too: a child that is started under its name is it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"keyreeve-keys": main, "probe": probe})
}

func key(n int, until time.Time) answer.Key {
	f := fmt.Sprintf("SHA256:%043d", n)
	return answer.Key{Fingerprint: f, Line: "ssh-ed25519 AAAA" + f[7:] + " desk\n", Until: until}
}

// put writes a file of answers for these users.
func put(t *testing.T, end time.Time, users ...answer.User) string {
	t.Helper()
	data, err := answer.Make(slices.Values(users), end)
	path := filepath.Join(t.TempDir(), answer.Name)
	if err := errors.Join(err, os.WriteFile(path, data, 0o640)); err != nil {
		t.Fatal(err)
	}
	return path
}

// ask runs the program.
func ask(t *testing.T, words ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "keyreeve-keys", words...)
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

func TestAnswers(t *testing.T) {
	testenv.Need(t, "root")
	one, two := key(1, time.Time{}), key(2, time.Time{})
	path := put(t, time.Time{}, answer.User{Name: "ada", UID: 1001, Keys: []answer.Key{one, two, key(3, time.Now().Add(-time.Second))}},
		answer.User{Name: "-h", UID: 1002, Keys: []answer.Key{one}})
	stale := put(t, time.Now().Add(-time.Second), answer.User{Name: "ada", UID: 1001, Keys: []answer.Key{one}})
	both := one.Line + two.Line
	for name, c := range map[string]struct {
		words  []string
		stdout string
		stderr string // a part of it
		status int
	}{
		"name alone":            {words: []string{"--file=" + path, "ada"}, stdout: both},
		"with the uid":          {words: []string{"--file=" + path, "--", "ada", "1001", "/home/ada", two.Fingerprint}, stdout: two.Line},
		"all words":             {words: []string{"--file=" + path, "ada", "1001", "/home/ada", one.Fingerprint, "ssh-ed25519", "AAAA"}, stdout: one.Line},
		"another key":           {words: []string{"--file=" + path, "ada", "1001", "/home/ada", key(3, time.Time{}).Fingerprint}},
		"MD5":                   {words: []string{"--file=" + path, "ada", "1001", "/home/ada", "MD5:00:11"}, stdout: both},
		"another uid":           {words: []string{"--file=" + path, "ada", "0"}, stderr: `the keys of "ada" are for the uid 1001`, status: 1},
		"unknown user":          {words: []string{"--file=" + path, "eve", "1001"}},
		"like a flag":           {words: []string{"--file=" + path, "--", "-h"}, stdout: one.Line},
		"like a flag, no --":    {words: []string{"--file=" + path, "-h"}, stderr: `unknown flag "-h"`, status: 1},
		"no user":               {words: []string{"--file=" + path}, stderr: "no user", status: 1},
		"empty user":            {words: []string{"--file=" + path, ""}, stderr: "no user", status: 1},
		"stale":                 {words: []string{"--file=" + stale, "ada"}, stderr: "too old to count", status: 1},
		"no file":               {words: []string{"--file=" + path + "x", "ada"}, stderr: "no such file", status: 1},
		"a directory":           {words: []string{"--file=" + filepath.Dir(path), "ada"}, stderr: "is not a regular file that root alone can write", status: 1},
		"somebody else's file":  {words: []string{"--file=" + owned(t, path, 1001, 0o600), "ada"}, stderr: "root alone", status: 1},
		"one that a group owns": {words: []string{"--file=" + owned(t, path, 0, 0o660), "ada"}, stderr: "root alone", status: 1},
		"a link":                {words: []string{"--file=" + link(t, path), "ada"}, stderr: "too many levels of symbolic links", status: 1},
		"cut off":               {words: []string{"--file=" + cut(t, path, 2100), "ada"}, stderr: "damaged or cut off", status: 1},
		"empty":                 {words: []string{"--file=" + cut(t, path, 0), "ada"}, stderr: "damaged or cut off", status: 1},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, status := ask(t, c.words...)
			if stdout != c.stdout || status != c.status || !strings.Contains(stderr, c.stderr) || (c.stderr == "") != (stderr == "") {
				t.Errorf("got status %d, %q, %q", status, stdout, stderr)
			}
		})
	}
}

// owned copies a file for another owner, or with another mode.
func owned(t *testing.T, path string, uid int, mode os.FileMode) string {
	t.Helper()
	to := cut(t, path, 1<<20)
	if err := errors.Join(os.Chown(to, uid, 0), os.Chmod(to, mode)); err != nil {
		t.Fatal(err)
	}
	return to
}

// cut copies the first bytes of a file.
func cut(t *testing.T, path string, size int) string {
	t.Helper()
	data, err := os.ReadFile(path)
	to := filepath.Join(t.TempDir(), answer.Name)
	if err := errors.Join(err, os.WriteFile(to, data[:min(size, len(data))], 0o600)); err != nil {
		t.Fatal(err)
	}
	return to
}

func link(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), answer.Name)
	if err := os.Symlink(path, to); err != nil {
		t.Fatal(err)
	}
	return to
}

// Two thousand keys come whole; who reads one line and goes away is no error, and nothing is left running.
func TestManyKeys(t *testing.T) {
	testenv.Need(t, "root")
	u := answer.User{Name: "ada", UID: 1001}
	var want strings.Builder
	for n := range 2000 {
		u.Keys = append(u.Keys, key(n, time.Time{}))
		want.WriteString(u.Keys[n].Line)
	}
	path := put(t, time.Time{}, u)
	stdout, _, status := ask(t, "--file="+path, "ada")
	if stdout != want.String() || status != 0 {
		t.Errorf("status %d, %d bytes, want %d", status, len(stdout), want.Len())
	}
	cmd := exec.CommandContext(t.Context(), "keyreeve-keys", "--file="+path, "ada")
	pipe, err := cmd.StdoutPipe()
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadFull(pipe, make([]byte, 80))
	if err := errors.Join(err, pipe.Close(), cmd.Wait()); err != nil || said.Len() != 0 {
		t.Errorf("%v, %q", err, &said)
	}
}
