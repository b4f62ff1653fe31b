package privkey_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/privkey"
)

// sample is a file of a private key, and what is to be said of it.
type sample struct {
	text string
	want privkey.Key
}

// text is PEM of bytes.
func text(label string, data []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: data}))
}

// publicOf is the public half of a key as sshd knows it.
func publicOf(tb testing.TB, key crypto.Signer) authkeys.Key {
	tb.Helper()
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	wire, err := authkeys.ParseBlob(public.Marshal())
	if err != nil {
		tb.Fatal(err)
	}
	return wire
}

// signers are a key of each type that Go has.
func signers(tb testing.TB) map[string]crypto.Signer {
	tb.Helper()
	list := make(map[string]crypto.Signer)
	add := func(name string, key crypto.Signer, err error) {
		if err != nil {
			tb.Fatal(err)
		}
		list[name] = key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	add("ed25519", ed, err)
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	add("RSA", long, err)
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		add(name, key, err)
	}
	return list
}

var (
	once   sync.Once
	shared map[string]sample
)

// samples are files of all forms that Go can write, made once.
func samples(tb testing.TB) map[string]sample {
	tb.Helper()
	once.Do(func() { shared = written(tb) })
	return shared
}

func written(tb testing.TB) map[string]sample {
	tb.Helper()
	list := make(map[string]sample)
	for name, key := range signers(tb) {
		half := publicOf(tb, key)
		plain, err := ssh.MarshalPrivateKey(key, "ann@laptop")
		if err != nil {
			tb.Fatal(err)
		}
		locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "ann@laptop", []byte("passphrase"))
		if err != nil {
			tb.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			tb.Fatal(err)
		}
		list[name+", OpenSSH"] = sample{text(plain.Type, plain.Bytes), privkey.Key{Form: privkey.OpenSSH, State: privkey.Plain, Public: half, Comment: "ann@laptop"}}
		list[name+", OpenSSH, passphrase"] = sample{text(locked.Type, locked.Bytes), privkey.Key{Form: privkey.OpenSSH, State: privkey.Encrypted, Public: half}}
		list[name+", PKCS #8"] = sample{text("PRIVATE KEY", der), privkey.Key{Form: privkey.PKCS8, State: privkey.Plain, Public: half}}
		list[name+", PKCS #8, its label alone"] = sample{text("ENCRYPTED PRIVATE KEY", der), privkey.Key{Form: privkey.PKCS8, State: privkey.Encrypted}}
		switch key := key.(type) {
		case *rsa.PrivateKey:
			list[name+", PKCS #1"] = sample{text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), privkey.Key{Form: privkey.PEM, State: privkey.Plain, Public: half}}
		case *ecdsa.PrivateKey:
			der, err := x509.MarshalECPrivateKey(key)
			if err != nil {
				tb.Fatal(err)
			}
			list[name+", SEC 1"] = sample{text("EC PRIVATE KEY", der), privkey.Key{Form: privkey.PEM, State: privkey.Plain, Public: half}}
		}
	}
	return list
}

func TestFind(t *testing.T) {
	for name, s := range samples(t) {
		for how, text := range map[string]string{
			"as it is": s.text, "CRLF": strings.ReplaceAll(s.text, "\n", "\r\n"), "with text before": "a note\n\n" + s.text, "with text behind": s.text + "a note\n",
		} {
			if got, is := privkey.Find([]byte(text)); !is || got != s.want {
				t.Errorf("%s, %s: %+v, want %+v", name, how, got, s.want)
			}
		}
	}
}

