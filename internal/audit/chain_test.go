package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/audit"
)

// written makes a trail of n records.
func written(t *testing.T, path string, n int) {
	t.Helper()
	log, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := log.Write(record(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n")
}

func verify(texts ...string) (audit.Checked, error) {
	var v audit.Verifier
	for i, text := range texts {
		if err := v.Verify(fmt.Sprintf("file%d", i), strings.NewReader(text)); err != nil {
			return audit.Checked{}, err
		}
	}
	return v.End(), nil
}

// The chain goes on over a restart, and over two processes that write by turns.
func TestChainGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	written(t, path, 2)
	written(t, path, 1)
	one, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	two, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, log := range []*audit.Log{one, two} {
			if err := log.Write(record(t), record(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := verify(strings.Join(lines(t, path), "") + "\n")
	if err != nil || got != (audit.Checked{Records: 15, First: 1, Last: 15}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// The chain goes on over rotations, whoever writes next: the writer that had the old file open, one that comes when the new
// file is empty or not there yet, also when the old one is compressed by now.
func TestChainGoesOnAfterRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	one, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(log *audit.Log) func() error {
		return func() error { return log.Write(record(t), record(t)) }
	}
	fresh := func() error {
		two, err := audit.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(two.Write(record(t)), two.Close())
	}
	rotate := func(old, to string) func() error {
		return func() error { return os.Rename(old, to) }
	}
	create := func() error { return os.WriteFile(path, nil, 0o600) }
	zip := func() error { return exec.Command("gzip", path+".1").Run() }
	half := func() error { return os.WriteFile(path+".1.gz", []byte("\x1f\x8b\b"), 0o600) } // one that is being compressed
	for i, step := range []func() error{
		write(one),
		rotate(path, path+".1"), fresh, write(one), // somebody else begins the new file
		rotate(path+".1", path+".2"), rotate(path, path+".1"), half, create, fresh, write(one), // as with "create"
		rotate(path+".2", path+".3"), rotate(path+".1", path+".2"),
		func() error { return os.Remove(path + ".1.gz") }, rotate(path, path+".1"), zip, create, fresh, write(one), fresh,
		func() error { return os.Truncate(path, 0) }, // what copytruncate does, and loses
	} {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	files, err := audit.Files(path)
	if want := []string{path, path + ".3", path + ".2", path + ".1.gz"}; err != nil || !slices.Equal(files, want) {
		t.Fatalf("%v, %v; want %v", files, err, want)
	}
	got, err := verifyFiles(files...)
	if err != nil || got != (audit.Checked{Records: 8, First: 1, Last: 8}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := fresh(); err != nil {
		t.Fatal(err)
	}
	if err := one.Write(record(t)); err != nil {
		t.Fatal(err)
	}
	if files, err = audit.Files(path); err != nil {
		t.Fatal(err)
	}
	if _, err := verifyFiles(files[1], files[0]); err == nil {
		t.Error("the files in the wrong order are no trail")
	}
}

func verifyFiles(paths ...string) (audit.Checked, error) {
	var v audit.Verifier
	for _, path := range paths {
		file, err := audit.OpenFile(path)
		if err != nil {
			return audit.Checked{}, err
		}
		if err := errors.Join(v.Verify(path, file), file.Close()); err != nil {
			return audit.Checked{}, err
		}
	}
	return v.End(), nil
}

// Where the files before cannot be read, nothing is written: a chain that begins anew would say that there were none.
func TestChainNeedsItsPast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	written(t, path, 3)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := append([]byte("\x1f\x8b"), data...)
	if err := errors.Join(os.WriteFile(path+".1.gz", broken, 0o600), os.Truncate(path, 0)); err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Write(record(t)); err == nil || !strings.Contains(err.Error(), path+".1.gz") {
		t.Errorf("%v, want an error that names the file", err)
	}
	if fileSize(t, path) != 0 {
		t.Error("a record was written")
	}
}

// One old file that is damaged does not stop the trail for ever, but verify names it. One that may be the newest does.
func TestChainPassesOverADamagedOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	written(t, path, 3)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	old := path + ".2.gz"
	damage := func(age time.Duration) error {
		return errors.Join(os.WriteFile(old, []byte("\x1f\x8bnot gzip"), 0o600), os.Chtimes(old, time.Time{}, time.Now().Add(-age)))
	}
	log, err := audit.Open(path)
	if err = errors.Join(err, damage(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := log.Write(record(t)); err == nil || fileSize(t, path) != 0 {
		t.Errorf("beside a damaged file that was written last: %v", err)
	}
	if err := damage(time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := log.Write(record(t)); err != nil {
		t.Errorf("beside a damaged old file: %v", err)
	}
	if got, err := verifyFiles(path+".1", path); err != nil || got.Last != 4 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := audit.Files(path); err == nil || !strings.Contains(err.Error(), old) {
		t.Errorf("the damaged file is not named: %v", err)
	}
}

// A crash in the middle of a record leaves half a line; the trail goes on behind it, and says so.
func TestChainAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	written(t, path, 3)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-100], 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := verify(string(data[:len(data)-100])); err != nil || got.Torn != 1 || got.Records != 2 {
		t.Errorf("a torn end: %+v, %v", got, err)
	}
	written(t, path, 2)
	got, err := verify(strings.Join(lines(t, path), "") + "\n")
	if err != nil || got != (audit.Checked{Records: 4, First: 1, Last: 4, Torn: 1}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever is done to one line is found, and the place is named.
func TestVerifyFinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	written(t, path, 5)
	whole := lines(t, path)
	join := func(lines ...string) string { return strings.Join(lines, "") + "\n" }
	if got, err := verify(join(whole...)); err != nil || got.Records != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
	changed := strings.Replace(whole[1], "alice", "mallory", 1)
	renumbered := strings.Replace(whole[2], `"event.sequence":3`, `"event.sequence":2`, 1)
	for name, c := range map[string]struct{ text, want string }{
		"changed":        {join(whole[0], changed, whole[2]), "file0:2: record 2 was changed, or record 3, "},
		"first changed":  {join(strings.Replace(whole[0], "alice", "bob", 1), whole[1]), "file0:1: record 1 was changed, or record 2, "},
		"one taken out":  {join(whole[0], whole[2], whole[3]), "file0:2: records 2 to 2 are missing before record 3"},
		"two taken out":  {join(whole[0], whole[3], whole[4]), "file0:2: records 2 to 3 are missing before record 4"},
		"and renumbered": {join(whole[0], renumbered, whole[3]), "file0:1: record 1 was changed, or record 2, "},
		"moved":          {join(whole[0], whole[2], whole[1], whole[3]), "file0:2: records 2 to 2 are missing before record 3"},
		"moved down":     {join(whole[1], whole[2], whole[0], whole[3]), "file0:3: record 1 comes after record 3: "},
		"doubled":        {join(whole[0], whole[1], whole[1], whole[2]), "file0:3: record 2 comes after record 2: "},
		"put in":         {join(whole[0], whole[0], whole[1]), "file0:2: record 1 comes after record 1: "},
		"no record":      {join(whole[0], "hello\n", whole[1]), "file0:2: no record, and not what stood there when record 2 "},
		"no records":     {join("hello\n", "world\n"), "file0:2: "},
		"first wrong":    {join("hello\n", whole[0], whole[1]), "file0:1: no record, "},
		"blank line":     {join(whole[0], "\n", whole[1]), "file0:2: no record, "},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := verify(c.text); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%+v, %v; want %s", got, err, c.want)
			}
		})
	}
}

// A line without end is not read into memory.
func TestVerifyIsBounded(t *testing.T) {
	var v audit.Verifier
	if err := v.Verify("endless", bytes.NewReader(make([]byte, 1<<20))); err == nil {
		t.Error("a line of a megabyte is no record")
	}
}
