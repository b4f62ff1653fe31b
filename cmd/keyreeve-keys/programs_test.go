package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// script writes a shell script.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// The name service says whose name it is; what it takes for a uid is nobody's, unless somebody is called so.
func TestLookUp(t *testing.T) {
	testenv.Need(t, "root")
	ada := testenv.NewAccount(t)
	if got, err := lookUp(ada.Name); err != nil || got.Name != ada.Name || got.UID != ada.UID {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, name := range []string{"", "nobody-has-this", "-s", "--help", strconv.Itoa(ada.UID), "+" + strconv.Itoa(ada.UID), " " + strconv.Itoa(ada.UID)} {
		if got, err := lookUp(name); err == nil {
			t.Errorf("%q: got %+v", name, got)
		}
	}
	for text, want := range map[string]answer.User{
		"ada:x:7:8:Ada:/home/ada:/bin/sh\n":  {Name: "ada", UID: 7},
		"ada:x:7:8:Ada:/home/ada:/bin/sh":    {Name: "ada", UID: 7},
		"":                                   {},
		"\n":                                 {},
		"ada:x:7:8\n":                        {},
		"ada:x::8:Ada:/home/ada:/bin/sh\n":   {},
		"ada:x:-1:8:Ada:/home/ada:/bin/sh\n": {},
		":x:7:8:Ada:/home/ada:/bin/sh\n":     {},
		"ada:x:7:8:Ada:/home/ada:/bin/sh\neve:x:0:0:Eve:/:/bin\n": {},
	} {
		if got, err := parseAccount("ADA", text); (err == nil) != (want.Name != "") || got.Name != want.Name || got.UID != want.UID {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	if got, err := parseAccount("1001", "1001:x:7:8:::\n"); err != nil || got.UID != 7 {
		t.Errorf("an account with a number for its name: %+v, %v", got, err)
	}
	if got, err := lookUpBy(script(t, "echo ada:x:7:8:Ada:/home/ada:/bin/sh; exit 2\n"), "ada"); err == nil {
		t.Errorf("from a program that fails: %+v", got)
	}
}

// A program that does not end is ended, with all that it has started, and is told nothing of this process' environment.
func TestStart(t *testing.T) {
	t.Setenv("SSH_AUTH_INFO_0", "publickey")
	dir := t.TempDir()
	child := filepath.Join(dir, "child")
	begun := time.Now()
	err := start(300*time.Millisecond, script(t, fmt.Sprintf("sleep 60 & echo $! >%[1]s.new; mv %[1]s.new %[1]s; wait\n", child)))
	if err == nil || time.Since(begun) > 30*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	text, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); runs(t, pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what the program had started lives on")
		}
	}
	heard := filepath.Join(dir, "heard")
	if err := start(time.Minute, script(t, "env >"+heard+"\n")); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(heard); err != nil || strings.Contains(string(text), "SSH_AUTH_INFO_0") {
		t.Errorf("the program was told %q, %v", text, err)
	}
}

// runs reports whether a process has not ended; one that nobody has waited for has.
func runs(t *testing.T, pid int) bool {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

// Why a session did not begin is said to syslog as well, in one line; a word that is too long for the recorder is cut. Who does not listen holds
// up nobody.
func TestSyslog(t *testing.T) {
	testenv.Need(t, "root")
	g := newGate(t, "--file=/nonexistent")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: g.syslog, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	heard := filepath.Join(t.TempDir(), "heard")
	g.record = script(t, `for word; do printf '%s\n' "${#word}"; done >`+heard+"\n")
	if err := g.pass(said("open_session", "ada", strings.Repeat("x", 100<<10)+"\n"), time.Now()); err == nil {
		t.Error("the session began")
	}
	message := make([]byte, 4096)
	n, err := socket.Read(message)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(message[:n]); !strings.HasPrefix(got, fmt.Sprintf(`<84>keyreeve-keys[%d]: the session of "ada" from "192.0.2.1" may not begin: the method "x`, os.Getpid())) || n > 2048 || strings.Contains(got, "\n") {
		t.Errorf("got %q", got)
	}
	if text, err := os.ReadFile(heard); err != nil || !strings.Contains(string(text), strconv.Itoa(maxWord)+"\n") {
		t.Errorf("the recorder was told words of %q, %v", text, err)
	}
	g.record = "/nonexistent"
	if err := g.pass(said("open_session", "eve", "password\n"), time.Now()); err == nil {
		t.Error("the session began")
	}
	n, err = socket.Read(message)
	if got := string(message[:n]); err != nil || !strings.Contains(got, "; record it by /nonexistent: ") || strings.Contains(got, "\n") {
		t.Errorf("got %q, %v", got, err)
	}
	full := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			err = syslog(g.syslog, "one more that nobody reads")
		}
		full <- err
	}()
	select {
	case err := <-full:
		if !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it waits for somebody who reads")
	}
}

// A pipe in the place of the file holds up no login.
func TestOpenPipe(t *testing.T) {
	testenv.Need(t, "root")
	path := filepath.Join(t.TempDir(), answer.Name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := open(path)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "regular file") {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it waits for somebody who writes")
	}
}
