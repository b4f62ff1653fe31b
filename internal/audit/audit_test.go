package audit_test

import (
	"encoding/json"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/audit"
)

const line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnxoe+mmuhR7yxmTmqCw1YYMfdhbsay07eRJlF1T1ve"

func record(t *testing.T) audit.Record {
	t.Helper()
	entry, err := authkeys.ParseValue([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return audit.Record{
		Time: time.Date(2026, 11, 21, 9, 0, 0, 5000, time.UTC), ID: "c1", Action: audit.RemoveLine, Outcome: audit.Intent,
		User: "alice", UID: 2001, File: "/home/alice/.ssh/authorized_keys", Reason: "unregistered",
		Message: "the key registry does not list this key", Line: 3, Key: entry.Key, Raw: line,
		Comment: "\x1b[2Jme\n{\"forged\":1} \u202e" + strings.Repeat("x", 100), Quarantine: "/q/1",
	}
}

// entries reads the trail back as any consumer would: one JSON object a line.
func entries(t *testing.T, path string) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	for text := range strings.Lines(string(data)) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(text), &entry); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		list = append(list, entry)
	}
	return list
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Write(record(t)); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	got := entries(t, path)
	sum, _ := got[0]["keyreeve.line.sha256"].(string)
	want := []map[string]any{{
		"@timestamp": "2026-11-21T09:00:00.000005Z", "message": "the key registry does not list this key", "host.name": host,
		"event.action": "remove-line", "event.outcome": "intent", "event.reason": "unregistered", "event.id": "c1",
		"event.sequence": 1.0, "keyreeve.previous": "", "keyreeve.line": 3.0, "keyreeve.line.sha256": sum,
		"user.name": "alice", "user.id": 2001.0, "file.path": "/home/alice/.ssh/authorized_keys",
		"ssh.key.type": "ssh-ed25519", "ssh.key.bits": 256.0, "ssh.key.fingerprint": record(t).Key.Fingerprint(),
		"ssh.key.comment": `\x1b[2Jme\n{"forged":1} \u202e` + strings.Repeat("x", 41) + "...", "keyreeve.quarantine": "/q/1",
	}}
	if len(sum) != 64 {
		t.Errorf("digest %q", sum)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
}

func TestWritersDoNotMix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if err := log.Write(record(t), record(t)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(entries(t, path)); got != 160 {
		t.Errorf("%d records, want 160", got)
	}
}

// A record that does not fit on the disk must be an error, and leave no half line for the next one to stand on.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Write(record(t)); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(path)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	// A write across the limit stores what fits and the next one gets EFBIG, as on a disk that fills up.
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(info.Size()) + 10, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	failed := log.Write(record(t))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if failed == nil {
		t.Error("Write says nothing of a record that did not fit")
	}
	if err := log.Write(record(t)); err != nil {
		t.Fatal(err)
	}
	if got := len(entries(t, path)); got != 2 {
		t.Errorf("%d records, want the two that fitted", got)
	}
}

func TestReopenAfterRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := log.Reopen(); err != nil {
		t.Fatal(err)
	}
	if err := log.Write(record(t)); err != nil {
		t.Fatal(err)
	}
	if got := len(entries(t, path)); got != 1 {
		t.Errorf("%d records in the new file, want 1", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	shared := filepath.Join(dir, "shared")
	link := filepath.Join(dir, "link")
	fifo := filepath.Join(dir, "fifo")
	for _, err := range []error{
		os.WriteFile(shared, nil, 0o600), os.Chmod(shared, 0o666), os.Symlink("target", link), syscall.Mkfifo(fifo, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{shared, link, fifo, filepath.Join(dir, "none", "audit.jsonl")} {
		if log, err := audit.Open(path); err == nil || log != nil {
			t.Errorf("Open(%s) = %v, %v; want an error", path, log, err)
		}
	}
}
