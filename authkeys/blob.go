package authkeys

import (
	"crypto/ecdh"
	"strings"
)

// The types of plain keys that OpenSSH 9.2 to 10.5 knows, by the names of their keyimpls in sshkey.c. DSA ended with 10.0,
// the composite of ML-DSA 44 and Ed25519 began with 10.4.
const (
	typeRSA       = "ssh-rsa"
	typeDSA       = "ssh-dss"
	typeEd25519   = "ssh-ed25519"
	typeECDSA256  = "ecdsa-sha2-nistp256"
	typeECDSA384  = "ecdsa-sha2-nistp384"
	typeECDSA521  = "ecdsa-sha2-nistp521"
	typeSKEd25519 = "sk-ssh-ed25519@openssh.com"
	typeSKECDSA   = "sk-ecdsa-sha2-nistp256@openssh.com"
	typeMLDSA44   = "ssh-mldsa44-ed25519@openssh.com"

	typeCertificate = "certificate" // stands for every certificate type: none of them is ever a key here
)

// Sizes and bounds of sshkey.c and its key types.
const (
	ed25519Size = 32
	mldsa44Size = 1312 + ed25519Size
	minRSABits  = 1024 // SSH_RSA_MINIMUM_MODULUS_SIZE
)

// typeByName gives the type that a name in a line or in a blob means, "" for an unknown one. Names are compared byte by
// byte. The names of signature algorithms count as the type of their key (the sigonly entries of keyimpls in sshkey.c).
func typeByName(name string) string {
	switch name {
	case typeRSA, "rsa-sha2-256", "rsa-sha2-512":
		return typeRSA
	case typeSKECDSA, "webauthn-sk-ecdsa-sha2-nistp256@openssh.com":
		return typeSKECDSA
	case typeDSA, typeEd25519, typeECDSA256, typeECDSA384, typeECDSA521, typeSKEd25519, typeMLDSA44:
		return name
	case "ssh-rsa-cert-v01@openssh.com", "rsa-sha2-256-cert-v01@openssh.com", "rsa-sha2-512-cert-v01@openssh.com",
		"ssh-dss-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com",
		"ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp384-cert-v01@openssh.com",
		"ecdsa-sha2-nistp521-cert-v01@openssh.com",
		"sk-ssh-ed25519-cert-v01@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
		"webauthn-sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", "ssh-mldsa44-ed25519-cert-v01@openssh.com":
		return typeCertificate
	default:
		return ""
	}
}

// innerType gives the type that a name inside a blob means, "" for an unknown one. Servers up to 9.8 also take the short
// names there, in any case. ECDSA and ECDSA-SK have short names too, but then no curve is found and the key is refused.
func innerType(name string) string {
	if known := typeByName(name); known != "" {
		return known
	}
	switch lower(name) {
	case "rsa":
		return typeRSA
	case "dsa":
		return typeDSA
	case "ed25519":
		return typeEd25519
	case "ed25519-sk":
		return typeSKEd25519
	default:
		return ""
	}
}

// ParseBlob reads a key in wire encoding as sshkey_froms of OpenSSH's sshkey.c does, and gives its canonical form: aliases
// of the type name inside the blob become the type's name, integers lose their leading zeros, a NUL at the end of a name is
// dropped. Refused, as there: bytes after the key, negative integers and those over 16384 bits, RSA below 1024 bits, EC
// points that are compressed, at infinity or not on their curve.
//
// The error is a *ParseError; errors.Is finds ErrCertificate or ErrUnknownType in it where one of them is the reason.
func ParseBlob(blob []byte) (Key, error) {
	key, err := parseBlob(blob)
	if err != nil {
		return Key{}, err
	}
	return key, nil
}

