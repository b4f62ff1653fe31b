package ldapsource

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/pasted"
	"github.com/keyreeve/keyreeve/registry"
)

// decodeValues gives a user with one good key and some more values.
func decodeValues(t *testing.T, values ...string) registry.User {
	t.Helper()
	got, err := posix().Decode([]Entry{userEntry("alice", 3001, append(values, keyText(9))...)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := got.User("alice")
	return u
}

// One bad value costs that value only, and has a code; what was only ill pasted counts, with a remark.
func TestValues(t *testing.T) {
	one, two := keyText(1), keyText(2)
	blob := record(t, "alice", one).Key.Wire()
	wrapped := one[:40] + "\n" + one[40:]
	for name, c := range map[string]struct {
		value   string
		keys    int // beside the good one
		rejects string
		remarks string
		detail  string
	}{
		"plain":                {one, 1, "", "", ""},
		"a blob":               {string(blob), 1, "", "", ""},
		"blanks around":        {"  " + one + "  ", 1, "", "", ""},
		"LF":                   {one + "\n", 1, "", "crlf", "ends with a line break"},
		"CRLF":                 {one + " me\r\n", 1, "", "crlf", "ends with a line break"},
		"many":                 {one + "\r\n\r\n", 1, "", "crlf", ""},
		"NUL":                  {one + "\x00", 1, "", "nul", "ends with a NUL byte"},
		"LF and NUL":           {one + "\n\x00", 1, "", "crlf,nul", ""},
		"two NULs":             {one + "\x00\x00", 0, "nul", "", "it holds a NUL byte"},
		"NUL within":           {one + "\x00" + two, 0, "nul", "", "it holds a NUL byte"},
		"NUL in front":         {"\x00" + one, 0, "unparsable", "", ""},
		"a blob and NUL":       {string(blob) + "\x00", 0, "unparsable", "", "1 bytes after"},
		"two lines":            {one + "\n" + two, 0, "several-keys", "", "2 keys in one value"},
		"two lines, CRLF":      {one + "\r\n" + two + "\r\n", 0, "several-keys", "", "2 keys in one value"},
		"two lines, lone CR":   {one + " a\r" + two + " b", 0, "several-keys", "", "2 keys in one value"},
		"twice the same":       {one + "\n" + one, 0, "several-keys", "", ""},
		"a comment before":     {"# laptop\n" + one, 0, "unparsable", "", "more than one line"},
		"wrapped":              {wrapped, 0, "unparsable", "", "one key that was broken into several lines"},
		"RFC 4716":             {"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----", 0, "unparsable", "", "ssh-keygen -i"},
		"cut off":              {one[:len(one)-5], 0, "unparsable", "", "bad base64"},
		"no type":              {strings.Fields(one)[1], 0, "unparsable", "", "fewer fields"},
		"unknown type":         {"ssh-new AAAA laptop", 0, "unparsable", "", "no type of key that OpenSSH knows"},
		"options":              {`from="192.0.2.1",no-pty ` + one, 1, "", "", ""},
		"an unknown option":    {"sudo " + one, 0, "options", "", "sudo"},
		"an option sshd hates": {`expiry-time="tomorrow" ` + one, 0, "options", "", "expiry-time"},
		"empty":                {"", 0, "unparsable", "", ""},
		"a comment":            {"# none", 0, "unparsable", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := decodeValues(t, c.value)
			codes := func(list []registry.Reject) string {
				var out []string
				for _, r := range list {
					if r.Origin != userDN("alice") {
						t.Errorf("origin %q", r.Origin)
					}
					out = append(out, r.Code)
				}
				return strings.Join(out, ",")
			}
			if len(u.Records) != 1+c.keys || codes(u.Rejects) != c.rejects || codes(u.Remarks) != c.remarks {
				t.Fatalf("%d keys, rejects %+v, remarks %+v", len(u.Records), u.Rejects, u.Remarks)
			}
			for _, r := range slices.Concat(u.Rejects, u.Remarks)[:min(1, len(u.Rejects)+len(u.Remarks))] {
				if !strings.Contains(r.Detail, c.detail) {
					t.Errorf("detail %q, want %q", r.Detail, c.detail)
				}
			}
		})
	}
}

// privateKeys are private keys in the forms that people have.
func privateKeys(t *testing.T) map[string]string {
	t.Helper()
	short, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32)))
	open, err := ssh.MarshalPrivateKey(edwards, "alice@pc")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(edwards, "alice@pc", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(edwards)
	if err != nil {
		t.Fatal(err)
	}
	long8, err := x509.MarshalPKCS8PrivateKey(short)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	// EncryptedPrivateKeyInfo begins with the identifier of PBES2, 1.2.840.113549.1.5.13.
	pbes2 := append([]byte{0x30, 0x82, 2, 0, 0x30, 0x4e, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13}, make([]byte, 400)...)
	return map[string]string{
		"ssh-keygen":              string(pem.EncodeToMemory(open)),
		"ssh-keygen, passphrase":  string(pem.EncodeToMemory(locked)),
		"ssh-keygen, bare":        string(open.Bytes),
		"ssh-keygen, base64":      base64.StdEncoding.EncodeToString(open.Bytes),
		"PKCS 1":                  text("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(short)),
		"PKCS 1, base64":          base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(short)),
		"PKCS 1, DER":             string(x509.MarshalPKCS1PrivateKey(short)),
		"PKCS 8":                  text("PRIVATE KEY", pkcs8),
		"PKCS 8, base64":          base64.StdEncoding.EncodeToString(pkcs8),
		"PKCS 8, RSA, base64":     base64.StdEncoding.EncodeToString(long8),
		"PKCS 8, encrypted":       base64.StdEncoding.EncodeToString(pbes2),
		"SEC 1":                   text("EC PRIVATE KEY", sec1),
		"SEC 1, base64":           base64.StdEncoding.EncodeToString(sec1),
		"PEM, encrypted":          "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123\n\nAAAA\n-----END RSA PRIVATE KEY-----",
		"PEM without its start":   "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123\n\nc2VjcmV0c2VjcmV0",
		"PuTTY":                   "PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\nComment: x\r\nPublic-Lines: 2\r\nAAAA\r\nPrivate-Lines: 1\r\nc2VjcmV0c2VjcmV0\r\n",
		"PuTTY without its start": "Private-Lines: 1\nc2VjcmV0c2VjcmV0\nPrivate-MAC: 00",
		"ssh.com":                 "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nc2VjcmV0c2VjcmV0\n---- END SSH2 ENCRYPTED PRIVATE KEY ----",
		"behind a public key":     keyText(1) + " " + strings.ReplaceAll(string(pem.EncodeToMemory(open)), "\n", " "),
		"in one line":             strings.ReplaceAll(string(pem.EncodeToMemory(open)), "\n", " "),
		"in lower case":           "-----begin openssh private key----- c2VjcmV0c2VjcmV0",
	}
}

