package authkeys_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/authkeys"
)

// fields makes a wire blob of strings.
func fields(values ...string) []byte {
	var blob []byte
	for _, v := range values {
		blob = binary.BigEndian.AppendUint32(blob, uint32(len(v)))
		blob = append(blob, v...)
	}
	return blob
}

// modulus makes the bytes of an odd number with exactly this many bits; a leading zero keeps it positive.
func modulus(bits int) string {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	n.SetBit(n, 0, 1)
	return "\x00" + string(n.Bytes())
}

// ecPoint makes an uncompressed point on a curve.
func ecPoint(t *testing.T, curve elliptic.Curve) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	return string(point.Bytes())
}

const e65537 = "\x01\x00\x01"

func TestParseBlobAliases(t *testing.T) {
	point, p256 := strings.Repeat("p", 32), ecPoint(t, elliptic.P256())
	dsa := []string{modulus(2048), modulus(256), "\x02", "\x03"}
	cases := []struct {
		name  string
		blob  []byte
		wire  []byte
		kind  string
		nbits int
	}{
		{"plain ed25519", fields("ssh-ed25519", point), fields("ssh-ed25519", point), "ssh-ed25519", 256},
		{"short name", fields("eD25519", point), fields("ssh-ed25519", point), "ssh-ed25519", 256},
		{"NUL after the name", fields("ssh-ed25519\x00", point), fields("ssh-ed25519", point), "ssh-ed25519", 256},
		{"short sk name", fields("ED25519-SK", point, "ssh:"), fields("sk-ssh-ed25519@openssh.com", point, "ssh:"), "sk-ssh-ed25519@openssh.com", 256},
		{"NUL after the application", fields("sk-ssh-ed25519@openssh.com", point, "ssh:\x00"), fields("sk-ssh-ed25519@openssh.com", point, "ssh:"), "sk-ssh-ed25519@openssh.com", 256},
		{"RSA by its signature", fields("rsa-sha2-512", e65537, modulus(2048)), fields("ssh-rsa", e65537, modulus(2048)), "ssh-rsa", 2048},
		{"RSA short name", fields("rSa", e65537, modulus(1024)), fields("ssh-rsa", e65537, modulus(1024)), "ssh-rsa", 1024},
		{"RSA with leading zeros", fields("ssh-rsa", "\x00\x00"+e65537, "\x00\x00\x00"+modulus(4095)), fields("ssh-rsa", e65537, modulus(4095)[1:]), "ssh-rsa", 4095},
		{"RSA at the upper bound", fields("ssh-rsa", e65537, modulus(16384)), fields("ssh-rsa", e65537, modulus(16384)), "ssh-rsa", 16384},
		{"RSA without exponent", fields("ssh-rsa", "\x00", modulus(2048)), fields("ssh-rsa", "", modulus(2048)), "ssh-rsa", 2048},
		{"DSA of 2048 bits", fields(append([]string{"ssh-dss"}, dsa...)...), fields(append([]string{"ssh-dss"}, dsa...)...), "ssh-dss", 2048},
		{"DSA short name", fields(append([]string{"DSA"}, dsa...)...), fields(append([]string{"ssh-dss"}, dsa...)...), "ssh-dss", 2048},
		{"ECDSA", fields("ecdsa-sha2-nistp256", "nistp256", p256), fields("ecdsa-sha2-nistp256", "nistp256", p256), "ecdsa-sha2-nistp256", 256},
		{"webauthn", fields("webauthn-sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", p256, "ssh:"), fields("sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", p256, "ssh:"), "sk-ecdsa-sha2-nistp256@openssh.com", 256},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			key, err := authkeys.ParseBlob(c.blob)
			if err != nil {
				t.Fatal(err)
			}
			if got := key.Wire(); string(got) != string(c.wire) {
				t.Errorf("wire %x, want %x", got, c.wire)
			}
			if key.Type() != c.kind || key.Bits() != c.nbits {
				t.Errorf("%s of %d bits, want %s of %d", key.Type(), key.Bits(), c.kind, c.nbits)
			}
			if again, err := authkeys.ParseBlob(key.Wire()); err != nil || again != key {
				t.Errorf("the canonical form is not canonical: %v", err)
			}
		})
	}
}

