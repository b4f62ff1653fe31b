package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// pastedTexts are the commonest faults, each as people send it. Of private keys these are the first lines alone.
func pastedTexts(t *testing.T) (names []string, texts map[string]string) {
	t.Helper()
	_, keys := vectors(t)
	a, r := keys["A"], keys["R4096"]
	wrap := func(text string, width int) string {
		return regexp.MustCompile(fmt.Sprintf(".{%d}", width)).ReplaceAllString(text, "$0\n")
	}
	texts = make(map[string]string)
	add := func(name, text string) {
		names = append(names, name)
		texts[name] = text
	}
	add("good", a+" ann@laptop\n")
	add("broken into several lines", wrap(r+" ann@laptop", 72))
	add("the type word is missing", strings.TrimPrefix(a, "ssh-ed25519 ")+" ann@laptop")
	add("the type word is wrong", a[1:]+" ann@laptop")
	add("cut", r[:500])
	add("cut by seven characters", a[:len(a)-7])
	add("a wrong character", a[:len(a)-5]+"x"+a[len(a)-4:])
	add("private key of ssh-keygen", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n")
	putty := func(key string) string {
		return "PuTTY-User-Key-File-3: " + strings.Fields(key)[0] + "\r\nEncryption: none\r\nComment: ann\r\nPublic-Lines: " + fmt.Sprint(1+len(strings.Fields(key)[1])/64) + "\r\n" +
			strings.ReplaceAll(wrap(strings.Fields(key)[1], 64), "\n", "\r\n") + "\r\nPrivate-Lines: 1\r\nAAAAIGZvcg==\r\nPrivate-MAC: 00\r\n"
	}
	add("private key of PuTTY", putty(a))
	add("private key of PuTTY that is too short", putty(keys["R2048"]))
	add("public key of PuTTYgen (RFC 4716)", "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"ann@laptop\"\n"+wrap(strings.Fields(a)[1], 64)+"\n---- END SSH2 PUBLIC KEY ----\n")
	add("public key of OpenSSL", "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n")
	add("certificate", keys["D_by_CA"]+" ann")
	add("certificate for web or mail", "-----BEGIN CERTIFICATE-----\nMIIBtjCCAVugAwIBAgITBmyf1XSXNmY\n-----END CERTIFICATE-----\n")
	add("PGP", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END PGP PUBLIC KEY BLOCK-----\n")
	add("smart quotes and dashes", "ssh\u2013ed25519 "+strings.Fields(a)[1]+" ann\u2019s key")
	add("blank that does not break", strings.Replace(a, " ", "\u00a0", 1))
	add("saved as Unicode by Notepad", "\xff\xfe"+strings.Join(strings.Split(a, ""), "\x00")+"\x00")
	add("two keys", a+"\n"+r+"\n")
	add("other text beside it", "Hello,\nmy key is "+a+"\nAnn\n")
	add("options", `from="192.0.2.0/24" `+a)
	add("plus lost by a web form", strings.ReplaceAll(a, "+", " ")+" ann@laptop")
	add("source of a web page", strings.ReplaceAll(a, "+", "&#43;")+"<br>")
	add("DSA", keys["DSA"])
	add("ECDSA", keys["E256"])
	add("RSA that is too short", keys["R2048"])
	add("weak: exponent 1", keys["RE1"])
	add("weak: a point of small order", keys["EDNEUTRAL"])
	add("fingerprint", "256 SHA256:MENnGbrKf3MA+qJqq5h1BSPVhqTDVFscU6bEzdP/Vv8 ann@laptop (ED25519)")
	add("name of the file", "~/.ssh/id_ed25519.pub")
	add("no such file", "cat: /home/ann/.ssh/id_ed25519.pub: No such file or directory")
	add("host key", "head1.example.org,192.0.2.1 "+a)
	add("SSH version 1", "1024 65537 "+strings.Repeat("1234567890", 30)+" ann@laptop")
	add("only the type", "ssh-ed25519 ann@laptop")
	add("nothing", "")
	add("something else", "correct horse battery staple")
	return names, texts
}

// checkSite is a configuration, whose options are appended, on a host without host keys.
func checkSite(t *testing.T, more string) (run func(stdin string, args ...string) (int, string, string)) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "keyreeve.yaml")
	text := "registry: {source: ldif, ldif: {path: " + dir + "/registry.ldif}}\nstate_dir: " + dir + "/state\n" + more
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(stdin string, args ...string) (int, string, string) {
		return checked(t, dir, stdin, append(args, "--config", path)...)
	}
}