// A private key is no key of its user, and no part of it is shown, also where it comes in pieces.
func TestPrivateKey(t *testing.T) {
	keys := privateKeys(t)
	for name, text := range keys {
		t.Run(name, func(t *testing.T) {
			u := decodeValues(t, text)
			if len(u.Records) != 1 || len(u.Rejects) != 1 || u.Rejects[0].Code != "private-key" {
				t.Fatalf("%d keys, %+v", len(u.Records), u.Rejects)
			}
			shows(t, u, text)
		})
	}
	for _, name := range []string{"ssh-keygen", "PKCS 1", "PuTTY", "PEM, encrypted"} {
		t.Run(name+", line by line", func(t *testing.T) {
			lines := strings.FieldsFunc(keys[name], func(r rune) bool { return r == '\n' || r == '\r' })
			for i := range lines {
				lines[i] += []string{"", " of alice", "\n"}[i%3]
			}
			u := decodeValues(t, lines...)
			if len(u.Records) != 1 || !slices.ContainsFunc(u.Rejects, func(r registry.Reject) bool { return r.Code == "private-key" }) {
				t.Fatalf("%d keys, %+v", len(u.Records), u.Rejects)
			}
			shows(t, u, keys[name])
		})
	}
}

// shows finds pieces of a text, of 8 bytes or more, in what is told of a user.
func shows(t *testing.T, u registry.User, text string) {
	t.Helper()
	var told strings.Builder
	for _, r := range slices.Concat(u.Rejects, u.Remarks) {
		told.WriteString(r.Origin + r.Code + r.Detail + "\n")
	}
	for _, r := range u.Records {
		told.WriteString(r.Label + r.Options.String())
	}
	for word := range strings.FieldsSeq(text) {
		for i := 0; i+8 <= len(word); i++ {
			if piece := word[i : i+8]; strings.Contains(told.String(), piece) && !strings.ContainsAny(piece, "-:") {
				t.Fatalf("%q is shown: %s", piece, told.String())
			}
		}
	}
}

