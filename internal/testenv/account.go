package testenv

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// accountsDir is where the homes of accounts are made: a folder in which every user may search, on every system.
const accountsDir = "/var/lib"

// Account is an account of the system that lives as long as a test.
type Account struct {
	Name     string
	UID, GID int
	Home     string
}

// NewAccount makes an account with an empty home (mode 0755, below a folder of root's, as StrictModes wants it), the
// shell /bin/sh and no password that could be given; it is not locked, since sshd lets nobody into a locked account.
// Account and home go when the test ends. It needs the part "root".
func NewAccount(tb testing.TB) Account {
	tb.Helper()
	parent := RootDir(tb)
	name := "kr-" + strings.ToLower(rand.Text()[:10])
	home := filepath.Join(parent, name)
	runProgram(tb, "useradd", "--no-create-home", "--home-dir", home, "--shell", "/bin/sh", "--user-group", "--password", "*", name)
	tb.Cleanup(func() { removeAccount(tb, name) })
	account := Account{Name: name, Home: home}
	found, err := user.Lookup(name)
	if err != nil {
		tb.Fatal(err)
	}
	if account.UID, err = strconv.Atoi(found.Uid); err != nil {
		tb.Fatal(err)
	}
	if account.GID, err = strconv.Atoi(found.Gid); err != nil {
		tb.Fatal(err)
	}
	if err := os.Mkdir(home, 0o755); err != nil { //nolint:gosec // as useradd makes it
		tb.Fatal(err)
	}
	if err := os.Chown(home, account.UID, account.GID); err != nil { //nolint:forbidigo // a test's own home
		tb.Fatal(err)
	}
	return account
}

// removeAccount runs userdel, which refuses for as long as a process of the account is there: sshd's, of a login that
// has just ended.
func removeAccount(tb testing.TB, name string) {
	tb.Helper()
	program, err := Program("userdel")
	if err != nil {
		tb.Error(err)
		return
	}
	for end := time.Now().Add(sshdPatience); ; time.Sleep(20 * time.Millisecond) {
		out, err := exec.Command(program, name).CombinedOutput() //nolint:gosec,noctx // a test runs the programs it names, to their end
		if err == nil {
			return
		}
		if time.Now().After(end) {
			tb.Errorf("userdel %s: %v\n%s", name, err, out)
			return
		}
	}
}

// NewKey makes a fresh ed25519 key pair: the path of the private half, as ssh -i takes it, and the public half as
// authorized_keys holds it, "ssh-ed25519 base64" without a comment or newline.
func NewKey(tb testing.TB) (keyFile, publicLine string) {
	tb.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		tb.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		tb.Fatal(err)
	}
	keyFile = putFile(tb, tb.TempDir(), "key", pem.EncodeToMemory(block))
	return keyFile, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}
