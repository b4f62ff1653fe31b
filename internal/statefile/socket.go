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
// of that name is an error and stays. Whoever can pass the directories above it may connect. The socket goes with Close.
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
	if err := os.Chmod(path, 0o666); err != nil { //nolint:gosec // the directories above it say who may
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}
