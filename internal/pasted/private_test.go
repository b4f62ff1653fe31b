package pasted_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/pasted"
)

// privateKeys are private keys of every form that Go can write, and one of PuTTY's; the public halves are not among their secrets.
func privateKeys(tb testing.TB) map[string]string {
	tb.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	list := make(map[string]string)
	add := func(name, kind string, der []byte, err error) {
		if err != nil {
			tb.Fatal(err)
		}
		list[name] = string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, key := range map[string]any{"ed25519": ed, "RSA": long, "ECDSA": curve} {
		plain, err := ssh.MarshalPrivateKey(key, "ann")
		if err != nil {
			tb.Fatal(err)
		}
		locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "ann", []byte("passphrase"))
		if err != nil {
			tb.Fatal(err)
		}
		add(name+", OpenSSH", plain.Type, plain.Bytes, nil)
		add(name+", OpenSSH, passphrase", locked.Type, locked.Bytes, nil)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		add(name+", PKCS8", "PRIVATE KEY", der, err)
		list[name+", DER"] = string(der)
	}
	add("RSA, PKCS1", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(long), nil)
	der, err := x509.MarshalECPrivateKey(curve)
	add("ECDSA, SEC1", "EC PRIVATE KEY", der, err)
	list["Dropbear, DER"] = string(decode(tb, strings.Fields(keys(tb)["R4096"])[1])) + "\x00\x00\x01\x00" + string(long.D.Bytes())
	list["PKCS12, DER"] = "\x30\x82\x0a\x00\x02\x01\x03" + string(long.D.Bytes())
	list["PuTTY"] = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: ann\nPublic-Lines: 2\n" +
		fold(strings.Fields(keys(tb)["A"])[1], 64) + "\nPrivate-Lines: 1\n" + base64.StdEncoding.EncodeToString(long.N.Bytes()[:36]) + "\nPrivate-MAC: " + strings.Repeat("0f", 32) + "\n"
	return list
}

// changes are what happens to a text on its way; the mark of a private key outlives each of them.
func changes(tb testing.TB) map[string]func(string) string {
	tb.Helper()
	a := keys(tb)["A"]
	return map[string]func(string) string{
		"nothing":        func(s string) string { return s },
		"CRLF":           func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"UTF-16":         func(s string) string { return utf16Of(s, true, false) },
		"UTF-16, bare":   func(s string) string { return utf16Of(s, false, false) },
		"one line":       func(s string) string { return strings.ReplaceAll(s, "\n", " ") },
		"mail":           func(s string) string { return "> " + strings.ReplaceAll(s, "\n", "\n> ") },
		"QP":             func(s string) string { return quotedPrintable(tb, s) },
		"HTML":           func(s string) string { return strings.ReplaceAll(html.EscapeString(s), "+", "&#43;") },
		"web address":    url.QueryEscape,
		"JSON":           func(s string) string { return strings.ReplaceAll(s, "\n", `\n`) },
		"base64":         func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"dashes":         func(s string) string { return strings.ReplaceAll(s, "--", "\u2014") },
		"zero width":     func(s string) string { return strings.ReplaceAll(s, " ", "\u200b \u200b") },
		"indented":       func(s string) string { return strings.ReplaceAll(s, "\n", "\n    ") },
		"public before":  func(s string) string { return a + "\n" + s },
		"as the comment": func(s string) string { return a + " " + strings.ReplaceAll(s, "\n", "") },
		"public behind":  func(s string) string { return s + "\n" + a + "\n" },
		"first half":     func(s string) string { return s[:len(s)/2] },
		"long text":      func(s string) string { return s + strings.Repeat("x", pasted.MaxSize) },
	}
}

// told is all that a diagnosis can show.
func told(d pasted.Diagnosis) string {
	return strings.Join(append(d.Do, string(d.Code), d.Says, d.Line.Raw, d.Line.Comment, string(d.Line.AppendTo(nil))), "\n")
}

// secrets are the runs of base64 in a private key that are not in its public half, all of it where it is no text.
func secrets(private string) (list []string) {
	_, behind, is := strings.Cut(private, "Private-Lines")
	if !is {
		behind = private
	}
	const window = 24
	for _, run := range regexp.MustCompile(`[A-Za-z0-9+/]{24,}`).FindAllString(behind, -1) {
		for i := 0; i+window <= len(run); i++ {
			list = append(list, run[i:i+window])
		}
	}
	return list
}

// A private key is told as one however it comes, and nothing of it is repeated.
func TestPrivateKeyIsNotRepeated(t *testing.T) {
	for name, private := range privateKeys(t) {
		for what, change := range changes(t) {
			if strings.HasSuffix(name, "DER") && what != "nothing" {
				continue // bytes go through no mail
			}
			d := pasted.Examine([]byte(change(private)))
			if want := pasted.PrivateKey; d.Code != want && (name != "PuTTY" || d.Code != pasted.PuTTY) {
				t.Errorf("%s, %s: it is told as %s", name, what, d.Code)
			}
			if d.HasKey() && d.Code != pasted.PuTTY {
				t.Errorf("%s, %s: a line is given back", name, what)
			}
			for _, secret := range secrets(private) {
				if strings.Contains(told(d), secret) {
					t.Errorf("%s, %s: repeated", name, what)
					break
				}
			}
		}
	}
}

// Nor is a line of one that stands where a comment does: nothing else in the text shows what it is.
func TestLineOfPrivateKeyIsNoComment(t *testing.T) {
	a := keys(t)["A"]
	for name, private := range privateKeys(t) {
		for _, secret := range secrets(private) {
			if !strings.Contains(a, secret) && strings.Contains(told(pasted.Examine([]byte(a+" "+secret))), secret) {
				t.Errorf("%s: repeated", name)
				break
			}
		}
	}
}

// Nor is a piece of one, which nothing tells from other text, wherever it stands and whatever happened to it.
func TestPieceOfPrivateKeyIsNotRepeated(t *testing.T) {
	all, ways, a := privateKeys(t), changes(t), keys(t)["A"]
	var names, whats []string
	for name := range all {
		names = append(names, name)
	}
	for what := range ways {
		whats = append(whats, what)
	}
	rapid.Check(t, func(rt *rapid.T) {
		private := all[rapid.SampledFrom(names).Draw(rt, "key")]
		from := rapid.IntRange(0, len(private)).Draw(rt, "from")
		piece := private[from:rapid.IntRange(from, len(private)).Draw(rt, "to")]
		for range rapid.IntRange(0, 2).Draw(rt, "changes") {
			piece = ways[rapid.SampledFrom(whats).Draw(rt, "change")](piece)
		}
		where := rapid.SampledFrom([]string{"%", a + " %", "% " + a, "ssh-rsa %", "%\n" + a, "from=\"%\" " + a}).Draw(rt, "where")
		d := pasted.Examine([]byte(strings.Replace(where, "%", piece, 1)))
		shown := told(d)
		for _, secret := range secrets(private) {
			if strings.Contains(shown, secret) && !strings.Contains(a, secret) {
				rt.Fatalf("repeated: %s", shown)
			}
		}
	})
}
