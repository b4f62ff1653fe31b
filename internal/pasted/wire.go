package pasted

import (
	"encoding/binary"
	"math/big"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// The states of a wire blob that is being measured.
type state int

const (
	unknown state = iota // it begins with no type of key
	complete
	short   // it ends before its lengths do
	damaged // its lengths are those of no key
)

// measure gives the name of a blob's type and the size that its lengths say (RFC 4251 section 5).
func measure(wire []byte) (name string, size int, s state) {
	first, is := field(wire)
	name = string(first)
	if !is || len(first) == 0 {
		return "", 0, unknown
	}
	if strings.HasSuffix(name, "-cert-v01@openssh.com") {
		return name, 0, complete
	}
	fields := fieldsOf(name)
	if fields == 0 {
		return "", 0, unknown
	}
	for range fields {
		if size+4 > len(wire) {
			return name, 0, short
		}
		length := binary.BigEndian.Uint32(wire[size:])
		if length > maxKey || size+4+int(length) > maxKey {
			return name, 0, damaged
		}
		size += 4 + int(length)
	}
	return name, size, complete // although the end of the last field may be missing
}

// fieldsOf is how many fields the blob of a type has with its name (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4,
// PROTOCOL.u2f of OpenSSH); 0 for an unknown type.
func fieldsOf(name string) int {
	switch name {
	case "ssh-ed25519", "ssh-mldsa44-ed25519@openssh.com":
		return 2
	case "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com":
		return 3
	case "sk-ecdsa-sha2-nistp256@openssh.com":
		return 4
	case "ssh-dss":
		return 5
	}
	return 0
}

// field is the first field of a blob, if all of it is there.
func field(wire []byte) ([]byte, bool) {
	if len(wire) < 4 {
		return nil, false
	}
	size := binary.BigEndian.Uint32(wire)
	if int64(size) > int64(len(wire)-4) {
		return nil, false
	}
	return wire[4 : 4+size], true
}

// tinyRSA says whether a blob is an RSA key that is none for its size alone (sshkey.c, SSH_RSA_MINIMUM_MODULUS_SIZE).
func tinyRSA(blob []byte) bool {
	name, is := field(blob)
	if !is || string(name) != "ssh-rsa" {
		return false
	}
	exponent, is := field(blob[4+len(name):])
	if !is {
		return false
	}
	modulus, is := field(blob[8+len(name)+len(exponent):])
	return is && new(big.Int).SetBytes(modulus).BitLen() < 1024
}

// genuine says whether a key can be one that a program made. Of 32 bytes half are no point of edwards25519: y has an x if and only if (y^2-1)/(d y^2+1) is a
// square modulo p (RFC 8032 section 5.1.3). sshd takes such a line, and nobody can log in by it: a character of it was changed.
func genuine(key authkeys.Key) bool {
	point, is := key.Ed25519()
	if !is {
		return true
	}
	point[31] &= 0x7f
	slices.Reverse(point[:])
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)
	square := new(big.Int).SetBytes(point[:])
	square.Mul(square, square).Mod(square, p)
	below := new(big.Int).Mul(d, square)
	below.Add(below, big.NewInt(1)).Mod(below, p)
	above := square.Sub(square, big.NewInt(1))
	// A quotient is a square where the product is; d y^2 + 1 is never 0, since -1/d is no square.
	return big.Jacobi(above.Mul(above, below).Mod(above, p), p) >= 0
}
