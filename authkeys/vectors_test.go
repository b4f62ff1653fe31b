package authkeys_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/authkeys"
)

// vector is one file with the verdicts of two servers.
type vector struct {
	Name   string   `json:"name"`
	Class  string   `json:"class"`
	File   string   `json:"file"`
	SHA256 string   `json:"sha256"`
	Old    []string `json:"sshd_accepts"`
	New    []string `json:"sshd_newer_accepts"`
	text   []byte
}

// loadVectors reads the vectors and checks that no tool has changed their bytes.
func loadVectors(tb testing.TB) []vector {
	tb.Helper()
	var manifest struct {
		Vectors []vector `json:"vectors"`
	}
	if err := json.Unmarshal(vectorFile(tb, "manifest.json"), &manifest); err != nil {
		tb.Fatal(err)
	}
	for i, v := range manifest.Vectors {
		text := vectorFile(tb, v.File)
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != v.SHA256 {
			tb.Fatalf("%s (%s) is not the file of the manifest", v.File, v.Name)
		}
		manifest.Vectors[i].text = text
	}
	if len(manifest.Vectors) < 285 {
		tb.Fatalf("only %d vectors", len(manifest.Vectors))
	}
	return manifest.Vectors
}

func vectorFile(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "vectors", name))
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// testKeys gives the test keys by name; certificates are left out.
func testKeys(tb testing.TB) map[string]authkeys.Key {
	tb.Helper()
	var lines map[string]string
	if err := json.Unmarshal(vectorFile(tb, "keys.json"), &lines); err != nil {
		tb.Fatal(err)
	}
	keys := map[string]authkeys.Key{}
	for name, text := range lines {
		if strings.Contains(name, "_by_") {
			continue
		}
		line, err := authkeys.ParseValue([]byte(text))
		if err != nil {
			tb.Fatalf("key %s: %v", name, err)
		}
		keys[name] = line.Key
	}
	return keys
}

// unwritable are the vectors whose options sshd accepts and this package refuses on purpose: control bytes in a value, and
// more options than fit into a canonical line.
func unwritable(v vector) bool {
	return slices.Contains([]string{"cr-inside-option", "cr-inside-command-option", "decoy-cr-env", "option-env-9K"}, v.Name)
}

// A key that either server lets in is the key of an Entry; a certificate's authority is that of a line that says so.
func TestVectorsNoKeyIsMissed(t *testing.T) {
	keys := testKeys(t)
	for _, v := range loadVectors(t) {
		lines := authkeys.Parse(v.text)
		for _, name := range slices.Concat(v.Old, v.New) {
			_, authority, byCA := strings.Cut(name, "_by_")
			if byCA {
				name = strings.TrimSuffix(authority, "_other")
			}
			key, known := keys[name]
			if !known {
				t.Fatalf("no key %s", name)
			}
			found := slices.ContainsFunc(lines, func(l authkeys.Line) bool {
				wanted := authkeys.Entry
				if unwritable(v) {
					wanted = authkeys.Malformed
				}
				return l.Key == key && l.Kind == wanted && l.Options.CertAuthority() == byCA
			})
			if !found {
				t.Errorf("%s %s: sshd lets in %s, Parse does not see it: %+v", v.File, v.Name, name, lines)
			}
		}
	}
}

// An Entry is a key that at least one server lets in. The exceptions are those where the line is good and the login was refused
// for another reason.
func TestVectorsNoKeyIsInvented(t *testing.T) {
	refusedAtLogin := []string{
		`opt from="10.0.0.0/8"`, `opt from="127.0.0.1/99"`, `opt expiry-time="20200101"`, // the probe comes from elsewhere or too late
		`opt principals="x"`, `opt cert-authority`, // no certificate among the probes
		"dsa-default-algorithms", "sk-ed25519-verify-required", // refused by the server's configuration, or by the token
		"sk-ed25519-other-application", "sk-ed25519-application-with-nul", // another key than the probe
	}
	keys := testKeys(t)
	for _, v := range loadVectors(t) {
		accepted := map[authkeys.Key]bool{}
		for _, name := range slices.Concat(v.Old, v.New) {
			if _, authority, byCA := strings.Cut(name, "_by_"); byCA {
				name = strings.TrimSuffix(authority, "_other")
			}
			accepted[keys[name]] = true
		}
		for _, l := range authkeys.Parse(v.text) {
			if l.Kind == authkeys.Entry && !accepted[l.Key] && !slices.Contains(refusedAtLogin, v.Name) {
				t.Errorf("%s %s: line %d is an Entry of a key that no sshd lets in: %q", v.File, v.Name, l.N, l.Raw)
			}
		}
	}
}

// What is written reads back as the same lines, and x/crypto reads the same keys in it.
func TestVectorsRender(t *testing.T) {
	for _, v := range loadVectors(t) {
		checkLaws(t, v.text)
	}
}

