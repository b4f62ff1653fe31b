package statefile_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/keyreeve/keyreeve/internal/statefile"
)

// A socket takes the place of an earlier one, and of nothing else, in a directory that nobody else can write to.
func TestListenUnix(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	path := filepath.Join(dir, "socket")
	left, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if unix, ok := left.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // as a crash
	}
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	listener, err := statefile.ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
	for name, spoil := range map[string]func() error{
		"a file":      func() error { return os.WriteFile(path, []byte("x"), 0o600) },
		"a link":      func() error { return os.Symlink(filepath.Join(dir, "other"), path) },
		"a directory": func() error { return os.Mkdir(path, 0o700) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if listener, err := statefile.ListenUnix(t.Context(), path); err == nil {
			t.Errorf("%s gives way", name)
			_ = listener.Close()
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
		_ = os.RemoveAll(path)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if listener, err := statefile.ListenUnix(t.Context(), path); err == nil {
		t.Error("a directory that everybody can write to is taken")
		_ = listener.Close()
	}
}

// Who may pass a directory but not list it, such as that of the daemon in /run, reaches no socket there; who may do neither is kept out by the directory.
func TestListenUnixInAPassage(t *testing.T) {
	dir := t.TempDir()
	for perm, want := range map[fs.FileMode]fs.FileMode{0o755: 0o666, 0o711: 0o660, 0o751: 0o660, 0o750: 0o666, 0o700: 0o666} {
		path := filepath.Join(dir, "socket")
		if err := os.Chmod(dir, perm); err != nil {
			t.Fatal(err)
		}
		listener, err := statefile.ListenUnix(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("in a directory of mode %v the socket is %v, %v", perm, info.Mode(), err)
		}
		_ = listener.Close()
	}
}