func TestParseBlobRefuses(t *testing.T) {
	point, p256 := strings.Repeat("p", 32), ecPoint(t, elliptic.P256())
	off := p256[:64] + string(p256[64]^1)
	compressed := string([]byte{2 + p256[64]&1}) + p256[1:33]
	cases := []struct {
		name   string
		blob   []byte
		reason string
	}{
		{"empty", nil, "malformed-key"},
		{"three bytes", []byte{0, 0, 0}, "malformed-key"},
		{"length past the end", []byte{0, 0, 0, 9, 'x'}, "malformed-key"},
		{"huge length", []byte{0xff, 0xff, 0xff, 0xff, 'x'}, "malformed-key"},
		{"NUL inside the name", fields("ssh-ed\x0025519", point), "malformed-key"},
		{"two NULs after the name", fields("ssh-ed25519\x00\x00", point), "malformed-key"},
		{"unknown name", fields("ssh-foo", point), "type-unknown"},
		{"long name in capitals", fields("SSH-ED25519", point), "type-unknown"},
		{"short name with a Kelvin sign", fields("ED25519-S\u212a", point, "ssh:"), "type-unknown"},
		{"short name of ECDSA", fields("ECDSA", "nistp256", p256), "type-unknown"},
		{"certificate", fields("ssh-ed25519-cert-v01@openssh.com", point), "certificate"},
		{"webauthn certificate", fields("webauthn-sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", point), "certificate"},
		{"31 bytes", fields("ssh-ed25519", point[1:]), "malformed-key"},
		{"byte behind", append(fields("ssh-ed25519", point), 0), "malformed-key"},
		{"no application", fields("sk-ssh-ed25519@openssh.com", point), "malformed-key"},
		{"NUL inside the application", fields("sk-ssh-ed25519@openssh.com", point, "ssh\x00:"), "malformed-key"},
		{"RSA of 1023 bits", fields("ssh-rsa", e65537, modulus(1023)), "malformed-key"},
		{"RSA of 16385 bits", fields("ssh-rsa", e65537, modulus(16385)), "malformed-key"},
		{"RSA with too many zeros", fields("ssh-rsa", e65537, "\x00"+modulus(16384)), "malformed-key"},
		{"negative modulus", fields("ssh-rsa", e65537, modulus(2048)[1:]), "malformed-key"},
		{"negative exponent", fields("ssh-rsa", "\x81", modulus(2048)), "malformed-key"},
		{"DSA without y", fields("ssh-dss", modulus(1024), modulus(160), "\x02"), "malformed-key"},
		{"other curve", fields("ecdsa-sha2-nistp256", "nistp384", p256), "malformed-key"},
		{"point off the curve", fields("ecdsa-sha2-nistp256", "nistp256", off), "malformed-key"},
		{"compressed point", fields("ecdsa-sha2-nistp256", "nistp256", compressed), "malformed-key"},
		{"point at infinity", fields("ecdsa-sha2-nistp256", "nistp256", "\x00"), "malformed-key"},
		{"ML-DSA cut short", fields("ssh-mldsa44-ed25519@openssh.com", strings.Repeat("m", 1343)), "malformed-key"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			key, err := authkeys.ParseBlob(c.blob)
			failure, ok := errors.AsType[*authkeys.ParseError](err)
			if !ok || failure.Reason != c.reason || !key.IsZero() {
				t.Errorf("got %v, %v; want reason %s", key, err, c.reason)
			}
			if errors.Is(err, authkeys.ErrUnknownType) != (c.reason == "type-unknown") {
				t.Errorf("errors.Is(ErrUnknownType) is wrong for %v", err)
			}
		})
	}
}

func TestKeyParts(t *testing.T) {
	var zero authkeys.Key
	if zero.Type() != "" || zero.Bits() != 0 || zero.Fingerprint() != "" || zero.String() != "" || len(zero.Wire()) != 0 || !zero.IsZero() {
		t.Errorf("the zero Key has parts: %v", zero)
	}
	keys := testKeys(t)
	if n, e, ok := keys["RE1"].RSA(); !ok || e.Cmp(big.NewInt(1)) != 0 || n.BitLen() != keys["RE1"].Bits() {
		t.Errorf("RSA with exponent 1: %v %v %v", n, e, ok)
	}
	if _, e, _ := keys["RBIGE"].RSA(); e.BitLen() != 33 {
		t.Errorf("exponent of %d bits, want 33", e.BitLen())
	}
	if _, _, ok := keys["A"].RSA(); ok {
		t.Error("an Ed25519 key has a modulus")
	}
	neutral, ok := keys["EDNEUTRAL"].Ed25519()
	if !ok || neutral != [32]byte{1} {
		t.Errorf("neutral element: %x %v", neutral, ok)
	}
	for name, want := range map[string]bool{"A": true, "SKED": true, "E256": false, "R2048": false, "MLDSA": false} {
		if _, ok := keys[name].Ed25519(); ok != want {
			t.Errorf("Ed25519 of %s: %v", name, ok)
		}
	}
	for name, want := range map[string]int{"R1024": 1024, "R2048": 2048, "R4096": 4096, "DSA": 1024, "E256": 256, "E384": 384, "E521": 521, "MLDSA": 256} {
		if got := keys[name].Bits(); got != want {
			t.Errorf("%s has %d bits, want %d", name, got, want)
		}
	}
}

// The wire form handed out is the caller's own.
func TestWireIsACopy(t *testing.T) {
	key := testKeys(t)["A"]
	before := key
	clear(key.Wire())
	if key != before {
		t.Error("changing Wire changed the Key")
	}
}

// The canonical encoding is the one of x/crypto.
func TestWireAgreesWithXCrypto(t *testing.T) {
	for name, key := range testKeys(t) {
		if !readableByXCrypto(key) {
			continue
		}
		public, err := ssh.ParsePublicKey(key.Wire())
		if err != nil {
			if key.Type() != "ssh-dss" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if string(public.Marshal()) != string(key.Wire()) {
			t.Errorf("%s: x/crypto writes it differently", name)
		}
	}
}

// What a blocklist knows a key by is the same for every encoding and every exponent of it.
func TestNumber(t *testing.T) {
	n := modulus(2048)
	for name, c := range map[string]struct {
		blob []byte
		want string
	}{
		"RSA":                {fields("ssh-rsa", e65537, n), strings.TrimLeft(n, "\x00")},
		"RSA, leading zeros": {fields("ssh-rsa", e65537, "\x00\x00"+n), strings.TrimLeft(n, "\x00")},
		"RSA, exponent 3":    {fields("ssh-rsa", "\x03", n), strings.TrimLeft(n, "\x00")},
		"Ed25519":            {fields("ssh-ed25519", "\x00\x00"+strings.Repeat("k", 30)), strings.Repeat("k", 30)},
		"sk-Ed25519":         {fields("sk-ssh-ed25519@openssh.com", strings.Repeat("k", 32), "ssh:"), strings.Repeat("k", 32)},
	} {
		key, err := authkeys.ParseBlob(c.blob)
		if err != nil || string(key.Number()) != c.want {
			t.Errorf("%s: %x, %v", name, key.Number(), err)
		}
	}
	if (authkeys.Key{}).Number() != nil {
		t.Error("no key has a number")
	}
}
