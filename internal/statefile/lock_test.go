package statefile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := statefile.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	wantMode(t, path, 0o600)
	_, err = statefile.Lock(path)
	wantError(t, err, fmt.Sprintf("held by process %d", os.Getpid()))
	wantError(t, err, path)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := statefile.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestLockRefuses(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(write(t, "", 0o600), link); err != nil {
		t.Fatal(err)
	}
	_, err := statefile.Lock(link)
	wantError(t, err, "symbolic link")
	_, err = statefile.Lock(filepath.Join(t.TempDir(), "none", "lock"))
	wantError(t, err, "no such file")
	_, err = statefile.Lock(write(t, "", 0o666))
	wantError(t, err, "mode 0666")
}
