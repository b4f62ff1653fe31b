package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// desk is where sshd asks: the helper, the account that it runs as, and the directory that the daemon writes for it.
type desk struct {
	account testenv.Account
	program string
	dir     string
}

// newDesk builds the helper into a directory below which nobody but root writes, as sshd wants it (auth_secure_path).
func newDesk(t *testing.T) desk {
	t.Helper()
	d := desk{account: testenv.NewAccount(t)}
	below := filepath.Dir(d.account.Home)
	d.program, d.dir = filepath.Join(below, "keyreeve-keys"), filepath.Join(below, "answers")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", d.program, "../keyreeve-keys")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	// The order matters: a chown takes the set-group-ID bit away.
	if err := errors.Join(os.Mkdir(d.dir, 0o750), os.Chown(d.dir, 0, d.account.GID), os.Chmod(d.dir, 0o750|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	return d
}

// dropIn is a configuration for sshd as keyreeve brings it, for this desk.
func (d desk) dropIn(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../configs/sshd_config.d", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("/usr/libexec/keyreeve-keys --", d.program+" --file="+d.dir+"/keys.cdb --", "_keyreeve", d.account.Name).Replace(string(text))
}

// turnedAway waits until a key is refused.
func turnedAway(t *testing.T, server *testenv.SSHD, user, key string) {
	t.Helper()
	eventually(t, "the key that is no longer registered is refused", func() bool { return errors.Is(server.Login(user, key), testenv.ErrRefused) })
}