// What is no private key is none, whatever it has of one.
func TestFindNothing(t *testing.T) {
	for _, text := range []string{
		"", "\x00\x01", "ssh-ed25519 AAAA", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n", "# -----BEGIN PRIVATE KEY-----\n",
		"---- BEGIN SSH2 PUBLIC KEY ----\n", "Host PuTTY-User-Key-File-2: ssh-rsa\n",
	} {
		if got, is := privkey.Find([]byte(text)); is {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// hardware is a file as ssh-keygen writes for a key that a device holds.
func hardware(tb testing.TB) string {
	tb.Helper()
	words := func(list ...string) (wire []byte) {
		for _, w := range list {
			wire = append(binary.BigEndian.AppendUint32(wire, uint32(len(w))), w...)
		}
		return wire
	}
	const kind = "sk-ssh-ed25519@openssh.com"
	point := strings.Repeat("\x07", 32)
	private := append([]byte("\x01\x02\x03\x04\x01\x02\x03\x04"), words(kind, point, "ssh:")...)
	private = append(private, 1)
	private = append(private, words(strings.Repeat("h", 64), "", "ann@laptop")...)
	for i := 1; len(private)%8 != 0; i++ {
		private = append(private, byte(i))
	}
	data := append([]byte("openssh-key-v1\x00"), words("none", "none", "")...)
	data = append(data, 0, 0, 0, 1)
	return text("OPENSSH PRIVATE KEY", append(data, words(string(words(kind, point, "ssh:")), string(private))...))
}

// The file of a key that a device holds is of no use without it.
func TestFindHardware(t *testing.T) {
	got, is := privkey.Find([]byte(hardware(t)))
	if !is || got.State != privkey.Hardware || got.Public.Type() != "sk-ssh-ed25519@openssh.com" {
		t.Errorf("%+v", got)
	}
}

// What has the marks and cannot be read is neither plain nor encrypted.
func TestFindUnclear(t *testing.T) {
	all := samples(t)
	ed, pkcs1 := all["ed25519, OpenSSH"].text, all["RSA, PKCS #1"].text
	_, encrypted, _ := strings.Cut(all["RSA, OpenSSH, passphrase"].text, "\n")
	for name, text := range map[string]string{
		"cut":                         ed[:len(ed)/2],
		"no end":                      strings.Split(pkcs1, "-----END")[0],
		"another label":               strings.ReplaceAll(ed, "OPENSSH", "RSA"),
		"an unknown label":            strings.ReplaceAll(ed, "OPENSSH", "ANY"),
		"encrypted, with a new label": "-----BEGIN RSA PRIVATE KEY-----\n" + encrypted,
		"another padding":             text("OPENSSH PRIVATE KEY", spoiled(tb{t}.decode(ed))),
		"more behind it":              text("RSA PRIVATE KEY", append(tb{t}.decode(pkcs1), 0)),
		"a line is missing":           ed[:80] + ed[151:],
		"a header of another kind":    strings.Replace(pkcs1, "-----\n", "-----\nProc-Type: 4,MIC-CLEAR\n\n", 1),
		"a placeholder":               "-----BEGIN OPENSSH PRIVATE KEY-----\n...\n-----END OPENSSH PRIVATE KEY-----\n",
		"PuTTY, cut":                  "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: ann\nPublic-Lines: 2\nAAAA\n",
		"PuTTY, out of order":         "PuTTY-User-Key-File-3: ssh-ed25519\nComment: ann\nEncryption: none\nPublic-Lines: 0\nPrivate-Lines: 1\nAAAA\n",
		"the cipher's name alone":     header(tb{t}.decode(all["ed25519, OpenSSH, passphrase"].text)),
	} {
		if got, is := privkey.Find([]byte(text)); !is || got.State != privkey.Unclear {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// spoiled is what has another last byte.
func spoiled(data []byte) []byte {
	data[len(data)-1]++
	return data
}

// header makes a file that says "none" where its private half is encrypted.
func header(data []byte) string {
	magic := "openssh-key-v1\x00"
	rest := data[len(magic):]
	for range 3 {
		rest = rest[4+binary.BigEndian.Uint32(rest):]
	}
	none := []byte(magic + "\x00\x00\x00\x04none\x00\x00\x00\x04none\x00\x00\x00\x00")
	return text("OPENSSH PRIVATE KEY", append(none, rest...))
}

type tb struct{ *testing.T }

func (t tb) decode(text string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	return block.Bytes
}

// Of several keys in a file the one that is protected least counts, wherever it stands and whatever is around it.
func TestFindHides(t *testing.T) {
	all := samples(t)
	var names []string
	for name, s := range all {
		if s.want.State == privkey.Plain {
			names = append(names, name)
		}
	}
	locked := all["RSA, OpenSSH, passphrase"].text
	putty := "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: aes256-cbc\nComment: ann\nPublic-Lines: 1\nAAAA\n"
	rapid.Check(t, func(rt *rapid.T) {
		plain := all[rapid.SampledFrom(names).Draw(rt, "key")]
		before := rapid.SampledFrom([]string{"", locked, putty, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n", "-----END "}).Draw(rt, "before")
		after := rapid.SampledFrom([]string{"", locked, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"}).Draw(rt, "after")
		if before == "-----END " {
			before += "\n"
		}
		if got, is := privkey.Find([]byte(before + plain.text + after)); !is || got != plain.want {
			rt.Fatalf("%+v, want %+v", got, plain.want)
		}
	})
}

// An encrypted key is never taken for a plain one, whatever is changed in its file.
func TestEncryptedIsNeverPlain(t *testing.T) {
	all := samples(t)
	var names []string
	for name, s := range all {
		if strings.Contains(name, "passphrase") && s.want.State == privkey.Encrypted {
			names = append(names, name)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		data := tb{t}.decode(all[rapid.SampledFrom(names).Draw(rt, "key")].text)
		for range rapid.IntRange(1, 4).Draw(rt, "changes") {
			at := rapid.IntRange(0, len(data)-1).Draw(rt, "at")
			data[at] = rapid.Byte().Draw(rt, "byte")
		}
		label := rapid.SampledFrom([]string{"OPENSSH PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY"}).Draw(rt, "label")
		if got, _ := privkey.Find([]byte(text(label, data))); got.State == privkey.Plain {
			rt.Fatalf("%+v", got)
		}
	})
}

// Nothing of a private half is told: no run of its bytes, in whatever form.
func TestNothingPrivateIsTold(t *testing.T) {
	for name, s := range samples(t) {
		key, _ := privkey.Find([]byte(s.text))
		told := key.Comment + string(key.Public.Wire()) + key.Public.String()
		block, _ := pem.Decode([]byte(s.text))
		wire := key.Public.Wire()
		for i := 0; i+16 <= len(block.Bytes); i++ {
			if run := block.Bytes[i : i+16]; strings.Contains(told, string(run)) && !bytes.Contains(wire, run) {
				t.Fatalf("%s: told at %d", name, i)
			}
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range samples(f) {
		f.Add([]byte(s.text))
	}
	f.Add([]byte(hardware(f)))
	f.Add([]byte("PuTTY-User-Key-File-2: ssh-rsa\r\nEncryption: none\r\nComment: a\r\nPublic-Lines: 1\r\nAAAA\r\nPrivate-Lines: 1\r\nAAAA\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		key, is := privkey.Find(data)
		if !bytes.Equal(before, data) {
			t.Error("the text was changed")
		}
		if !is && key != (privkey.Key{}) {
			t.Errorf("nothing was found, and is told: %+v", key)
		}
		if again, same := privkey.Find(data); again != key || same != is {
			t.Errorf("%+v, then %+v", key, again)
		}
		if len(key.Comment) > 256 || is && key.Form == "" {
			t.Errorf("%+v", key)
		}
		if is && key.State == privkey.Plain && key.Form == privkey.OpenSSH && key.Comment != "" {
			if _, err := ssh.ParseRawPrivateKey(data); err != nil && strings.Contains(err.Error(), "passphrase") {
				t.Errorf("Go finds a passphrase: %v", err)
			}
		}
	})
}
