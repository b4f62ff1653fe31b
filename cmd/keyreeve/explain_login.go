package main

import (
	"crypto/md5" //nolint:gosec // FingerprintHash md5 of sshd_config(5); nothing is trusted by it
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// fingerprint is what names the key of a login.
type fingerprint struct {
	text   string // in its plain form
	sha256 string // empty where only the MD5 is known
	is     func(authkeys.Key) bool
}

// parseLogin reads what sshd logs of a key behind "ssh2:" (format_method_key in auth.c of OpenSSH: the type, the fingerprint by FingerprintHash,
// and of a certificate more; the fingerprint is that of the key then), the fingerprint alone, or a line with the key.
func parseLogin(text string) (fingerprint, error) {
	text = strings.TrimSpace(text)
	last := text
	if parts := logged().FindStringSubmatch(text); parts != nil {
		last = parts[1]
	}
	if digest, found := strings.CutPrefix(last, "SHA256:"); found {
		raw, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(digest, "="))
		if err != nil || len(raw) != 32 {
			return fingerprint{}, fmt.Errorf("%q is no fingerprint: behind SHA256: are 43 characters of base64", last)
		}
		return bySHA256("SHA256:" + strings.TrimRight(digest, "=")), nil
	}
	if digest, found := strings.CutPrefix(last, "MD5:"); found {
		raw, err := hex.DecodeString(strings.ReplaceAll(digest, ":", ""))
		if err != nil || len(raw) != md5.Size {
			return fingerprint{}, fmt.Errorf("%q is no fingerprint: behind MD5: are 16 bytes in hex", last)
		}
		plain := byMD5(raw)
		return fingerprint{text: plain, is: func(k authkeys.Key) bool {
			sum := md5.Sum(k.Wire()) //nolint:gosec // as above
			return byMD5(sum[:]) == plain
		}}, nil
	}
	line, err := authkeys.ParseValue([]byte(text))
	if err != nil {
		return fingerprint{}, withHint(errors.Join(errors.New("neither a fingerprint nor a key"), err),
			"sshd's log has it at the end of \"Accepted publickey for ...\", such as \"ED25519 SHA256:...\"")
	}
	return bySHA256(line.Key.Fingerprint()), nil
}

// logged is the form of that: a type such as ED25519, ECDSA-SK or RSA-CERT, the fingerprint, and what a certificate is.
func logged() *regexp.Regexp { return regexp.MustCompile(`^[A-Z][A-Z0-9-]* +(\S+)(?: ID .*)?$`) }

func bySHA256(text string) fingerprint {
	return fingerprint{text: text, sha256: text, is: func(k authkeys.Key) bool { return k.Fingerprint() == text }}
}

// byMD5 is the form of ssh-keygen -l -E md5.
func byMD5(sum []byte) string {
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = hex.EncodeToString([]byte{b})
	}
	return "MD5:" + strings.Join(pairs, ":")
}
