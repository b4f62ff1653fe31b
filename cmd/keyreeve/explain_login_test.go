package main

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
)

// A text is the key that it names and no other, or an error.
func TestParseLogin(t *testing.T) {
	_, keys := vectors(t)
	line, err := authkeys.ParseValue([]byte(keys["A"]))
	if err != nil {
		t.Fatal(err)
	}
	other, err := authkeys.ParseValue([]byte(keys["B"]))
	if err != nil {
		t.Fatal(err)
	}
	a, b := line.Key.Fingerprint(), other.Key.Fingerprint()
	sum := md5.Sum(line.Key.Wire())
	plain := hex.EncodeToString(sum[:])
	colons := strings.ToUpper(byMD5(sum[:])[len("MD5:"):])
	for text, want := range map[string]bool{
		a: true, " " + a + "\n": true, a + "=": true, "ED25519 " + a: true, "SK-ED25519  " + a: true, "ED25519-CERT " + a + " ID x (serial 0) CA ED25519 " + b: true,
		"MD5:" + plain: true, "RSA MD5:" + colons: true, keys["A"] + " a comment": true, `from="192.0.2.1" ` + keys["A"]: true,
		"": false, "SHA256:": false, a[1:]: false, a + "A": false, a[:len(a)-1]: false, a + " " + a: false, "ED25519 " + a + " " + b: false, b + " ID " + a: false,
		"ed25519 " + a: false, strings.ToLower(a): false, "MD5:": false, "MD5:" + plain[2:]: false, "MD5:" + plain + "00": false, plain: false,
		"Accepted publickey for ada from 192.0.2.7 port 1 ssh2: ED25519 " + a: false, keys["D_by_A"]: false, "# " + a: false,
	} {
		got, err := parseLogin(text)
		switch {
		case !want && err == nil:
			t.Errorf("%q is %q", text, got.text)
		case want && err != nil:
			t.Errorf("%q: %v", text, err)
		case want && (!got.is(line.Key) || got.is(other.Key) || got.is(authkeys.Key{})):
			t.Errorf("%q is %q, and another key", text, got.text)
		case want && got.sha256 != "" && got.sha256 != a:
			t.Errorf("%q is %q", text, got.sha256)
		}
	}
}
