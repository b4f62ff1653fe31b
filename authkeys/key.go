package authkeys

import (
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"math/bits"
	"strings"
)

// Key is a plain public key. Keys are comparable; two are equal if and only if sshd takes them for the same key. The zero
// Key is no key.
type Key struct {
	wire string // canonical wire encoding
}

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.wire == "" }

// Type is the name of the key's type as it stands in an authorized_keys line, like "ssh-rsa"; "" for the zero Key.
func (k Key) Type() string {
	r := reader{rest: k.wire}
	return r.text()
}

// Wire gives the canonical wire encoding (RFC 4253 section 6.6), a fresh copy.
func (k Key) Wire() []byte { return []byte(k.wire) }

// Fingerprint is "SHA256:" and the unpadded base64 of the hash of the wire encoding, as ssh-keygen -l shows it; "" for the
// zero Key.
func (k Key) Fingerprint() string {
	if k.IsZero() {
		return ""
	}
	return k.Sum().String()
}

// Sum is the SHA-256 of a key's wire encoding, by which a key is known that need not be shown any more.
type Sum [sha256.Size]byte

// Sum is that of the key.
func (k Key) Sum() Sum { return sha256.Sum256([]byte(k.wire)) }

// String is the fingerprint.
func (s Sum) String() string { return "SHA256:" + base64.RawStdEncoding.EncodeToString(s[:]) }

// String is the type and the base64 of the wire encoding with one space between, as in an authorized_keys line; "" for the
// zero Key.
func (k Key) String() string {
	if k.IsZero() {
		return ""
	}
	return string(k.appendTo(nil))
}

// appendTo writes String.
func (k Key) appendTo(dst []byte) []byte {
	dst = append(dst, k.Type()...)
	dst = append(dst, ' ')
	return base64.StdEncoding.AppendEncode(dst, []byte(k.wire))
}

// Bits is the size that ssh-keygen -l shows: the true bit length of the modulus of RSA and of the prime of DSA, whatever
// the length of their encoding was; the size of the curve otherwise; 0 for the zero Key.
func (k Key) Bits() int {
	r := reader{rest: k.wire}
	switch r.text() {
	case typeRSA:
		_ = r.text() // e stands before n
		return bitLen(r.bignum())
	case typeDSA:
		return bitLen(r.bignum())
	case typeECDSA384:
		return 384
	case typeECDSA521:
		return 521
	case typeECDSA256, typeSKECDSA, typeEd25519, typeSKEd25519, typeMLDSA44:
		return 256
	default:
		return 0
	}
}

// bitLen is the bit length of a number in trimmed big-endian bytes.
func bitLen(trimmed string) int {
	if trimmed == "" {
		return 0
	}
	return (len(trimmed)-1)*8 + bits.Len8(trimmed[0])
}

// RSA gives modulus and public exponent of an RSA key; ok is false for any other type. sshd takes any exponent, also 1 and
// even ones: judging it is the caller's matter.
func (k Key) RSA() (n, e *big.Int, ok bool) {
	r := reader{rest: k.wire}
	if r.text() != typeRSA {
		return nil, nil, false
	}
	e = new(big.Int).SetBytes([]byte(r.bignum()))
	n = new(big.Int).SetBytes([]byte(r.bignum()))
	return n, e, true
}

// Ed25519 gives the encoded point of an ssh-ed25519 or sk-ssh-ed25519@openssh.com key; ok is false for any other type. sshd
// takes any 32 bytes, also points of low order: judging it is the caller's matter.
func (k Key) Ed25519() (point [32]byte, ok bool) {
	r := reader{rest: k.wire}
	switch r.text() {
	case typeEd25519, typeSKEd25519:
		copy(point[:], r.text())
		return point, true
	default:
		return point, false
	}
}

// Number is the one number by which blocklists know a key, whatever else its encoding says: the modulus of RSA, the x coordinate of ECDSA,
// the encoded point of Ed25519, read as a big-endian number; in bytes without leading zeros. Nil for other types.
func (k Key) Number() []byte {
	r := reader{rest: k.wire}
	var number string
	switch r.text() {
	case typeRSA:
		_ = r.text() // e stands before n
		number = r.bignum()
	case typeEd25519, typeSKEd25519:
		number = r.text()
	case typeECDSA256, typeECDSA384, typeECDSA521, typeSKECDSA:
		_ = r.text() // the curve
		point := r.text()
		number = point[1 : 1+len(point)/2] // after the byte that says "uncompressed"
	default:
		return nil
	}
	return []byte(strings.TrimLeft(number, "\x00"))
}
