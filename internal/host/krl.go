package host

import "context"

// CheckKRL asks ssh-keygen whether sshd can read a binary list of revoked keys (ssh-keygen(1), -Q), by an absolute path. On a host without
// ssh-keygen nobody says that it cannot.
func CheckKRL(ctx context.Context, path string) error {
	program := find("ssh-keygen")
	if program == "" {
		return nil
	}
	_, err := run(ctx, program, "-Q", "-f", path)
	return err
}
