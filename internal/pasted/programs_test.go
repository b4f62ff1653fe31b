package pasted_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/pasted"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// program runs one and gives what it prints; an empty answer where it refuses.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := testenv.Program(name)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).Output()
	if err != nil {
		t.Logf("%s %q: %v", name, args, err)
		return ""
	}
	return string(out)
}

// pair is what ssh-keygen makes.
type pair struct {
	file string // of the private key
	key  authkeys.Key
	says string // what ssh-keygen printed
}

// pairs are of every type that the installed ssh-keygen makes without a device.
func pairs(t *testing.T) map[string]pair {
	t.Helper()
	list := make(map[string]pair)
	for _, kind := range []string{"ed25519", "rsa 2048", "ecdsa 256", "ecdsa 384", "ecdsa 521", "dsa 1024"} {
		name, bits, _ := strings.Cut(kind, " ")
		file := filepath.Join(t.TempDir(), "id")
		args := []string{"-t", name, "-N", "", "-C", "ann@laptop", "-f", file}
		if bits != "" {
			args = append(args, "-b", bits)
		}
		says := program(t, "ssh-keygen", args...)
		if says == "" && name == "dsa" {
			continue // OpenSSH 10 has none
		}
		line, err := authkeys.ParseValue([]byte(read(t, file+".pub")))
		if err != nil {
			t.Fatal(err)
		}
		list[kind] = pair{file, line.Key, says}
	}
	return list
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expect examines what a program wrote.
func expect(t *testing.T, what, text string, code pasted.Code, key authkeys.Key) pasted.Diagnosis {
	t.Helper()
	d := pasted.Examine([]byte(text))
	if d.Code != code || d.Line.Key != key {
		t.Errorf("%s: it is %s with the key %q, want %s with %q\n%s", what, d.Code, d.Line.Key, code, key, text)
	}
	check(t, d)
	return d
}

// What ssh-keygen writes is read as it reads it itself, and the commands that are said do what they are said for.
func TestKeygensForms(t *testing.T) {
	testenv.Need(t, "sshd")
	for kind, p := range pairs(t) {
		t.Run(kind, func(t *testing.T) {
			public := p.file + ".pub"
			expect(t, "public", read(t, public), pasted.Good, p.key)
			expect(t, "private", read(t, p.file), pasted.PrivateKey, authkeys.Key{})
			expect(t, "what it says", p.says, pasted.KeygenOutput, authkeys.Key{})
			expect(t, "-l", program(t, "ssh-keygen", "-l", "-f", public), pasted.Fingerprint, authkeys.Key{})
			expect(t, "-l -E md5", program(t, "ssh-keygen", "-l", "-E", "md5", "-f", public), pasted.Fingerprint, authkeys.Key{})
			expect(t, "-lv", program(t, "ssh-keygen", "-l", "-v", "-f", public), pasted.Randomart, authkeys.Key{})
			for form, code := range map[string]pasted.Code{"RFC4716": pasted.RFC4716, "PKCS8": pasted.PEM, "PEM": pasted.PKCS1} {
				text := program(t, "ssh-keygen", "-e", "-m", form, "-f", public)
				if text == "" {
					continue // a type that ssh-keygen does not write so
				}
				if form == "PEM" && !strings.HasPrefix(text, "-----BEGIN RSA PUBLIC KEY") {
					code = pasted.PEM
				}
				d := expect(t, form, text, code, p.key)
				asSaid(t, d, text)
			}
			for _, form := range []string{"PEM", "PKCS8"} {
				if program(t, "ssh-keygen", "-p", "-N", "a passphrase", "-m", form, "-f", p.file) != "" {
					expect(t, "private, "+form, read(t, p.file), pasted.PrivateKey, authkeys.Key{})
				}
				program(t, "ssh-keygen", "-p", "-N", "", "-P", "a passphrase", "-m", form, "-f", p.file)
				expect(t, "private, "+form, read(t, p.file), pasted.PrivateKey, authkeys.Key{})
			}
		})
	}
}

// asSaid runs the commands of a diagnosis on its text: the last one prints its line.
func asSaid(t *testing.T, d pasted.Diagnosis, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pasted")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range d.Do {
		words := strings.Fields(strings.ReplaceAll(command, "FILE", file))
		out := program(t, words[0], words[1:]...)
		if line, err := authkeys.ParseValue([]byte(out)); err != nil || line.Key != d.Line.Key {
			t.Errorf("%s: %q, %v", command, out, err)
		}
	}
}

// Of PuTTY's file the public half is given, of its public form the line; encrypted or not, in both versions.
func TestPuTTYsForms(t *testing.T) {
	testenv.Need(t, "sshd", "puttygen")
	for kind, p := range pairs(t) {
		t.Run(kind, func(t *testing.T) {
			passphrase := filepath.Join(t.TempDir(), "passphrase")
			if err := os.WriteFile(passphrase, []byte("a passphrase\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, version := range []string{"2", "3"} {
				for _, more := range [][]string{nil, {"--new-passphrase", passphrase}} {
					file := filepath.Join(t.TempDir(), "id.ppk")
					program(t, "puttygen", append([]string{p.file, "-o", file, "--ppk-param", "version=" + version}, more...)...)
					text := read(t, file)
					if !strings.HasPrefix(text, "PuTTY-User-Key-File-"+version) || strings.Contains(text, "Encryption: none") != (more == nil) {
						t.Fatal(text[:60])
					}
					expect(t, version, text, pasted.PuTTY, p.key)
					expect(t, version+", Windows", strings.ReplaceAll(text, "\n", "\r\n"), pasted.PuTTY, p.key)
					expect(t, version+", -p", program(t, "puttygen", file, "-O", "public"), pasted.RFC4716, p.key)
					expect(t, version+", -L", program(t, "puttygen", file, "-O", "public-openssh"), pasted.Good, p.key)
					expect(t, version+", -l", program(t, "puttygen", file, "-O", "fingerprint"), pasted.Fingerprint, authkeys.Key{})
				}
			}
			for _, form := range []string{"private-openssh", "private-openssh-new", "private-sshcom"} {
				file := filepath.Join(t.TempDir(), "id")
				program(t, "puttygen", p.file, "-O", form, "-o", file)
				if _, err := os.Stat(file); err == nil { // not every type has every form
					expect(t, form, read(t, file), pasted.PrivateKey, authkeys.Key{})
				}
			}
		})
	}
}

// Each line that is given back is one that ssh-keygen reads as the same key.
func TestKeygenTakesWhatIsGivenBack(t *testing.T) {
	testenv.Need(t, "sshd")
	file := filepath.Join(t.TempDir(), "authorized_keys")
	var text []byte
	var want []string
	for _, s := range append(formed(t), refused(t)...) {
		d := pasted.Examine([]byte(s.text))
		if kind := d.Line.Key.Type(); !d.HasKey() || kind == "ssh-dss" || strings.Contains(kind, "mldsa") {
			continue // types that some versions do not have
		}
		text = d.Line.AppendTo(text)
		want = append(want, d.Line.Key.Fingerprint())
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(program(t, "ssh-keygen", "-l", "-f", file)) {
		got = append(got, strings.Fields(line)[1])
	}
	if strings.Join(got, " ") != strings.Join(want, " ") || len(got) < 200 {
		t.Errorf("%d lines of %d", len(got), len(want))
	}
}
