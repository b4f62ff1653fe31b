package statefile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// ListenUnix listens on a unix socket at path, in a directory of the daemon's, in place of one that an earlier process left there; anything else
// of that name is an error and stays. Whoever reaches the directory may connect, unless others may pass it and not list it, as one with files for single
// users (EnsurePassage): then it is root's and the group's alone. The socket goes with Close.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	// lstat(dir) lstat unlink socket bind listen chmod
	dir, err := os.Lstat(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := trusted(dir, filepath.Dir(path)); err != nil {
		return nil, err
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s: is there already, and no socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	mode := fs.FileMode(0o666)
	if dir.Mode().Perm()&0o005 == 0o001 {
		mode = 0o660
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}
