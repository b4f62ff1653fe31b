package pasted

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Private says whether a text is a private key, or may be a part of one: by the marks of the forms in which ssh-keygen, PuTTY, GnuPG and
// OpenSSL write them, anywhere, since a public key may stand before it in the same text.
func Private(text []byte) bool {
	upper := bytes.ToUpper(text)
	for _, mark := range []string{
		"PRIVATE KEY--",           // PEM (RFC 7468, RFC 1421) and ssh-keygen
		"PRIVATE KEY BLOCK--",     // OpenPGP (RFC 9580 section 6.2)
		"PROC-TYPE:", "DEK-INFO:", // the second and third line of PEM
		"PUTTY-USER-KEY-FILE", "PRIVATE-LINES", // PuTTY, and its line before the private part
		"SSH PRIVATE KEY FILE FORMAT", // SSH-1
		"BEGIN SSH2 ENCRYPTED PRIVATE",
		"AGE-SECRET-KEY-1", // age
	} {
		if bytes.Contains(upper, []byte(mark)) {
			return true
		}
	}
	// The first bytes of ssh-keygen's form (PROTOCOL.key of OpenSSH), bare and in base64.
	if bytes.Contains(text, []byte("openssh-key-v1\x00")) || bytes.Contains(text, []byte("b3BlbnNzaC1rZXktdjE")) {
		return true
	}
	return privateDER(text)
}

// privateDER finds PKCS #1, PKCS #8 and SEC 1 without their first line, bare or in base64: a sequence that begins with the version
// 0 or 1 (RFC 8017 A.1.2, RFC 5958 section 2, RFC 5915 section 3), with 3, as PKCS #12 does (RFC 7292 section 4), or with PKCS #5 (RFC 5958 section 3). Public keys and
// certificates begin with another sequence or with a number of the size of the key.
func privateDER(text []byte) bool {
	head := text[:min(len(text), 64)]
	if dense := bytes.Join(bytes.Fields(head), nil); len(dense) >= 16 && dense[0] == 'M' {
		decoded := make([]byte, 48)
		n, _ := base64.StdEncoding.Decode(decoded, dense[:len(dense)/4*4]) // what comes before an error counts
		head = decoded[:n]
	}
	if len(head) < 8 || head[0] != 0x30 {
		return false
	}
	rest := head[2:] // a length of one byte, or after it as many as its lower bits say
	if size := head[1]; size > 0x80 {
		if int(size-0x80) > len(rest) {
			return false
		}
		rest = rest[size-0x80:]
	}
	return bytes.HasPrefix(rest, []byte{2, 1, 0}) || bytes.HasPrefix(rest, []byte{2, 1, 1}) || bytes.HasPrefix(rest, []byte{2, 1, 3}) ||
		bytes.Contains(rest, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5})
}

// private is Private of a text that went through other programs: also where its words were wrapped,
// or have the "+" of a web form between them, or all of it is base64 once more.
func private(text string) bool {
	words := strings.Fields(text)
	joined := strings.Join(words, " ")
	if Private([]byte(text)) || Private([]byte(joined)) || Private([]byte(strings.ReplaceAll(joined, "+", " "))) {
		return true
	}
	dense := strings.TrimRight(strings.Join(words, ""), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(dense)
	return err == nil && Private(decoded)
}

// secret is what is said of a text that holds a private key.
func secret(text string) Diagnosis {
	text, _ = cleaned([]byte(text))
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "PuTTY-User-Key-File-") {
		if key, is := puttyPublic(text); is {
			return tell(PuTTY, entry(key, ""))
		}
	}
	return say(PrivateKey)
}

// puttyPublic finds the public half in a file of PuTTY's (PuTTY's manual, appendix C): "Public-Lines: N", then N lines of base64.
func puttyPublic(text string) (authkeys.Key, bool) {
	var public strings.Builder
	left := 0
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if count, is := strings.CutPrefix(line, "Public-Lines:"); is {
			if left, _ = strconv.Atoi(strings.TrimSpace(count)); left < 1 || public.Len() > 0 {
				return authkeys.Key{}, false
			}
		} else if left > 0 {
			public.WriteString(strings.TrimSpace(line))
			left--
		}
	}
	blob, err := base64.StdEncoding.DecodeString(public.String())
	if err != nil {
		return authkeys.Key{}, false
	}
	key, err := authkeys.ParseBlob(blob)
	return key, err == nil && genuine(key)
}
