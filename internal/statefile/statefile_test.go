package statefile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

const limit = 1 << 10

// write makes a file for a test and returns its path.
func write(t *testing.T, data string, perm fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, perm); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantError fails the test unless err has the text.
func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error is %v, want one with %q", err, text)
	}
}

func TestRead(t *testing.T) {
	for _, perm := range []fs.FileMode{0o400, 0o600, 0o644} {
		got, err := statefile.Read(write(t, "line\n", perm), limit)
		if err != nil || string(got) != "line\n" {
			t.Errorf("mode %o: got %q, %v", perm, got, err)
		}
	}
	full := strings.Repeat("x", limit)
	if got, err := statefile.Read(write(t, full, 0o600), limit); err != nil || string(got) != full {
		t.Errorf("a file of exactly the limit: %d bytes, %v", len(got), err)
	}
	if got, err := statefile.Read(write(t, "", 0o600), limit); err != nil || len(got) != 0 {
		t.Errorf("an empty file: %q, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo, link, socket := filepath.Join(dir, "fifo"), filepath.Join(dir, "link"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(write(t, "x", 0o600), link); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()

	for _, c := range []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "none"), "no such file"},
		{"directory", dir, "not a regular file"},
		{"fifo", fifo, "not a regular file"},
		{"socket", socket, "not a regular file"},
		{"device", "/dev/zero", "not a regular file"},
		{"link", link, "symbolic link"},
		{"group writable", write(t, "x", 0o660), "mode 0660"},
		{"world writable", write(t, "x", 0o602), "mode 0602"},
		{"too long", write(t, strings.Repeat("x", limit+1), 0o600), "1025 bytes, more than the 1024 allowed"},
		{"lies about its size", "/proc/self/status", "changed while it was read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := statefile.Read(c.path, limit)
			wantError(t, err, c.want)
			wantError(t, err, c.path)
			if data != nil {
				t.Errorf("an error came with data %q", data)
			}
		})
	}
	if _, err := statefile.Read(filepath.Join(dir, "none"), limit); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file is %v, want fs.ErrNotExist", err)
	}
}

func TestReadRefusesAnotherOwner(t *testing.T) {
	testenv.Need(t, "root")
	path := write(t, "x", 0o600)
	if err := os.Chown(path, 65001, 65001); err != nil {
		t.Fatal(err)
	}
	_, err := statefile.Read(path, limit)
	wantError(t, err, "owned by uid 65001")
}

func TestEnsureDir(t *testing.T) {
	private := filepath.Join(t.TempDir(), "a", "private")
	for range 2 { // the second time it is there
		if err := statefile.EnsureDir(private, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestEnsureDirRefuses(t *testing.T) {
	dir := t.TempDir()
	link, shared := filepath.Join(dir, "link"), filepath.Join(dir, "shared")
	if err := errors.Join(os.Symlink(t.TempDir(), link), os.Mkdir(shared, 0o700), os.Chmod(shared, 0o777|fs.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	wantError(t, statefile.EnsureDir(link, 0o700), "symbolic link")
	wantError(t, statefile.EnsureDir(write(t, "", 0o600), 0o700), "not a directory")
	wantError(t, statefile.EnsureDir(shared, 0o700), "mode 0777")
}

func TestEnsureDirRefusesAnotherOwner(t *testing.T) {
	testenv.Need(t, "root")
	dir := t.TempDir()
	if err := os.Chown(dir, 65001, 65001); err != nil {
		t.Fatal(err)
	}
	wantError(t, statefile.EnsureDir(dir, 0o700), "owned by uid 65001")
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	if err := statefile.Create(dir, "one", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := statefile.Create(dir, "one", []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the second Create gave %v, want fs.ErrExist", err)
	}
	got, err := statefile.Read(filepath.Join(dir, "one"), limit)
	if err != nil || string(got) != "first" {
		t.Errorf("got %q, %v", got, err)
	}
	wantMode(t, filepath.Join(dir, "one"))
	for _, name := range []string{"", ".", "..", "a/b", "/a", "a/"} {
		wantError(t, statefile.Create(dir, name, nil), "not the name of a file")
	}
	wantError(t, statefile.Create(filepath.Join(dir, "none"), "one", nil), "no such file")
}

// wantMode fails the test unless the file is for its owner alone.
func wantMode(t *testing.T, path string) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("%s has mode %v, want -rw-------", path, info.Mode())
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "grants")
	for _, text := range []string{"first", "", "third"} {
		if err := statefile.Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := statefile.Read(path, limit); err != nil || string(got) != text {
			t.Errorf("got %q, %v, want %q", got, err, text)
		}
		wantMode(t, path)
	}
	wantOnly(t, dir, "grants")
}

// wantOnly fails the test unless the directory holds exactly one name.
func wantOnly(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("%s holds %v (%v), want %s alone", dir, entries, err, name)
	}
}

func TestReplaceDoesNotFollowALink(t *testing.T) {
	target, path := write(t, "target", 0o600), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if err := statefile.Replace(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	wantMode(t, path)
	if got, _ := os.ReadFile(target); string(got) != "target" {
		t.Errorf("the target of the link now holds %q", got)
	}
}

func TestReplaceKeepsTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "name")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := statefile.Replace(path, []byte("new")); err == nil {
		t.Error("a directory was replaced by a file")
	}
	wantOnly(t, dir, "name")
}

// A reader sees the old bytes or the new ones and never a mixture.
func TestReplaceIsAtomic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	old, young := bytes.Repeat([]byte("o"), 1<<16), bytes.Repeat([]byte("n"), 1<<16)
	if err := statefile.Replace(path, old); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 50 {
			if err := statefile.Replace(path, [][]byte{old, young}[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	for range 200 {
		if got, err := os.ReadFile(path); err != nil || (!bytes.Equal(got, old) && !bytes.Equal(got, young)) {
			t.Fatalf("a reader got %d bytes that are neither file: %v", len(got), err)
		}
	}
	writer.Wait()
}

// A file whose writer is still at work may end in the middle of what it is to say.
func TestReadWaitsForTheWriter(t *testing.T) {
	path := write(t, "half", 0o600)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = statefile.Read(path, 100)
	wantError(t, err, "open for writing")
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := statefile.Read(path, 100); err != nil || string(data) != "half" {
		t.Errorf("after the writer closed it: %q, %v", data, err)
	}
}