// Nothing that is public is taken for a private key.
func TestPublicIsNotPrivate(t *testing.T) {
	public, err := x509.MarshalPKIXPublicKey(ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32))).Public())
	if err != nil {
		t.Fatal(err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	long, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		keyText(1) + " my private key", `command="cat PRIVATE KEY" ` + keyText(1), string(record(t, "alice", keyText(1)).Key.Wire()),
		base64.StdEncoding.EncodeToString(public), base64.StdEncoding.EncodeToString(long), string(long),
		base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&key.PublicKey)), string(x509.MarshalPKCS1PublicKey(&key.PublicKey)),
		"MIIEvQ", "M", "", "0\x82", "0\xff\x02", "0\x84\x02\x01\x00\x00\x00\x00\x00",
	} {
		if pasted.Private([]byte(text)) {
			t.Errorf("%.40q is taken for a private key", text)
		}
	}
}

// A user with more keys than a file can hold keeps the first of them, the same ones each time.
func TestTooManyKeys(t *testing.T) {
	long := make([]string, 0, 80)
	for i := range 80 {
		long = append(long, `from="`+strings.Repeat("192.168.100.100,", 240)+strconv.Itoa(i)+`.1.1.1" `+keyText(1))
	}
	short := make([]string, 0, maxKeys+10)
	for i := range maxKeys + 10 {
		short = append(short, `from="`+strconv.Itoa(i)+`" `+keyText(1))
	}
	for title, c := range map[string]struct {
		values []string
		least  int
	}{"long ones": {long, 60}, "short ones": {short, maxKeys}} {
		t.Run(title, func(t *testing.T) {
			u := decodeValues(t, c.values...)
			size := 0
			for _, r := range u.Records {
				line := authkeys.Line{Kind: authkeys.Entry, Key: r.Key, Options: r.Options, Comment: r.Label}
				size += len(line.AppendTo(nil)) + 1
			}
			if n := len(u.Records); n < c.least || n > maxKeys || n > len(c.values) || size > maxText {
				t.Errorf("%d keys, %d bytes", n, size)
			}
			if len(u.Rejects) != 1 || u.Rejects[0].Code != "too-many-keys" {
				t.Errorf("rejects: %v", u.Rejects)
			}
			slices.Reverse(c.values)
			if again := decodeValues(t, c.values...); !again.Equal(u) {
				t.Error("another order gives other keys")
			}
		})
	}
}

// Two names of other bytes than UTF-8 would be one name in the daemon's own files.
func TestNameIsUTF8(t *testing.T) {
	got, err := posix().Decode([]Entry{userEntry("m\xfcller", 3001, keyText(1)), userEntry("alice", 3002, keyText(2))}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, found := got.User("m\xfcller"); found || got.Rejects() != 1 {
		t.Errorf("found %v, %d rejects", found, got.Rejects())
	}
}
