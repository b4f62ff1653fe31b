package testenv_test

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// authorize writes the user's authorized_keys with the modes that StrictModes wants.
func authorize(t *testing.T, a testenv.Account, name, text string) {
	t.Helper()
	dir := filepath.Join(a.Home, ".ssh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, name)} {
		if err := os.Chown(path, a.UID, a.GID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSSHD(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	var gone testenv.Account
	t.Run("logins", func(t *testing.T) {
		server, account := testenv.StartSSHD(t, ""), testenv.NewAccount(t)
		first, firstLine := testenv.NewKey(t)
		second, secondLine := testenv.NewKey(t)
		stranger, _ := testenv.NewKey(t)
		authorize(t, account, "authorized_keys", firstLine+"\n")
		authorize(t, account, "authorized_keys2", secondLine+" comment\n")
		for _, key := range []string{first, second} {
			if err := server.Login(account.Name, key); err != nil {
				t.Errorf("a key of the file: %v", err)
			}
		}
		if err := server.Login(account.Name, stranger); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("a stranger's key: got %v, want ErrRefused", err)
		}
		if err := os.Chmod(filepath.Join(account.Home, ".ssh"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := server.Login(account.Name, first); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("a folder that all may write, with StrictModes: got %v, want ErrRefused", err)
		}
		gone = account
	})
	if _, err := user.Lookup(gone.Name); err == nil {
		t.Error("the account is still there")
	}
	if _, err := os.Stat(filepath.Dir(gone.Home)); !os.IsNotExist(err) {
		t.Errorf("the home is still there: %v", err)
	}
}

// A server that is not there must not look like one that refuses.
func TestSSHDGone(t *testing.T) {
	var server *testenv.SSHD
	t.Run("serve", func(t *testing.T) { server = testenv.StartSSHD(t, "") })
	if server == nil {
		testenv.Need(t, "root", "sshd")
		t.Fatal("no server was started")
	}
	key, _ := testenv.NewKey(t)
	if err := server.Login("root", key); err == nil || errors.Is(err, testenv.ErrRefused) {
		t.Errorf("got %v, want an error other than ErrRefused", err)
	}
}

// The lines of the caller are in force.
func TestSSHDConfig(t *testing.T) {
	server, account := testenv.StartSSHD(t, "AuthorizedKeysFile none"), testenv.NewAccount(t)
	key, line := testenv.NewKey(t)
	authorize(t, account, "authorized_keys", line+"\n")
	if err := server.Login(account.Name, key); !errors.Is(err, testenv.ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
}
