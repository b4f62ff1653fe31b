package host

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// InKRL asks ssh-keygen whether a key, as a line of text, is on a binary list of revoked keys, by an absolute path (ssh-keygen(1), -Q, which ends with 1
// where it is).
func InKRL(ctx context.Context, path, key string) (bool, error) {
	program := find("ssh-keygen")
	if program == "" {
		return false, errors.New("this host has no ssh-keygen")
	}
	_, _, err := runFed(ctx, key+"\n", program, "-Q", "-q", "-f", path, "/dev/stdin")
	if exit, ended := errors.AsType[*exec.ExitError](err); ended && exit.ExitCode() == 1 {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask for a key in %s: %w", path, err)
	}
	return false, nil
}
