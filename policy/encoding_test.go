package policy_test

import (
	"encoding/base64"
	"encoding/binary"
	"math/big"
	"slices"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/policy"
)

// y gives a point's 32 bytes: the number, little-endian, and the sign of x.
func y(number *big.Int, sign byte) []byte {
	point := number.FillBytes(make([]byte, 32))
	slices.Reverse(point)
	point[31] |= sign << 7
	return point
}

// All points of small order, in every encoding that OpenSSH's decoder reduces to them, and every other encoding with a y that is not
// reduced; the last y that is reduced is another matter.
func TestWeakPointsAreRefusedEverywhere(t *testing.T) {
	pol := compile(t, policy.DefaultRules())
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	below := func(n int64) *big.Int { return new(big.Int).Sub(p, big.NewInt(n)) }
	eighth, _ := new(big.Int).SetString("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16)
	weak := []*big.Int{big.NewInt(0), big.NewInt(1), below(1), p, below(-1), eighth, new(big.Int).Sub(p, eighth)}
	for sign := range byte(2) {
		for _, number := range weak {
			refused(t, pol, number.Text(16), ed25519Line(y(number, sign)), "weak")
			refused(t, pol, number.Text(16), skLine(y(number, sign)), "weak")
		}
		for n := int64(2); n < 19; n++ {
			refused(t, pol, "p+n", ed25519Line(y(below(-n), sign)), "not-canonical")
			refused(t, pol, "p+n", skLine(y(below(-n), sign)), "not-canonical")
		}
		for _, number := range []*big.Int{below(2), below(3), big.NewInt(2), big.NewInt(18)} {
			sound(t, pol, number.Text(16), ed25519Line(y(number, sign)))
		}
		for bit := uint(8); bit < 255; bit += 8 { // every byte above the lowest makes it less than p
			number := new(big.Int).Sub(below(-18), new(big.Int).Lsh(big.NewInt(1), bit))
			sound(t, pol, number.Text(16), ed25519Line(y(number, sign)))
		}
	}
}

// Leading zeros make other bytes of an RSA key that sshd takes for the same one (authkeys/testdata/vectors, class noncanonical): weak, or no
// longer registered, it does not come back by them; registered, it is not lost by them.
func TestOtherEncodingsAreTheSameKey(t *testing.T) {
	padded := func(n, e *big.Int, zeros int) string {
		blob := ssh.Marshal(struct{ Type string }{ssh.KeyAlgoRSA})
		for _, number := range []*big.Int{e, n} {
			field := append(make([]byte, zeros), number.Bytes()...)
			blob = append(binary.BigEndian.AppendUint32(blob, uint32(len(field))), field...)
		}
		return "ssh-rsa " + base64.StdEncoding.EncodeToString(blob)
	}
	p := compile(t, from2048())
	n, f4 := modulus(2048), big.NewInt(65537)
	near := prime(t, 1024)
	for _, zeros := range []int{1, 2, 30, 500} {
		refused(t, p, "e 1", padded(n, big.NewInt(1), zeros), "weak")
		refused(t, p, "a square", padded(new(big.Int).Mul(near, near), f4, zeros), "close-primes")
		line := parse(t, padded(n, f4, zeros))
		if line.Key != parse(t, rsaLine(n, f4)).Key {
			t.Fatalf("%d zeros make another key", zeros)
		}
		if v := evaluate(t, from2048(), now, user(t, "alice", rsaLine(n, f4))).Judge("alice", line); !v.Granted() {
			t.Errorf("registered, with %d zeros: %v", zeros, v)
		}
		g := evaluate(t, from2048(), now, user(t, "alice", lineA))
		if v := g.Judge("alice", line); v.Reason != policy.ReasonUnregistered {
			t.Errorf("unknown, with %d zeros: %v", zeros, v)
		}
		g = g.WithFormer([]policy.Former{{User: "alice", Grant: policy.Grant{Key: parse(t, rsaLine(n, f4)).Key}, Since: now}})
		if v := g.Judge("alice", line); v.Reason != policy.ReasonFormer {
			t.Errorf("no longer registered, with %d zeros: %v", zeros, v)
		}
		// what is written is the canonical form, which parses to what it was made of
		if parsed, err := ssh.ParsePublicKey(line.Key.Wire()); err != nil || string(parsed.Marshal()) != string(line.Key.Wire()) {
			t.Errorf("%d zeros: not canonical (%v)", zeros, err)
		}
	}
}
