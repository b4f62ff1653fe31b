package privkey_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/privkey"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// program runs one and reports whether it did what it was asked for.
func program(t *testing.T, name string, args ...string) bool {
	t.Helper()
	path, err := testenv.Program(name)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Logf("%s %q: %v\n%s", name, args, err, out)
	}
	return err == nil
}

// found is what is said of a file that a program wrote.
func found(t *testing.T, file string) privkey.Key {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, is := privkey.Find(data)
	if !is {
		t.Fatalf("it is none:\n%s", data)
	}
	return key
}

// pair makes a key by ssh-keygen, without a passphrase; an empty name stands for a type that this one does not have.
func pair(t *testing.T, kind string) (file string, public authkeys.Key) {
	t.Helper()
	name, bits, more := strings.Cut(kind, " ")
	file = filepath.Join(t.TempDir(), "id")
	args := []string{"-q", "-t", name, "-N", "", "-C", "ann@laptop", "-f", file}
	if more {
		args = append(args, "-b", bits)
	}
	if !program(t, "ssh-keygen", args...) {
		return "", authkeys.Key{}
	}
	text, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	line, err := authkeys.ParseValue(text)
	if err != nil {
		t.Fatal(err)
	}
	return file, line.Key
}

// Whatever ssh-keygen and puttygen write is known for what it is, and its public half is theirs.
func TestPrograms(t *testing.T) {
	testenv.Need(t, "sshd", "puttygen")
	for _, kind := range []string{"ed25519", "rsa 2048", "ecdsa 256", "ecdsa 384", "ecdsa 521", "dsa 1024"} {
		t.Run(kind, func(t *testing.T) {
			file, public := pair(t, kind)
			if file == "" && strings.HasPrefix(kind, "dsa") {
				return // OpenSSH 10 has none
			}
			want := privkey.Key{Form: privkey.OpenSSH, State: privkey.Plain, Public: public, Comment: "ann@laptop"}
			if got := found(t, file); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			puttys(t, file, public)
			keygens(t, file, public)
		})
	}
}

// keygens has ssh-keygen write a key in all of its forms.
func keygens(t *testing.T, file string, public authkeys.Key) {
	t.Helper()
	old := ""
	for _, form := range []string{"PEM", "PKCS8", "RFC4716"} { // the last means OpenSSH's own form
		for _, passphrase := range []string{"a passphrase", ""} {
			if !program(t, "ssh-keygen", "-q", "-p", "-a", "1", "-P", old, "-N", passphrase, "-m", form, "-f", file) {
				t.Fatalf("%s with the passphrase %q", form, passphrase)
			}
			old = passphrase
			state, got := privkey.Plain, found(t, file)
			if passphrase != "" {
				state = privkey.Encrypted
			}
			shows := state == privkey.Plain && (got.Form != privkey.PKCS8 || public.Type() != "ssh-dss") || got.Form == privkey.OpenSSH
			if got.State != state || shows != (got.Public == public) || !shows && !got.Public.IsZero() {
				t.Errorf("%s with the passphrase %q: %+v", form, passphrase, got)
			}
		}
	}
}

// puttys has puttygen write a key in both versions of its file.
func puttys(t *testing.T, file string, public authkeys.Key) {
	t.Helper()
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte("a passphrase\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"version=2", "version=3,memory=1024,passes=1"} {
		for state, more := range map[privkey.State][]string{privkey.Plain: nil, privkey.Encrypted: {"--new-passphrase", passphrase}} {
			to := filepath.Join(t.TempDir(), "id.ppk")
			if !program(t, "puttygen", append([]string{file, "-o", to, "-C", "ann", "--ppk-param", version}, more...)...) {
				t.Fatal(version)
			}
			if got, want := found(t, to), (privkey.Key{Form: privkey.PuTTY, State: state, Public: public, Comment: "ann"}); got != want {
				t.Errorf("%s: %+v, want %+v", version, got, want)
			}
		}
	}
}
