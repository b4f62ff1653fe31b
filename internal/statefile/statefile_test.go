package statefile_test

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

func TestReadSecret(t *testing.T) {
	for _, perm := range []fs.FileMode{0o400, 0o600, 0o440, 0o640} {
		if got, err := statefile.ReadSecret(write(t, "secret", perm), limit); err != nil || string(got) != "secret" {
			t.Errorf("mode %o: got %q, %v", perm, got, err)
		}
	}
	for perm, want := range map[fs.FileMode]string{0o404: "mode 0404 lets everybody read", 0o644: "mode 0644 lets everybody read", 0o620: "mode 0620 lets group or others write"} {
		got, err := statefile.ReadSecret(write(t, "secret", perm), limit)
		if wantError(t, err, want); got != nil {
			t.Errorf("mode %o: got %q with an error", perm, got)
		}
	}
}

// systemd keeps a service's credentials in a memory file system of its own that nobody can write to (systemd.exec(5)).
func TestReadSecretOfSystemd(t *testing.T) {
	testenv.Need(t, "mount")
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "ramfs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "ldap-password")
	if err := os.WriteFile(path, []byte("secret"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY|syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := statefile.ReadSecret(path, limit); err != nil || string(got) != "secret" {
		t.Errorf("got %q, %v", got, err)
	}
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
	wantMode(t, filepath.Join(dir, "one"), 0o400)
	for _, name := range []string{"", ".", "..", "a/b", "/a", "a/"} {
		wantError(t, statefile.Create(dir, name, nil), "not the name of a file")
	}
	wantError(t, statefile.Create(filepath.Join(dir, "none"), "one", nil), "no such file")
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"first", "second"} {
		if err := statefile.Replace(dir, "one", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := statefile.Read(filepath.Join(dir, "one"), limit); err != nil || string(got) != text {
			t.Errorf("got %q, %v", got, err)
		}
	}
	wantMode(t, filepath.Join(dir, "one"), 0o600)
	wantError(t, statefile.Replace(dir, "../one", nil), "not the name of a file")
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	wantError(t, statefile.Replace(dir, "folder", nil), "folder")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("an error left something: %v, %v", entries, err)
	}
}

// What cannot be written to its end leaves the old file, and nothing beside it.
func TestReplaceBy(t *testing.T) {
	dir := t.TempDir()
	half := func(err error) error {
		return statefile.ReplaceBy(dir, "one", func(w io.Writer) error {
			_, wrong := io.WriteString(w, "the first half")
			return errors.Join(wrong, err)
		})
	}
	has := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(dir, "one")); err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if err := statefile.Replace(dir, "one", []byte("old")); err != nil {
		t.Fatal(err)
	}
	wantError(t, half(errors.New("cut")), "cut")
	has("old")
	if err := half(nil); err != nil {
		t.Error(err)
	}
	has("the first half")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("an error left something: %v, %v", entries, err)
	}
}

// wantMode fails the test unless the file has a mode.
func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != want {
		t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
	}
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

func TestEntries(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"2", "1", ".new-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "folder"), 0o700), os.Symlink("1", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	if got, err := statefile.Entries(dir); err != nil || !slices.Equal(got, []statefile.Entry{{Name: "1", Size: 1}, {Name: "2"}}) {
		t.Errorf("files %v, %v", got, err)
	}
	if got, err := statefile.Folders(dir); err != nil || !slices.Equal(got, []string{"folder"}) {
		t.Errorf("folders %v, %v", got, err)
	}
	for range 2 { // the second time it is gone
		if err := statefile.Remove(filepath.Join(dir, "1")); err != nil {
			t.Error(err)
		}
	}
	if got, err := statefile.Entries(filepath.Join(dir, "none")); err != nil || got != nil {
		t.Errorf("a folder that is not there: %v, %v", got, err)
	}
	if _, err := statefile.Entries(filepath.Join(dir, "2")); err == nil {
		t.Error("a file was listed as a folder")
	}
}