// checked runs the program on a text.
func checked(t *testing.T, root, stdin string, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	got := run(t.Context(), process{Args: args, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Root: root})
	return got, out.String(), errs.String()
}

// What is said to people, word for word: whoever changes it sees it here.
func TestCheckKeyMessages(t *testing.T) {
	keyreeve := checkSite(t, "")
	names, texts := pastedTexts(t)
	var all strings.Builder
	for _, name := range names {
		status, out, errs := keyreeve(texts[name], "check-key")
		if want := map[bool]int{true: statusOK, false: statusAttention}[name == "good"]; status != want || errs != "" {
			t.Errorf("%s: status %d, want %d; %s", name, status, want, errs)
		}
		for line := range strings.Lines(out) {
			if line = strings.TrimSuffix(line, "\n"); strings.Trim(line, printableASCII) != "" || len(line) > columns && !strings.HasPrefix(line, "ssh-") {
				t.Errorf("%s: %q has %d columns, or is no ASCII", name, line, len(line))
			}
		}
		fmt.Fprintf(&all, "==== %s\n\n%s\n", name, out)
	}
	golden(t, "check-key.golden", all.String())
}

const printableASCII = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-update writes it anew:\n%s", diff)
	}
}

// The document for web forms has the same fields whatever was sent, and says the same as the text.
func TestCheckKeyJSON(t *testing.T) {
	keyreeve := checkSite(t, "")
	names, texts := pastedTexts(t)
	for _, name := range names {
		_, text, _ := keyreeve(texts[name], "check-key", "-")
		status, out, errs := keyreeve(texts[name], "check-key", "-", "--format", "json")
		var d checkDocument
		dec := json.NewDecoder(strings.NewReader(out))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&d); err != nil || errs != "" {
			t.Fatalf("%s: %v, %s\n%s", name, err, errs, out)
		}
		if d.Version != 1 || d.OK != (status == statusOK) || d.OK != (d.Code == "good") || d.Message == "" || d.Form == "" || d.Commands == nil || d.Registry.Users == nil {
			t.Errorf("%s: %+v", name, d)
		}
		if !d.OK && !strings.HasPrefix(text, "refused: "+d.Code+"\n") || d.Line != "" && !d.OK != strings.Contains(text, "\n"+d.Line+"\n") {
			t.Errorf("%s: %+v\n%s", name, d, text)
		}
	}
}

// Advice is what this centre takes: no ed25519 for one that accepts RSA alone.
func TestCheckKeyAdvice(t *testing.T) {
	keyreeve := checkSite(t, "policy: {keys: [{type: rsa, min_bits: 3072}]}\n")
	_, keys := vectors(t)
	for name, text := range map[string]string{"ed25519": keys["A"], "RSA": keys["R2048"], "private": "-----BEGIN RSA PRIVATE KEY-----"} {
		status, out, _ := keyreeve(text, "check-key")
		if status != statusAttention || strings.Contains(out, "-t ed25519") || strings.Contains(out, "id_ed25519") || !strings.Contains(out, "cat ~/.ssh/id_rsa.pub") {
			t.Errorf("%s: %d\n%s", name, status, out)
		}
	}
	if status, out, _ := keyreeve("", "policy", "show"); status != statusOK || strings.Contains(out, "-t ed25519") || !strings.Contains(out, "ssh-keygen -t rsa -b 3072") {
		t.Errorf("%d\n%s", status, out)
	}
}

// Keys that are known to be weak are refused for the policy's reason: real ones, of badkeys' tests.
func TestCheckKeyWeak(t *testing.T) {
	keyreeve := checkSite(t, "policy: {keys: [{type: rsa, min_bits: 2048}]}\n")
	text, err := os.ReadFile("../../policy/testdata/badkeys.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		reason, key, _ := strings.Cut(line, " ")
		if reason == "#" {
			continue
		}
		fields := strings.Fields(key)
		_, out, _ := keyreeve(fields[0]+" "+fields[1], "check-key")
		if want := "refused: " + reason + "\n"; reason != "granted" && strings.HasPrefix(out, want) {
			seen[reason]++
		} else if !strings.HasPrefix(out, "good\n") && !strings.HasPrefix(out, "refused: rsa-too-short\n") || reason != "granted" && strings.HasPrefix(out, "good\n") {
			t.Errorf("%s, and it is %s", reason, out)
		}
	}
	for _, reason := range []string{"weak", "roca", "close-primes", "small-factor"} {
		if seen[reason] == 0 {
			t.Errorf("no key was refused for %s", reason)
		}
	}
}

