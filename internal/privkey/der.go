package privkey

import (
	"bytes"
	"crypto/ed25519"
	"encoding/asn1"
)

// Tags of DER (X.690 section 8.1.2).
const (
	integer     = asn1.TagInteger
	bitString   = asn1.TagBitString
	octetString = asn1.TagOctetString
	objectID    = asn1.TagOID
	sequence    = asn1.TagSequence | 0x20
	tagged0     = 0xa0
	tagged1     = 0xa1
)

// der reads elements one after the other. It is not encoding/asn1's, which would make numbers of the private half.
type der struct {
	rest []byte
	bad  bool // it was not what was asked for
}

// next is the content of the next element, which has a tag.
func (d *der) next(tag byte) []byte {
	content, rest, is := element(d.rest, tag)
	if !is || d.bad {
		d.rest, d.bad = nil, true
		return nil
	}
	d.rest = rest
	return content
}

// optional is next of what may not be there.
func (d *der) optional(tag byte) []byte {
	if len(d.rest) == 0 || d.rest[0] != tag {
		return nil
	}
	return d.next(tag)
}

// element takes one element off, whose length has at most three bytes (X.690 section 8.1.3).
func element(text []byte, tag byte) (content, rest []byte, is bool) {
	if len(text) < 2 || text[0] != tag {
		return nil, nil, false
	}
	size, text := int(text[1]), text[2:]
	if size >= 0x80 {
		count := size - 0x80
		if count < 1 || count > 3 || count > len(text) {
			return nil, nil, false
		}
		size = 0
		for _, b := range text[:count] {
			size = size<<8 | int(b)
		}
		text = text[count:]
	}
	if size > len(text) {
		return nil, nil, false
	}
	return text[:size], text[size:], true
}

// open enters the one sequence that a text is, which begins with one of these versions.
func open(text []byte, versions ...byte) *der {
	outer := der{rest: text}
	inner := &der{rest: outer.next(sequence)}
	version := inner.next(integer)
	inner.bad = inner.bad || outer.bad || len(outer.rest) > 0 || len(version) != 1 || !bytes.Contains(versions, version)
	return inner
}

// numbers are the contents of a number of integers, which are those of mpint (RFC 4251 section 5).
func (d *der) numbers(count int) (list [][]byte) {
	for range count {
		list = append(list, d.next(integer))
	}
	return list
}

// pkcs1 reads an RSAPrivateKey (RFC 8017 A.1.2): n, e, d, p, q, two exponents, the coefficient.
func pkcs1(text []byte) (public []byte, is bool) {
	d := open(text, 0, 1)
	n := d.numbers(8)
	return fields([]byte("ssh-rsa"), n[1], n[0]), !d.bad
}

// dsa reads OpenSSL's form of DSA keys: p, q, g, y, x.
func dsa(text []byte) (public []byte, is bool) {
	d := open(text, 0)
	n := d.numbers(5)
	return fields([]byte("ssh-dss"), n[0], n[1], n[2], n[3]), !d.bad
}

// sec1 reads an ECPrivateKey (RFC 5915 section 3).
func sec1(text []byte) (public []byte, is bool) { return sec1On(text, nil) }

// sec1On is sec1 of a key whose curve may be said elsewhere.
func sec1On(text, curve []byte) (public []byte, is bool) {
	d := open(text, 1)
	secret := d.next(octetString)
	if said := (&der{rest: d.optional(tagged0)}).optional(objectID); said != nil {
		curve = said
	}
	point := (&der{rest: d.optional(tagged1)}).optional(bitString)
	name := curveName(curve)
	if len(point) > 1 && name != "" {
		public = fields([]byte("ecdsa-sha2-"+name), []byte(name), point[1:]) // the first byte counts unused bits
	}
	return public, !d.bad && len(secret) > 0
}

// curveName is SSH's name of a curve (RFC 5656 section 10.1); empty: it has none.
func curveName(oid []byte) string {
	switch string(oid) {
	case "\x2a\x86\x48\xce\x3d\x03\x01\x07":
		return "nistp256"
	case "\x2b\x81\x04\x00\x22":
		return "nistp384"
	case "\x2b\x81\x04\x00\x23":
		return "nistp521"
	}
	return ""
}

// pkcs8 reads a OneAsymmetricKey (RFC 5958 section 2). A key of a type that is not known here is one all the same.
func pkcs8(text []byte) (public []byte, is bool) {
	d := open(text, 0, 1)
	algorithm := der{rest: d.next(sequence)}
	secret := d.next(octetString)
	name := algorithm.next(objectID)
	if d.bad || algorithm.bad || len(secret) == 0 {
		return nil, false
	}
	switch string(name) {
	case "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01": // rsaEncryption (RFC 8017 C)
		return pkcs1(secret)
	case "\x2a\x86\x48\xce\x3d\x02\x01": // id-ecPublicKey (RFC 5480 section 2.1.1)
		return sec1On(secret, algorithm.optional(objectID))
	case "\x2b\x65\x70": // id-Ed25519 (RFC 8410 section 3)
		return ed25519Half(secret)
	}
	return nil, true
}

// ed25519Half computes what the file does not show.
func ed25519Half(secret []byte) (public []byte, is bool) {
	seed, rest, is := element(secret, octetString)
	if !is || len(rest) > 0 || len(seed) != ed25519.SeedSize {
		return nil, false
	}
	key := ed25519.NewKeyFromSeed(seed)
	defer clear(key)
	half := bytes.Clone(key[ed25519.SeedSize:])
	return fields([]byte("ssh-ed25519"), half), true
}
