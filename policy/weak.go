package policy

import (
	"math/big"
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
)

// weakness says why a key of an accepted type protects nothing, or nothing when none is known.
//
// sshd accepts all of these keys: anybody can log in with a line that holds one, without any private key.
func (p *Policy) weakness(key authkeys.Key) string {
	if n, e, ok := key.RSA(); ok {
		return rsaWeakness(n, e)
	}
	if point, ok := key.Ed25519(); ok && p.smallOrder(point) {
		return "the ed25519 key is a point of small order: anybody can sign for it"
	}
	return ""
}

// rsaWeakness finds exponents and moduli with which RSA is no secret. An exponent of 1 makes a signature its own message;
// an even one has no inverse (RFC 8017 section 3.1 wants e odd, at least 3); an even modulus has the factor 2.
// Small odd exponents stay: old ssh-keygen and PuTTY made keys with 35 and 37, and they are sound.
func rsaWeakness(n, e *big.Int) string {
	switch {
	case e.Cmp(big.NewInt(3)) < 0 || e.Bit(0) == 0:
		return "the RSA key's public exponent is below 3 or even: anybody can sign for it"
	case n.Bit(0) == 0:
		return "the RSA key's modulus is even: anybody can factor it"
	}
	return ""
}

// smallOrder reports whether an encoded point of edwards25519 has an order of at most 8. Such a point verifies signatures
// that anybody can make. The y coordinates are those of the eight torsion points, with the non-canonical encodings
// that RFC 8032 section 5.1.3 refuses and OpenSSH's decoder reduces modulo p; the sign bit does not matter.
func (p *Policy) smallOrder(point [32]byte) bool {
	point[31] &= 0x7f
	return slices.Contains(p.smallOrderY[:], point)
}

// smallOrderY lists the y coordinates, little-endian: 0, 1, p-1, p, p+1 and the two of order 8.
func smallOrderY() [7][32]byte {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	one := big.NewInt(1)
	eighth, _ := new(big.Int).SetString("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16)
	other := new(big.Int).Sub(p, eighth)
	var list [7][32]byte
	for i, y := range []*big.Int{
		new(big.Int), one, new(big.Int).Sub(p, one), p, new(big.Int).Add(p, one), eighth, other,
	} {
		y.FillBytes(list[i][:])
		for a, b := 0, 31; a < b; a, b = a+1, b-1 {
			list[i][a], list[i][b] = list[i][b], list[i][a]
		}
	}
	return list
}
