package authkeys_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/authkeys"
)

// certified signs a key with a new authority, by a library that is not ours.
func certified(t *testing.T, key ssh.PublicKey) (certificate []byte, authority ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	c := &ssh.Certificate{Key: key, CertType: ssh.UserCert, Serial: 7, KeyId: "ada", ValidPrincipals: []string{"ada", "root"}, ValidBefore: ssh.CertTimeInfinity}
	c.CriticalOptions, c.Extensions = map[string]string{"force-command": "ls"}, map[string]string{"permit-pty": ""}
	if err := c.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	return c.Marshal(), signer.PublicKey()
}

// certifiable is a key of each type that an authority can certify.
func certifiable(t *testing.T) map[string]ssh.PublicKey {
	t.Helper()
	keys := make(map[string]ssh.PublicKey)
	add := func(key ssh.PublicKey, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		keys[key.Type()] = key
	}
	modulus := bytes.Repeat([]byte{0xc1}, 256)
	add(ssh.NewPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}))
	point, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	add(ssh.NewPublicKey(point))
	var p256 []byte
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		add(ssh.NewPublicKey(&private.PublicKey))
		if curve == elliptic.P256() {
			if p256, err = private.PublicKey.Bytes(); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(ssh.ParsePublicKey(fields("sk-ssh-ed25519@openssh.com", string(point), "ssh:")))
	add(ssh.ParsePublicKey(fields("sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", string(p256), "ssh:")))
	return keys
}

func TestParseCertificate(t *testing.T) {
	for name, key := range certifiable(t) {
		t.Run(name, func(t *testing.T) {
			blob, authority := certified(t, key)
			got, signer, err := authkeys.ParseCertificate(blob)
			if err != nil || !bytes.Equal(got.Wire(), key.Marshal()) || !bytes.Equal(signer.Wire(), authority.Marshal()) {
				t.Errorf("got %v by %v, %v", got, signer, err)
			}
			for size := range blob {
				if got, signer, err := authkeys.ParseCertificate(blob[:size]); err == nil || !got.IsZero() || !signer.IsZero() {
					t.Fatalf("%d of %d bytes: %v by %v, %v", size, len(blob), got, signer, err)
				}
			}
			if got, _, err := authkeys.ParseCertificate(append(blob, 0)); err == nil || !got.IsZero() {
				t.Errorf("a byte too many: %v, %v", got, err)
			}
			if got, _, err := authkeys.ParseCertificate(key.Marshal()); err == nil || !got.IsZero() {
				t.Errorf("no certificate: %v, %v", got, err)
			}
			if _, err := authkeys.ParseBlob(blob); !errors.Is(err, authkeys.ErrCertificate) {
				t.Errorf("as a key: %v", err)
			}
		})
	}
}
