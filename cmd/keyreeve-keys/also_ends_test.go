package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The granted keys are said before the other program has ended, and who offers one of them does not wait for it. When it hangs it is
// ended, with what it has started.
func TestAlsoHangs(t *testing.T) {
	testenv.Need(t, "root")
	good := newSigner(t).PublicKey()
	file := putRules(t, time.Time{}, answer.User{Name: "ada", UID: 1001, Keys: []answer.Key{{Fingerprint: ssh.FingerprintSHA256(good), Line: lineOf(good)}}})
	hangs := program(t, "sleep 1000 >${0%/*}/held & exec sleep 1000")
	held := filepath.Join(filepath.Dir(hangs), "held")
	if err := syscall.Mkfifo(held, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "keyreeve-keys", "--file="+file, "--also="+hangs, "--", "ada", "1001")
	pipe, err := cmd.StdoutPipe()
	if err := errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := io.ReadFull(pipe, make([]byte, len(lineOf(good)))); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), "timeout", "20", "cat", held).CombinedOutput(); err != nil { // ends with its last writer
		t.Errorf("what the program has started lives on: %v, %s", err, said)
	}
	if err := cmd.Wait(); err != nil || time.Since(began) < otherPatience {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	began = time.Now()
	stdout, stderr, status := ask(t, "--file="+file, "--also="+hangs, "--", "ada", "1001", "/home/ada", ssh.FingerprintSHA256(good))
	if took := time.Since(began); stdout != lineOf(good) || stderr != "" || status != 0 || took >= otherPatience {
		t.Errorf("who offers a granted key: status %d, %q, %q after %v", status, stdout, stderr, took)
	}
}

// When sshd ends this program, which is a group of its own to sshd, the other one ends with it.
func TestAlsoEndsWithUs(t *testing.T) {
	testenv.Need(t, "root")
	hangs := program(t, "echo $$ >${0%/*}/new; mv ${0%/*}/new ${0%/*}/pid; exec sleep 1000")
	cmd := exec.CommandContext(t.Context(), "keyreeve-keys", "--file="+putRules(t, time.Time{}), "--also="+hangs, "--", "ada", "1001")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	within := func(what string, done func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	var pid int
	within("it was not started", func() bool {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(hangs), "pid"))
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	})
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	within("it lives on", func() bool { return !runs(t, pid) })
}
