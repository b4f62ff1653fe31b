package statefile_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

// Two looks at a name agree while nobody touches it. Who writes as many other bytes into the file and sets its times back is found by the change
// time, who puts another file in its place by the inode.
func TestMarkOf(t *testing.T) {
	path := write(t, "one", 0o600)
	mark := func() statefile.Mark {
		t.Helper()
		m, err := statefile.MarkOf(path)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := mark()
	if mark() != first || first == (statefile.Mark{}) {
		t.Error("two looks at one file differ, or are no file's")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// The clock of the change time moves in steps of some milliseconds.
	for until := time.Now().Add(10 * time.Second); mark() == first; {
		if err := errors.Join(os.WriteFile(path, []byte("two"), 0o600), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(until) {
			t.Fatal("other bytes, written under the old times, do not show")
		}
	}
	second := mark()
	copied := filepath.Join(filepath.Dir(path), "copy")
	if err := errors.Join(os.Link(path, copied), os.Remove(path), os.Symlink(copied, path)); err != nil {
		t.Fatal(err)
	}
	if mark() == second {
		t.Error("a link in the place of the file does not show")
	}
}
