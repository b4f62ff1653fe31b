package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// probe says what is left to a process that has confined itself: NoNewPrivs of each thread (proc_pid_status(5)), and whether it may open no file.
func probe() {
	var group sync.WaitGroup
	for range 4 { // threads from before, which stay
		group.Add(1)
		go func() {
			runtime.LockOSThread()
			group.Done()
			select {}
		}()
	}
	group.Wait()
	status, err := filepath.Glob("/proc/self/task/*/status")
	var files []*os.File
	for _, path := range status {
		file, wrong := os.Open(path) // it could not be opened later
		files, err = append(files, file), errors.Join(err, wrong)
	}
	confine()
	for _, file := range files {
		text, wrong := io.ReadAll(file)
		_, after, _ := strings.Cut(string(text), "\nNoNewPrivs:\t")
		fmt.Print(after[:min(1, len(after))])
		err = errors.Join(err, wrong)
	}
	if err != nil {
		fmt.Print(err)
	}
	_, err = os.Open("/etc/passwd")
	fmt.Printf("\n%v\n", errors.Is(err, syscall.EACCES))
}

// withoutCgo builds this test as the product is built: with cgo no system call reaches all threads. The file's name says which command it is.
func withoutCgo(t *testing.T, command string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), command)
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return path
}

// No program that this process could run gains rights any more, in none of its threads, and where the kernel has Landlock no file can be opened.
func TestConfined(t *testing.T) {
	output, err := exec.CommandContext(t.Context(), withoutCgo(t, "probe")).Output()
	want := "true\n"
	if _, _, errno := syscall.Syscall(sysLandlockCreateRuleset, 0, 0, 1); errno != 0 {
		t.Logf("this kernel has no Landlock, so files can still be opened: %v", errno)
		want = "false\n"
	}
	threads, opened, _ := strings.Cut(string(output), "\n")
	if err != nil || opened != want || threads == "" || strings.Trim(threads, "1") != "" {
		t.Errorf("got %q, %v; want NoNewPrivs of 1 in each thread, and %q", output, err, want)
	}
}

// Who answers sshd is confined before he reads what another program says, but not before he has started it.
func TestConfinedInTime(t *testing.T) {
	testenv.Need(t, "root")
	good, other := newSigner(t).PublicKey(), newSigner(t).PublicKey()
	file := putRules(t, time.Time{}, answer.User{Name: "ada", UID: 1001, Keys: []answer.Key{{Fingerprint: ssh.FingerprintSHA256(good), Line: lineOf(good)}}})
	words := func(also string) []string { return []string{"--file=" + file, "--also=" + also, "--", "ada", "1001"} }
	built := withoutCgo(t, "keyreeve-keys")
	said, err := exec.CommandContext(t.Context(), built, words(says(t, lineOf(other)))...).CombinedOutput()
	if want := lineOf(good) + lineOf(other); err != nil || string(said) != want {
		t.Errorf("got %q, %v, want %q", said, err, want)
	}
	cmd := exec.CommandContext(t.Context(), built, words(program(t, "exec sleep 1000"))...)
	pipe, err := cmd.StdoutPipe()
	if err := errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(pipe, make([]byte, len(lineOf(good)))); err != nil {
		t.Fatal(err)
	}
	for { // until it gives the other one up
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		if err != nil || strings.Contains(string(status), "\nState:\tZ") {
			t.Error("it waits for the other program, and is not confined")
			break
		}
		if strings.Contains(string(status), "\nNoNewPrivs:\t1\n") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
