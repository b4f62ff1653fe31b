package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// stranger logs in with a public key alone.
type stranger struct {
	blob []byte
	typ  string
	sign func(data []byte) *ssh.Signature
}

func (s stranger) PublicKey() ssh.PublicKey { return s }
func (s stranger) Type() string             { return s.typ }
func (s stranger) Marshal() []byte          { return s.blob }

// Verify is asked by nobody.
func (s stranger) Verify([]byte, *ssh.Signature) error { return errors.ErrUnsupported }

func (s stranger) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) { return s.sign(data), nil }

func (s stranger) SignWithAlgorithm(random io.Reader, data []byte, _ string) (*ssh.Signature, error) {
	return s.Sign(random, data)
}

func (s stranger) Algorithms() []string {
	if s.typ == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA256}
	}
	return []string{s.typ}
}

// line is the key's, as it was given.
func (s stranger) line() string { return s.typ + " " + base64.StdEncoding.EncodeToString(s.blob) }

// enters tries a login; the error is ErrRefused if the server does not take the key.
func (s stranger) enters(server *testenv.SSHD, name string) error {
	client, err := ssh.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", server.Port), &ssh.ClientConfig{
		User: name, Auth: []ssh.AuthMethod{ssh.PublicKeys(s)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil && strings.Contains(err.Error(), "unable to authenticate") {
		return testenv.ErrRefused
	}
	if err != nil {
		return err
	}
	return client.Close()
}

// blobOf makes a blob of fields as they are given, however they are encoded.
func blobOf(fields ...[]byte) []byte {
	var blob []byte
	for _, field := range fields {
		blob = append(binary.BigEndian.AppendUint32(blob, uint32(len(field))), field...)
	}
	return blob
}

// ofOne is an RSA key with e = 1: its signature is the padded hash itself (RFC 8017 section 8.2.2). zeros come
// before n, one less before e; the canonical form has one.
func ofOne(n *big.Int, zeros int) stranger {
	return stranger{
		blob: blobOf([]byte(ssh.KeyAlgoRSA), append(make([]byte, zeros-1), 1), append(make([]byte, zeros), n.Bytes()...)), typ: ssh.KeyAlgoRSA,
		sign: func(data []byte) *ssh.Signature {
			sum := sha256.Sum256(data)
			// 00 01 FF .. FF 00, DigestInfo
			prefix := []byte{0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20}
			text := append(prefix, sum[:]...)
			padded := append([]byte{0, 1}, []byte(strings.Repeat("\xff", n.BitLen()/8-3-len(text)))...)
			return &ssh.Signature{Format: ssh.KeyAlgoRSASHA256, Blob: append(append(padded, 0), text...)}
		},
	}
}

// ofNothing is an ed25519 key that is the neutral element, in one of its encodings: R = 0·B and S = 0 sign everything.
func ofNothing(point []byte) stranger {
	return stranger{
		blob: blobOf([]byte(ssh.KeyAlgoED25519), point), typ: ssh.KeyAlgoED25519,
		sign: func([]byte) *ssh.Signature {
			blob := make([]byte, 64)
			blob[0] = 1
			return &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: blob}
		},
	}
}

// squared is an RSA key whose modulus is a square. Who sees that can work out its private exponent.
func squared(t *testing.T) stranger {
	t.Helper()
	p, err := rand.Prime(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	n, e := new(big.Int).Mul(p, p), big.NewInt(65537)
	d := new(big.Int).ModInverse(e, new(big.Int).Mul(p, new(big.Int).Sub(p, big.NewInt(1))))
	one := ofOne(n, 1)
	one.blob = blobOf([]byte(ssh.KeyAlgoRSA), e.Bytes(), append([]byte{0}, n.Bytes()...))
	padded := one.sign
	one.sign = func(data []byte) *ssh.Signature {
		signature := padded(data)
		text := new(big.Int).SetBytes(signature.Blob)
		signature.Blob = text.Exp(text, d, n).FillBytes(signature.Blob)
		return signature
	}
	return one
}

// Who has no private key logs in at a real server by lines with weak keys, in any of their encodings, registered ones too; and does not when
// keyreeve has seen them.
func TestWeakKeysLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	server, s := testenv.StartSSHD(t, ""), newSite(t)
	goodFile, good := testenv.NewKey(t)
	modulus, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		t.Fatal(err)
	}
	neutral := make([]byte, 32)
	neutral[0] = 1
	signed, above := slices.Clone(neutral), bytes.Repeat([]byte{0xff}, 32)
	signed[31] = 0x80
	above[0], above[31] = 0xee, 0x7f // p+1
	strangers := map[string]stranger{
		"e 1": ofOne(modulus.N, 1), "e 1, zeros": ofOne(modulus.N, 2), "e 1, more zeros": ofOne(modulus.N, 300),
		"neutral": ofNothing(neutral), "neutral, with a sign": ofNothing(signed), "neutral, not reduced": ofNothing(above),
		"a square": squared(t),
	}
	alice := guest(t, good)
	var text strings.Builder
	text.WriteString(good + "\n")
	for _, stranger := range strangers {
		alice.keys = append(alice.keys, stranger.line())
		text.WriteString(stranger.line() + "\n")
	}
	bob := guest(t, good)
	for _, m := range []member{alice, bob} {
		m.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", text.String())
	}
	for name, stranger := range strangers {
		if err := stranger.enters(server, alice.name); err != nil {
			t.Errorf("without keyreeve %s must log in, or nothing is proven: %v", name, err)
		}
	}
	s.put("registry.ldif", entries(alice, bob))
	s.configure("enforce", s.ldifRegistry())
	s.keyreeve(statusOK, "apply")
	for _, m := range []member{alice, bob} {
		for name, stranger := range strangers {
			if err := stranger.enters(server, m.name); !errors.Is(err, testenv.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := server.Login(m.name, goodFile); err != nil {
			t.Error(err)
		}
	}
}

// A blocklist counts from the reload on that names it; one that cannot be read keeps the old configuration, with its list.
func TestDaemonBlocklist(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"], keys["B"])
	both := keys["A"] + "\n" + keys["B"] + "\n"
	user.write(t, "authorized_keys", both)
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("registry read", 1)

	unlisted, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", string(unlisted)+"policy: {blocklist: "+s.path("blocklist.dat")+"}\n")
	d.signal(syscall.SIGHUP)
	d.await("configuration not taken; the old one stays in force", 1)
	if d.said("blocklist.dat: no such file") != 1 {
		t.Error("the daemon did not say what is wrong")
	}
	user.append(t, "authorized_keys", keys["D"]+"\n")
	user.loses(t, "authorized_keys", keys["D"])
	if text := user.read(t, "authorized_keys"); text != both {
		t.Errorf("a blocklist that cannot be read took something: %q", text)
	}

	line, err := authkeys.ParseValue([]byte(keys["B"]))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(line.Key.Number())
	s.put("blocklist.dat", string(append(sum[:15:15], 1)))
	d.signal(syscall.SIGHUP)
	user.loses(t, "authorized_keys", keys["B"])

	s.put("blocklist.dat", "damaged")
	d.signal(syscall.SIGHUP)
	d.await("configuration not taken; the old one stays in force", 2)
	user.append(t, "authorized_keys", keys["B"]+"\n")
	user.loses(t, "authorized_keys", keys["B"])
	if text := user.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("in the end the file is %q", text)
	}
	d.stop()
}
