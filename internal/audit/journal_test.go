package audit_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/audit"
)

// listen is a journal's socket.
func listen(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// receive reads one entry of the native protocol whose values are single lines.
func receive(t *testing.T, conn *net.UnixConn) map[string]string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 1<<16)
	n, err := conn.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for line := range bytes.Lines(data[:n]) {
		name, value, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "=")
		if !ok || fields[name] != "" {
			t.Errorf("line %q", line)
		}
		fields[name] = value
	}
	return fields
}

func copied(t *testing.T, path, socket string, tell func(error)) *audit.Log {
	t.Helper()
	log, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	log.CopyTo(socket, tell)
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// Each record goes to the journal with the fields that it has in the trail, a journal that was started anew included.
func TestJournalGetsRecords(t *testing.T) {
	dir := t.TempDir()
	path, socket := filepath.Join(dir, "audit.jsonl"), filepath.Join(dir, "socket")
	journal := listen(t, socket)
	log := copied(t, path, socket, func(err error) { t.Error(err) })
	failure := record(t)
	failure.Outcome, failure.Comment = audit.Failure, `me "\`
	if err := log.Write(record(t), failure); err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	want := map[string]string{
		"MESSAGE":           "remove-line intent: /home/alice/.ssh/authorized_keys: the key registry does not list this key",
		"SYSLOG_IDENTIFIER": "keyreeve", "PRIORITY": "6", "TIMESTAMP": "2026-11-21T09:00:00.000005Z", "HOST_NAME": host,
		"EVENT_ACTION": "remove-line", "EVENT_OUTCOME": "intent", "EVENT_REASON": "unregistered", "EVENT_ID": "c1",
		"EVENT_SEQUENCE": "1", "KEYREEVE_PREVIOUS": "", "KEYREEVE_LINE": "3",
		"USER_NAME": "alice", "USER_ID": "2001", "FILE_PATH": "/home/alice/.ssh/authorized_keys",
		"SSH_KEY_TYPE": "ssh-ed25519", "SSH_KEY_BITS": "256", "SSH_KEY_FINGERPRINT": record(t).Key.Fingerprint(),
		"SSH_KEY_COMMENT": `\x1b[2Jme\n{"forged":1} \u202e` + strings.Repeat("x", 41) + "...", "KEYREEVE_QUARANTINE": "/q/1",
	}
	first, second := receive(t, journal), receive(t, journal)
	want["KEYREEVE_LINE_SHA256"], want["KEYREEVE_SHA256"] = first["KEYREEVE_LINE_SHA256"], second["KEYREEVE_PREVIOUS"]
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
	if second["PRIORITY"] != "3" || second["SSH_KEY_COMMENT"] != `me "\\` {
		t.Errorf("the failure: %v", second)
	}
	if err := errors.Join(journal.Close(), os.Remove(socket)); err != nil {
		t.Fatal(err)
	}
	journal = listen(t, socket)
	if err := log.Write(record(t)); err != nil {
		t.Fatal(err)
	}
	if again := receive(t, journal); again["EVENT_SEQUENCE"] != "3" {
		t.Errorf("after a restart: %v", again)
	}
}

// A journal that takes nothing delays no record and no end, and is told of once.
func TestJournalThatHangs(t *testing.T) {
	dir := t.TempDir()
	path, socket := filepath.Join(dir, "audit.jsonl"), filepath.Join(dir, "socket")
	listen(t, socket) // nobody reads
	var told atomic.Int32
	log := copied(t, path, socket, func(error) { told.Add(1) })
	const records = 10000
	many := make([]audit.Record, records)
	for i := range many {
		many[i] = record(t)
	}
	begin := time.Now()
	if err := log.Write(many...); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("%d records took %v", records, took)
	}
	until(t, func() bool { return told.Load() > 0 })
	begin = time.Now()
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	if got := len(entries(t, path)); got != records || told.Load() != 1 {
		t.Errorf("%d records, told %d times", got, told.Load())
	}
}

// Without journald there is no copy and nothing to tell.
func TestNoJournal(t *testing.T) {
	dir := t.TempDir()
	log := copied(t, filepath.Join(dir, "audit.jsonl"), filepath.Join(dir, "socket"), func(err error) { t.Error(err) })
	if err := log.Write(record(t)); err != nil {
		t.Error(err)
	}
}
