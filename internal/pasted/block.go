package pasted

import (
	"bytes"
	"crypto/dsa" //nolint:staticcheck // old keys are to be named, not used
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"math/big"
	"regexp"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// begins finds the first line of RFC 4716 section 3.2 and of RFC 7468 section 2, with as many dashes as a word processor has left.
var begins = regexp.MustCompile(`-+ ?BEGIN ([A-Z0-9 ]{1,40}?) ?-+`)

// block reads a key between BEGIN and END.
func block(text string) (Diagnosis, bool) {
	marks := begins.FindAllStringSubmatchIndex(text, 3)
	if len(marks) == 0 {
		return Diagnosis{}, false
	}
	label := text[marks[0][2]:marks[0][3]]
	body := text[marks[0][1]:]
	read, code := reader(label)
	switch {
	case strings.Contains(label, "CERTIFICATE") || label == "PKCS7" || label == "CMS":
		return say(X509), true
	case strings.HasPrefix(label, "PGP "):
		return say(PGP), true
	case read == nil:
		return say(NotAKey), true
	case len(marks) > 1:
		return say(SeveralKeys), true
	}
	body, _, ended := strings.Cut(body, "-END")
	if !ended {
		body, _, ended = strings.Cut(body, "- END")
	}
	data, err := base64.StdEncoding.DecodeString(strings.Trim(strings.Join(strings.Fields(headless(body)), ""), "-"))
	if err != nil || !ended {
		return say(CutBlock), true
	}
	return converted(read(data), code), true
}

// reader gives what reads the bytes of a block, and the code of its form.
func reader(label string) (func([]byte) []byte, Code) {
	switch label {
	case "SSH2 PUBLIC KEY":
		return func(data []byte) []byte { return data }, RFC4716
	case "PUBLIC KEY":
		return fromPKIX, PEM
	case "RSA PUBLIC KEY":
		return fromPKCS1, PKCS1
	}
	return nil, ""
}

// headless drops the headers of RFC 4716 section 3.3: "Tag: value", which goes on in the next line behind a backslash.
func headless(body string) string {
	var kept []string
	continued := false
	for line := range strings.SplitSeq(strings.ReplaceAll(body, "\r", "\n"), "\n") {
		header := continued || strings.Contains(line, ":")
		continued = header && strings.HasSuffix(line, `\`)
		if !header {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// converted makes a line of the wire encoding of a key that was in another form.
func converted(blob []byte, form Code) Diagnosis {
	key, err := authkeys.ParseBlob(blob)
	switch {
	case err != nil && tinyRSA(blob):
		return say(TinyRSA)
	case err != nil || !genuine(key):
		return say(CutBlock)
	}
	d := tell(form, entry(key, ""))
	if form == PEM && key.Type() == "ssh-ed25519" {
		d.Do = nil // of PKCS8 ssh-keygen -i reads RSA, DSA and ECDSA (do_convert_from_pkcs8 of ssh-keygen.c)
	}
	return d
}

// noText reads a file that is no text. Not every byte string that is none is told from text.
func noText(text []byte) (Diagnosis, bool) {
	if blob := text; len(blob) > 8 && blob[0] == 0 && blob[1] == 0 {
		if key, err := authkeys.ParseBlob(blob); err == nil && genuine(key) {
			return tell(BinaryKey, entry(key, "")), true
		}
		if _, size, s := measure(blob); s != unknown && size < len(blob) {
			return say(PrivateKey), true // Dropbear's file: the same beginning, and the private numbers behind it
		}
	}
	if bytes.HasPrefix(text, []byte{0x30, 0x82}) || bytes.HasPrefix(text, []byte{0x30, 0x81}) || bytes.HasPrefix(text, []byte{0x30, 0x2a, 0x30}) {
		if _, err := x509.ParseCertificate(text); err == nil {
			return say(X509), true
		}
		for _, read := range []func([]byte) []byte{fromPKIX, fromPKCS1} {
			if key, err := authkeys.ParseBlob(read(text)); err == nil && genuine(key) {
				return tell(BinaryKey, entry(key, "")), true
			}
		}
	}
	if _, is := fromUTF16(text); is {
		return Diagnosis{}, false
	}
	controls := 0
	for _, b := range text {
		if b < ' ' && !strings.ContainsRune("\x00\t\n\v\f\r\x1b", rune(b)) {
			controls++
		}
	}
	if controls > len(text)/20 {
		return say(Binary), true
	}
	return Diagnosis{}, false
}

// fromPKIX gives the wire encoding of a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7, RFC 8410); nil of anything else.
func fromPKIX(der []byte) []byte {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		return wireRSA(key)
	case ed25519.PublicKey:
		return fields([]byte("ssh-ed25519"), key)
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			return nil
		}
		curve := map[int]string{256: "nistp256", 384: "nistp384", 521: "nistp521"}[key.Params().BitSize]
		return fields([]byte("ecdsa-sha2-"+curve), []byte(curve), point)
	case *dsa.PublicKey:
		return fields([]byte("ssh-dss"), mpint(key.P), mpint(key.Q), mpint(key.G), mpint(key.Y))
	}
	return nil
}

// fromPKCS1 is the same of an RSAPublicKey (RFC 8017 A.1.1).
func fromPKCS1(der []byte) []byte {
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return nil
	}
	return wireRSA(key)
}

func wireRSA(key *rsa.PublicKey) []byte {
	return fields([]byte("ssh-rsa"), mpint(big.NewInt(int64(key.E))), mpint(key.N))
}

// mpint is a number that is not negative, as RFC 4251 section 5 writes it.
func mpint(n *big.Int) []byte {
	if n.BitLen()%8 == 0 && n.Sign() > 0 {
		return append([]byte{0}, n.Bytes()...)
	}
	return n.Bytes()
}

// fields writes the strings of RFC 4251 section 5.
func fields(list ...[]byte) (wire []byte) {
	for _, f := range list {
		wire = append(binary.BigEndian.AppendUint32(wire, uint32(len(f))), f...) //nolint:gosec // of a text of 64 KiB
	}
	return wire
}