func TestPolicyShow(t *testing.T) {
	keyreeve := checkSite(t, "")
	for _, format := range []string{"text", "markdown"} {
		status, out, errs := keyreeve("", "policy", "show", "--format", format)
		if status != statusOK || errs != "" {
			t.Errorf("%d, %s", status, errs)
		}
		golden(t, "policy."+format+".golden", out)
	}
	status, out, _ := keyreeve("", "policy", "show", "--format", "json")
	var d showDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil || status != statusOK || d.Version != 1 || len(d.Keys) != 3 || d.Keys[2].MinBits != 4096 {
		t.Errorf("%d, %v\n%s", status, err, out)
	}
}

// A configuration that is not there is the default rules, unless it was asked for; one that is broken, a blocklist that is, a file that cannot be
// read are errors.
func TestCheckKeyErrors(t *testing.T) {
	_, keys := vectors(t)
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("policy: {keys: []}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check-key", "--config", broken},
		{"check-key", "--config", filepath.Join(dir, "none.yaml")},
		{"policy", "show", "--config", broken},
		{"check-key", filepath.Join(dir, "none")},
		{"check-key", dir},
		{"check-key", "--format", "xml"},
		{"check-key", "a", "b"},
		{"policy", "show", "--format", "html"},
	} {
		if status, out, errs := checked(t, dir, keys["A"], args...); status != statusError || out != "" || errs == "" {
			t.Errorf("%q: %d, %s, %s", args, status, out, errs)
		}
	}
	keyreeve := checkSite(t, "policy: {keys: [{type: ed25519}], blocklist: "+dir+"/none.dat}\n")
	if status, out, errs := keyreeve(keys["A"], "check-key"); status != statusError || out != "" || !strings.Contains(errs, "blocklist") {
		t.Errorf("%d, %s, %s", status, out, errs)
	}
}

// A private key that is given in the place of a file's name is repeated in no error: a web form keeps what is said on standard error.
func TestCheckKeyDoesNotRepeatArguments(t *testing.T) {
	keyreeve := checkSite(t, "")
	const secret = "QyNTUxOQAAACBKm+XR30NBbCRKUrhxDxTbodziLhUtvyuiHu9uxrKlUQAAAJA62B1JOtgd" // a line of a pair that is thrown away
	whole := "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n" + secret + "\n"
	for name, args := range map[string][]string{
		"all of it": {whole}, "behind --": {"--", whole}, "one line": {secret}, "without its head": {whole[36:]}, "in words": strings.Fields(whole),
		"a flag": {"-" + secret}, "a long flag": {"--" + secret}, "long": {strings.Repeat(secret, 9)}, "below a file": {"/dev/null/" + secret}, "NUL": {secret + "\x00"},
	} {
		status, out, errs := keyreeve("", append([]string{"check-key"}, args...)...)
		if status != statusError || out != "" || !strings.HasPrefix(errs, "keyreeve: ") || strings.Contains(errs, secret[:16]) || strings.Contains(errs, "b3Bl") {
			t.Errorf("%s: %d, %s%s", name, status, out, errs)
		}
	}
	for name, args := range map[string][]string{"its KEY": {"root", "--", whole}, "a line of it": {"root", secret}, "a flag of explain's": {"root", whole}} {
		if status, out, errs := keyreeve("", append([]string{"explain"}, args...)...); status != statusError || strings.Contains(out+errs, secret[:16]) || strings.Contains(out+errs, "b3Bl") {
			t.Errorf("explain, %s: %d, %s%s", name, status, out, errs)
		}
	}
}

// The key of the host itself is in nobody's account, though nothing in its line says what it is.
func TestCheckKeyOfThisHost(t *testing.T) {
	_, keys := vectors(t)
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc/ssh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/ssh/ssh_host_ed25519_key.pub"), []byte(keys["A"]+" root@head1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(root, "keyreeve.yaml")
	if err := os.WriteFile(config, []byte("registry: {source: ldif, ldif: {path: /none}}\nstate_dir: "+root+"/state\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out, _ := checked(t, root, keys["A"], "check-key", "--config", config); status != statusAttention || !strings.HasPrefix(out, "refused: host-key\n") {
		t.Errorf("%d, %s", status, out)
	}
	if status, out, _ := checked(t, root, keys["B"], "check-key", "--config", config); status != statusOK {
		t.Errorf("%d, %s", status, out)
	}
}
