package audit_test

import (
	"encoding/json"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/audit"
)

const line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnxoe+mmuhR7yxmTmqCw1YYMfdhbsay07eRJlF1T1ve"

func record(tb testing.TB) audit.Record {
	tb.Helper()
	entry, err := authkeys.ParseValue([]byte(line))
	if err != nil {
		tb.Fatal(err)
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
	lift := fileSizeLimit(t, fileSize(t, path)+10)
	failed := log.Write(record(t))
	lift()
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

// Callers that come while a batch is written share the next one: its failure is the failure of each of them, and none of their
// records is there.
func TestFailedBatchFailsEveryCaller(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Write(record(t)); err != nil {
		t.Fatal(err)
	}
	size := fileSize(t, path)
	holder, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(holder.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	const callers = 7
	var first, others sync.WaitGroup
	first.Go(func() {
		if err := log.Write(record(t)); err != nil {
			t.Error(err)
		}
	})
	until(t, func() bool { return log.Leading() && log.Waiting() == 0 })
	var failed atomic.Int32
	for range callers {
		others.Go(func() {
			if log.Write(record(t)) != nil {
				failed.Add(1)
			}
		})
	}
	until(t, func() bool { return log.Waiting() == callers })
	// There is room for the first batch and for two records of the second.
	limit := fileSizeLimit(t, size+4*size)
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	first.Wait()
	others.Wait()
	limit()
	if failed.Load() != callers {
		t.Errorf("%d of %d callers were told of the failure", failed.Load(), callers)
	}
	if got := len(entries(t, path)); got != 2 {
		t.Errorf("%d records, want the two that fitted", got)
	}
	if err := log.Write(record(t)); err != nil {
		t.Fatal(err)
	}
	if got, err := verify(strings.Join(lines(t, path), "") + "\n"); err != nil || got.Records != 3 || got.Torn != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// until waits for a condition.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	for start := time.Now(); !condition(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatal("it did not come about")
		}
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// fileSizeLimit lets writes across the limit store what fits, and fail with EFBIG then, as on a disk that fills up.
func fileSizeLimit(t *testing.T, size int64) (lift func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(size), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
		signal.Reset(syscall.SIGXFSZ)
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

// What sixteen workers write at once, as those of a daemon do; each record is on disk when its Write returns.
func BenchmarkWrite(b *testing.B) {
	log, err := audit.Open(filepath.Join(b.TempDir(), "audit.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	one := record(b)
	b.SetParallelism(16 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := log.Write(one); err != nil {
				b.Error(err)
			}
		}
	})
}
