package policy

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
)

// broken refuses a key that protects nothing, whoever stands for it: that of an exception too. A granted verdict means that
// nothing of the kind is known. It takes long for a new modulus ([moduli]).
func (p *Policy) broken(key authkeys.Key) Verdict {
	verdict := p.known(key)
	if key.Type() == wireRSA && verdict.Granted() {
		return p.moduli.verdict(key)
	}
	return verdict
}

// known is what of broken shows at once.
//
// sshd accepts all of these keys: with a line that holds one, those log in who never had its private key, or can make one.
func (p *Policy) known(key authkeys.Key) Verdict {
	if n, e, ok := key.RSA(); ok {
		if flaw := rsaWeakness(n, e); flaw != "" {
			return Verdict{ReasonWeak, flaw}
		}
	}
	if point, ok := key.Ed25519(); ok {
		if verdict := p.judgePoint(point); !verdict.Granted() {
			return verdict
		}
	}
	if slices.ContainsFunc(p.blocklists, func(list Blocklist) bool { return list.has(key) }) {
		return Verdict{ReasonBlocklisted, "the key is on the blocklist: its private key is public"}
	}
	return Verdict{Reason: ReasonGranted}
}

// mostExponentBits is what OpenSSL takes with moduli of more than 3072 bits (crypto/rsa, OPENSSL_RSA_MAX_PUBEXP_BITS): sshd
// verifies no signature by a longer one there. Below, e can be chosen so that its inverse is 1, or small enough to be found
// (Wiener 1990); no program makes such keys by itself.
const mostExponentBits = 64

// rsaWeakness finds exponents and moduli with which RSA is no secret. An exponent of 1 makes a signature its own message;
// an even one has no inverse (RFC 8017 section 3.1 wants e odd, at least 3); an even modulus has the factor 2.
// Small odd exponents stay: old ssh-keygen and PuTTY made keys with 35 and 37, and they are sound.
func rsaWeakness(n, e *big.Int) string {
	switch {
	case e.Cmp(big.NewInt(3)) < 0 || e.Bit(0) == 0:
		return "the RSA key's public exponent is below 3 or even: anybody can sign for it"
	case e.BitLen() > mostExponentBits:
		return fmt.Sprintf("the RSA key's public exponent has %d bits, more than %d: it can be chosen so that anybody can sign", e.BitLen(), mostExponentBits)
	case n.Bit(0) == 0:
		return "the RSA key's modulus is even: anybody can factor it"
	}
	return ""
}

// judgePoint refuses encoded points of edwards25519 that no key generation gives. A string that is no point at all stays:
// nobody can log in with it.
func (p *Policy) judgePoint(point [32]byte) Verdict {
	point[31] &= 0x7f // the sign of x; it makes another point of the same order, or another encoding of it
	switch {
	case p.smallOrder(point):
		return Verdict{ReasonWeak, "the ed25519 key is a point of small order: anybody can sign for it"}
	case !reduced(point):
		return Verdict{ReasonNotCanonical, "the ed25519 key is not the canonical encoding of its point (RFC 8032 section 5.1.3)"}
	}
	return Verdict{Reason: ReasonGranted}
}

// smallOrder reports whether a point, without its sign, has an order of at most 8. Such a point verifies signatures
// that anybody can make. The y coordinates are those of the eight torsion points, with the non-canonical encodings
// that RFC 8032 section 5.1.3 refuses and OpenSSH's decoder reduces modulo p.
func (p *Policy) smallOrder(point [32]byte) bool {
	return slices.Contains(p.smallOrderY[:], point)
}

// reduced reports whether the y of a point, without its sign, is less than p = 2^255 - 19. sshd compares and hashes the 32
// bytes, so that other bytes for the same point are another key to it.
func reduced(point [32]byte) bool {
	for _, b := range point[1:31] {
		if b != 0xff {
			return true
		}
	}
	return point[31] != 0x7f || point[0] < 0xed
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
		slices.Reverse(list[i][:])
	}
	return list
}