// checkLaws holds the laws of reading and writing for any text.
func checkLaws(t *testing.T, text []byte) {
	t.Helper()
	var joined []byte
	for i, l := range authkeys.Parse(text) {
		if l.N != i+1 {
			t.Errorf("line %d has number %d", i+1, l.N)
		}
		joined = append(append(joined, l.Raw...), '\n')
		checkLine(t, l)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(slices.Clone(text), '\n')
	}
	if string(joined) != string(text) {
		t.Errorf("bytes were lost: got %q from %q", joined, text)
	}
}

// checkLine holds the laws of one line.
func checkLine(t *testing.T, l authkeys.Line) {
	t.Helper()
	out := l.AppendTo(nil)
	if (l.Err != nil) != (l.Kind == authkeys.Malformed) {
		t.Errorf("%s line has error %v", l.Kind, l.Err)
	}
	if l.Kind == authkeys.Malformed || (l.Kind != authkeys.Entry && !l.Plain()) {
		if len(out) > 0 {
			t.Errorf("%s line %q is written as %q", l.Kind, l.Raw, out)
		}
		return
	}
	again := authkeys.Parse(out)
	if len(again) != 1 {
		t.Fatalf("%q is written as %d lines: %q", l.Raw, len(again), out)
	}
	type parts struct {
		Kind    authkeys.Kind
		Key     string
		Options string
		Comment string
	}
	was := parts{l.Kind, l.Key.String(), l.Options.String(), l.Comment}
	is := parts{again[0].Kind, again[0].Key.String(), again[0].Options.String(), again[0].Comment}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("%q reads back as another line:\n%s", l.Raw, diff)
	}
	if second := again[0].AppendTo(nil); string(second) != string(out) {
		t.Errorf("written twice: %q, then %q", out, second)
	}
	if l.Kind == authkeys.Entry {
		checkXCrypto(t, l, out)
	}
}

// checkXCrypto wants golang.org/x/crypto to read the same key and options in a written Entry.
func checkXCrypto(t *testing.T, l authkeys.Line, out []byte) {
	t.Helper()
	key, comment, options, rest, err := ssh.ParseAuthorizedKey(out)
	if err != nil {
		if readableByXCrypto(l.Key) {
			t.Errorf("x/crypto refuses %q: %v", out, err)
		}
		return
	}
	if string(key.Marshal()) != string(l.Key.Wire()) {
		t.Errorf("x/crypto reads another key in %q", out)
	}
	if got := strings.Join(options, ","); got != l.Options.String() || comment != l.Comment || len(rest) > 0 {
		t.Errorf("x/crypto reads %q %q %q in %q", got, comment, rest, out)
	}
	if fingerprint := ssh.FingerprintSHA256(key); fingerprint != l.Key.Fingerprint() {
		t.Errorf("fingerprint %s, x/crypto says %s", l.Key.Fingerprint(), fingerprint)
	}
}

// readableByXCrypto tells the keys that x/crypto has no reason to refuse: not DSA of other sizes, not RSA with an exponent out
// of its bounds, not the newest type.
func readableByXCrypto(k authkeys.Key) bool {
	if _, e, ok := k.RSA(); ok {
		return e.BitLen() > 1 && e.BitLen() <= 24 && e.Bit(0) == 1
	}
	return k.Type() != "ssh-dss" && k.Type() != "ssh-mldsa44-ed25519@openssh.com"
}

// Each reason code stands for its own kind of trouble.
func TestVectorsReasons(t *testing.T) {
	reasons := map[string]string{
		"certificate-as-line":                "certificate",
		"certificate-as-line-with-ca-option": "certificate",
		"type-only":                          "no-key",
		"type-and-space-only":                "no-key",
		"type foo":                           "type-unknown",
		"utf8-bom":                           "type-unknown",
		"pad-stripped":                       "malformed-key",
		"extra-bytes-in-blob":                "malformed-key",
		"opt restrict,unknown":               "malformed-options",
		`opt tunnel="x"`:                     "malformed-options",
		"cr-inside-option":                   "malformed-options",
		"option-env-9K":                      "malformed-options",
	}
	for _, v := range loadVectors(t) {
		want, asked := reasons[v.Name]
		if !asked {
			continue
		}
		delete(reasons, v.Name)
		for _, l := range authkeys.Parse(v.text) {
			var failure *authkeys.ParseError
			if !errors.As(l.Err, &failure) || failure.Reason != want {
				t.Errorf("%s: got %v, want reason %s", v.Name, l.Err, want)
			}
			if isCertificate := errors.Is(l.Err, authkeys.ErrCertificate); isCertificate != (want == "certificate") {
				t.Errorf("%s: errors.Is(ErrCertificate) is %v", v.Name, isCertificate)
			}
		}
	}
	if len(reasons) > 0 {
		t.Errorf("no such vectors: %v", reasons)
	}
}