// ParseCertificate reads an OpenSSH certificate in wire encoding (PROTOCOL.certkeys, sshkey.c cert_parse): the key that is certified, and the
// authority's that signed it, which are judged as ParseBlob does. The signature is not looked at: sshd has checked it before anybody is told
// of the certificate. The error is a *ParseError.
func ParseCertificate(blob []byte) (key, authority Key, err error) {
	r := &reader{rest: string(blob)}
	name := r.cstring()
	plain := typeByName(strings.Replace(name, "-cert-v01@openssh.com", "", 1))
	if plain == "" || plain == typeCertificate {
		plain = typeByName(strings.Replace(name, "-cert-v01@openssh.com", "@openssh.com", 1)) // sk keys
	}
	if typeByName(name) != typeCertificate || plain == "" {
		return Key{}, Key{}, &ParseError{Reason: ReasonTypeUnknown, Detail: "type " + quoted(name) + " of a certificate"}
	}
	_ = r.text() // nonce
	wire, bad := body(appendText(nil, plain), plain, r)
	r.skip(8 + 4)                           // serial, type
	_, _ = r.text(), r.text()               // key id, principals
	r.skip(8 + 8)                           // valid after, before
	_, _, _ = r.text(), r.text(), r.text()  // critical options, extensions, reserved
	signer, _ := []byte(r.text()), r.text() // the signature follows
	switch {
	case r.bad || r.rest != "":
		return Key{}, Key{}, malformedKey("the %s blob ends early or late, or holds a bad field", quoted(name))
	case bad != nil:
		return Key{}, Key{}, bad
	}
	if authority, err = ParseBlob(signer); err != nil {
		return Key{}, Key{}, err
	}
	return Key{wire: string(wire)}, authority, nil
}

// parseBlob is ParseBlob with the error's own type.
func parseBlob(blob []byte) (Key, *ParseError) {
	r := &reader{rest: string(blob)}
	name := r.cstring()
	if r.bad {
		return Key{}, malformedKey("the blob does not begin with a type name")
	}
	kind := innerType(name)
	switch kind {
	case "":
		return Key{}, &ParseError{Reason: ReasonTypeUnknown, Detail: "type " + quoted(name) + " in the blob"}
	case typeCertificate:
		return Key{}, &ParseError{Reason: ReasonCertificate, Detail: "type " + quoted(name) + " in the blob"}
	}
	wire, err := body(appendText(make([]byte, 0, len(blob)+16), kind), kind, r)
	switch {
	case r.bad:
		return Key{}, malformedKey("the %s blob ends early or holds a bad field", kind)
	case err != nil:
		return Key{}, err
	case r.rest != "":
		return Key{}, malformedKey("%d bytes after the %s key", len(r.rest), kind)
	}
	return Key{wire: string(wire)}, nil
}

// body reads the fields of a key of one type and appends them canonically. Missing fields show in r.bad.
func body(dst []byte, kind string, r *reader) ([]byte, *ParseError) {
	switch kind {
	case typeRSA:
		e, n := r.bignum(), r.bignum()
		if bitLen(n) < minRSABits && !r.bad {
			return nil, malformedKey("RSA modulus of %d bits, sshd wants %d", bitLen(n), minRSABits)
		}
		return appendBignum(appendBignum(dst, e), n), nil
	case typeDSA:
		for range 4 { // p, q, g, y
			dst = appendBignum(dst, r.bignum())
		}
		return dst, nil
	case typeEd25519:
		return fixed(dst, r, ed25519Size)
	case typeMLDSA44:
		return fixed(dst, r, mldsa44Size)
	case typeSKEd25519:
		dst, err := fixed(dst, r, ed25519Size)
		return appendText(dst, r.cstring()), err
	case typeECDSA256:
		return point(dst, r, "nistp256", ecdh.P256())
	case typeECDSA384:
		return point(dst, r, "nistp384", ecdh.P384())
	case typeECDSA521:
		return point(dst, r, "nistp521", ecdh.P521())
	case typeSKECDSA:
		dst, err := point(dst, r, "nistp256", ecdh.P256())
		return appendText(dst, r.cstring()), err
	default:
		return nil, malformedKey("no reader for type %s", kind)
	}
}

// fixed copies a field that has one possible length.
func fixed(dst []byte, r *reader, size int) ([]byte, *ParseError) {
	value := r.text()
	if len(value) != size && !r.bad {
		return nil, malformedKey("public key of %d bytes instead of %d", len(value), size)
	}
	return appendText(dst, value), nil
}

// point copies curve name and point of an ECDSA key (ssh_ecdsa_deserialize_public): uncompressed form, on the curve, not
// the point at infinity. crypto/ecdh checks exactly that; the curves have cofactor 1, so no further check is due.
func point(dst []byte, r *reader, curve string, group ecdh.Curve) ([]byte, *ParseError) {
	name, value := r.cstring(), r.text()
	if r.bad {
		return nil, nil
	}
	if name != curve {
		return nil, malformedKey("curve %s instead of %s", quoted(name), curve)
	}
	if _, err := group.NewPublicKey([]byte(value)); err != nil {
		return nil, malformedKey("no uncompressed point on %s", curve)
	}
	return appendText(appendText(dst, curve), value), nil
}
