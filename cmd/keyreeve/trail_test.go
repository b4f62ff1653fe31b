package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// A real journald gets each record of the trail, with the fields that it has there and the digest of its line.
func TestJournalHasTheTrail(t *testing.T) {
	journal := testenv.StartJournald(t)
	s := newSite(t)
	_, keys := vectors(t)
	m := s.newMember(1, keys["A"])
	m.write(t, "authorized_keys", keys["B"]+" intr\x1b[31muder\n"+keys["A"]+"\n")
	s.put("registry.ldif", entries(m))
	s.configure("enforce", s.ldifRegistry())
	if out, err := journal.Command("keyreeve", "apply", "--config", s.path("keyreeve.yaml")).CombinedOutput(); err != nil {
		t.Fatalf("apply: %v\n%s", err, out)
	}
	text, err := os.ReadFile(s.path("log", "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	var got []map[string]any
	eventually(t, "the journal has every record", func() bool {
		got = journal.Entries("keyreeve")
		return len(got) >= len(lines)
	})
	if len(got) != len(lines) || len(lines) < 3 {
		t.Fatalf("%d entries of %d records", len(got), len(lines))
	}
	for i, line := range lines {
		var record map[string]any
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(bytes.TrimSuffix(line, []byte("\n")))
		want := map[string]string{"KEYREEVE_SHA256": hex.EncodeToString(sum[:]), "_UID": "0", "_TRANSPORT": "journal"}
		for name, value := range record {
			if name != "message" {
				want[strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(name, "@"), ".", "_"))] = fmt.Sprint(value)
			}
		}
		for name, value := range want {
			if got[i][name] != value && (value != "" || got[i][name] != nil) {
				t.Errorf("record %d: %s is %q, want %q", i+1, name, got[i][name], value)
			}
		}
		priority := map[any]string{"intent": "6", "success": "5"}[record["event.outcome"]]
		if got[i]["PRIORITY"] != priority || !strings.Contains(fmt.Sprint(got[i]["MESSAGE"]), fmt.Sprint(record["message"])) {
			t.Errorf("record %d: priority %v, message %v", i+1, got[i]["PRIORITY"], got[i]["MESSAGE"])
		}
	}
}

// The real logrotate, with the configuration that comes with keyreeve, rotates the trail again and again while a daemon writes,
// and apply of another installation beside it: what stands in all the files is one trail without a gap, and each removal is in it once, whoever did it.
func TestLogrotate(t *testing.T) {
	testenv.Need(t, "root", "logrotate")
	logrotate, err := testenv.Program("logrotate")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	_, keys := vectors(t)
	var members []member
	for i := range 4 {
		members = append(members, s.newMember(i, keys["A"]))
		members[i].write(t, "authorized_keys", keys["A"]+" own\n")
	}
	s.put("registry.ldif", entries(members...))
	s.configure("enforce", s.ldifRegistry())
	shipped, err := os.ReadFile(filepath.Join("..", "..", "configs", "logrotate", "keyreeve"))
	if err != nil {
		t.Fatal(err)
	}
	trail := s.path("log", "audit.jsonl")
	other, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("other.yaml", strings.Replace(string(other), "/state\n", "/other-state\n", 1))
	s.put("logrotate.conf", strings.Replace(string(shipped), "/var/log/keyreeve/audit.jsonl", trail, 1))
	d := s.start()
	d.await("every home was looked at", 1)
	rotations := 0
	rotate := func() {
		t.Helper()
		if out, err := exec.Command(logrotate, "--force", "--state", s.path("logrotate.state"), s.path("logrotate.conf")).CombinedOutput(); err != nil {
			t.Fatalf("logrotate: %v\n%s", err, out)
		}
		rotations++
	}
	const rounds = 5
	for range rounds {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, m := range members[1:] {
				m.intrude(t, keys["B"])
			}
		}()
		for rotated := false; !rotated; {
			rotate()
			if out, err := exec.Command("keyreeve", "apply", "--config", s.path("other.yaml")).CombinedOutput(); err != nil {
				t.Errorf("apply: %v\n%s", err, out)
			}
			select {
			case <-done:
				rotated = true
			default:
			}
		}
	}
	rotate()
	s.keyreeve(statusOK, "audit", "verify") // the trail has no newest file now
	members[0].intrude(t, keys["B"])
	d.stop()

	files, err := filepath.Glob(trail + "*")
	zipped, zipErr := filepath.Glob(trail + ".*.gz")
	if err != nil || zipErr != nil || len(files) < rounds || len(zipped) < 1 {
		t.Fatalf("%d rotations made %v", rotations, files)
	}
	out, _ := s.keyreeve(statusOK, "audit", "verify")
	if !strings.HasPrefix(out, "the trail is whole: ") || !strings.Contains(out, "numbers 1 to ") || !strings.Contains(out, " 0 lines cut off") {
		t.Errorf("%s", out)
	}
	removed := s.removals()
	for _, m := range members[1:] {
		// apply and daemon may plan the same removal; one of them does it.
		if n := removed[m.name]; n.intents < rounds || n.done > rounds {
			t.Errorf("the trail tells of %+v removals of %s, want %d", n, m.name, rounds)
		}
	}
	t.Logf("%d rotations, %d files: %s", rotations, len(files), out)
	if files, err = audit.Files(trail); err == nil {
		err = os.Remove(files[2])
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, said := s.keyreeve(statusError, "audit", "verify"); !strings.Contains(said, files[3]+":1: records ") {
		t.Errorf("a missing file is not named: %s", said)
	}
}

