package testenv

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// journald is where Debian and Fedora have it; it is in no PATH.
const journald = "/lib/systemd/systemd-journald"

// journalPatience bounds the waiting for journald to listen and to end.
const journalPatience = 20 * time.Second

// Journald is a systemd-journald of a test, in a mount namespace of its own whose /run is empty but for what it makes: it sees
// nothing of the system's own journal and the system sees nothing of it.
type Journald struct {
	tb      testing.TB
	process *exec.Cmd
}

// StartJournald runs journald until the test ends. It needs the parts "root" and "journald".
func StartJournald(tb testing.TB) *Journald {
	tb.Helper()
	Need(tb, "root", "journald")
	j := &Journald{tb: tb}
	// Each program is executed in the place of the one before, so that the process is journald in the end.
	j.process = exec.Command("unshare", "--mount", "--propagation", "private", "/bin/sh", "-euc", //nolint:noctx // it ends with the test
		"mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/systemd/journal /run/log/journal; exec "+journald)
	var said bytes.Buffer
	j.process.Stdout, j.process.Stderr = &said, &said
	if err := j.process.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = j.process.Process.Signal(syscall.SIGTERM) // it may have ended already
		killer := time.AfterFunc(journalPatience, func() { _ = j.process.Process.Kill() })
		_ = j.process.Wait() // how it ends is no matter of the test
		killer.Stop()
	})
	for end := time.Now().Add(journalPatience); j.Command("test", "-S", "/run/systemd/journal/socket").Run() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("journald does not listen: %s", &said)
		}
	}
	return j
}

// Command is a program that sees this journal as the system's.
func (j *Journald) Command(program string, arguments ...string) *exec.Cmd {
	inside := append([]string{"--mount", "--target", strconv.Itoa(j.process.Process.Pid), program}, arguments...)
	return exec.Command("nsenter", inside...) //nolint:gosec,noctx // a test runs the programs it names, to their end
}

// Entries are those of a program by its SYSLOG_IDENTIFIER, in their order, as "journalctl -o json" prints them.
func (j *Journald) Entries(identifier string) []map[string]any {
	j.tb.Helper()
	out, err := j.Command("journalctl", "--directory", "/run/log/journal", "--output", "json", "--identifier", identifier).CombinedOutput()
	if err != nil {
		return nil // there is no journal before its first entry
	}
	var list []map[string]any
	for line := range bytes.Lines(out) {
		var entry map[string]any
		if err := json.Unmarshal(line, &entry); err != nil {
			return nil // "-- No entries --"
		}
		list = append(list, entry)
	}
	return list
}