// The disk is full in the middle of a record, and the program dies before it can take the half back: nothing was changed, the next
// run goes on behind the half, and verify says where it is.
func TestTornRecord(t *testing.T) {
	testenv.Need(t, "root", "mount")
	s := newSite(t)
	_, keys := vectors(t)
	m := s.newMember(1, keys["A"])
	text := strings.Repeat(keys["B"]+" intruder\n", 20) + keys["A"] + "\n" // more records than fit on a page
	m.write(t, "authorized_keys", text)
	s.put("registry.ldif", entries(m))
	s.configure("enforce", s.ldifRegistry())
	log := s.path("log")
	if err := errors.Join(os.Mkdir(log, 0o700), syscall.Mount("tmpfs", log, "tmpfs", 0, "size=64k,mode=700")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(log, syscall.MNT_DETACH) })
	ballast := filepath.Join(log, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 60<<10), 0o600); err != nil { // all but one page
		t.Fatal(err)
	}
	if !s.killedAt("ftruncate", 2) { // the first one is of the lock
		t.Fatal("the program lived")
	}
	trail := filepath.Join(log, "audit.jsonl")
	half, err := os.ReadFile(trail)
	if err != nil || len(half) == 0 || half[len(half)-1] == '\n' {
		t.Fatalf("the trail ends with a whole record: %d bytes, %v", len(half), err)
	}
	if m.read(t, "authorized_keys") != text {
		t.Error("the file was changed before its intent was on disk")
	}
	if out, _ := s.keyreeve(statusOK, "audit", "verify"); !strings.HasSuffix(out, " 1 lines cut off by a crash\n") {
		t.Errorf("the torn end: %s", out)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.keyreeve(statusOK, "apply")
	onlyKey(t, "authorized_keys", m.read(t, "authorized_keys"), keys["A"])
	if out, _ := s.keyreeve(statusOK, "audit", "verify"); !strings.HasSuffix(out, " 1 lines cut off by a crash\n") {
		t.Errorf("behind the torn record: %s", out)
	}
	after, err := os.ReadFile(trail)
	if err != nil || !bytes.HasPrefix(after, append(half, '\n')) {
		t.Errorf("what was there was changed: %v", err)
	}
	// Half a record is no place to hide a change.
	n := bytes.LastIndexByte(half, '\n') + 2
	if err := os.WriteFile(trail, append(append(append([]byte{}, after[:n]...), 'x'), after[n+1:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("%s:%d: ", trail, bytes.Count(half, []byte("\n"))+1)
	if _, said := s.keyreeve(statusError, "audit", "verify"); !strings.Contains(said, where) {
		t.Errorf("a changed half is not found: %s, want %s", said, where)
	}
}
