package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// program is another AuthorizedKeysCommand, where nobody but root can write; the script finds its own files there.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(testenv.RootDir(t), "keys")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// says is one that prints a text and ends.
func says(t *testing.T, text string) string {
	t.Helper()
	path := program(t, "exec cat ${0%/*}/text")
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "text"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func lineOf(key ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(key)) }

// rsaLine is the line of an RSA key; with exponent 1 anybody can sign for it.
func rsaLine(t *testing.T, bits, exponent int) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	blob := ssh.Marshal(struct {
		Type string
		E, N *big.Int
	}{"ssh-rsa", big.NewInt(int64(exponent)), private.N})
	return "ssh-rsa " + base64.StdEncoding.EncodeToString(blob) + "\n"
}

// Rules of a centre, as the daemon writes them.
var someRules = answer.Rules{Keys: []answer.Rule{{Type: "ed25519"}, {Type: "rsa", MinBits: 2048}}}

// putRules writes a file of answers with rules.
func putRules(t *testing.T, end time.Time, users ...answer.User) string {
	t.Helper()
	return putRulesOf(t, end, someRules, users...)
}

func putRulesOf(t *testing.T, end time.Time, rules answer.Rules, users ...answer.User) string {
	t.Helper()
	data, err := answer.Make(func(yield func(answer.User) bool) {
		for _, u := range users {
			if !yield(u) {
				return
			}
		}
	}, end, rules)
	path := filepath.Join(t.TempDir(), answer.Name)
	if err := errors.Join(err, os.WriteFile(path, data, 0o640)); err != nil {
		t.Fatal(err)
	}
	return path
}

// The policy judges what another program says as it judges the registry, and what is printed is made anew.
func TestAlso(t *testing.T) {
	testenv.Need(t, "root")
	own, second, ended, former := newSigner(t).PublicKey(), newSigner(t).PublicKey(), newSigner(t).PublicKey(), newSigner(t).PublicKey()
	file := putRules(t, time.Time{}, answer.User{
		Name: "ada", UID: 1001, Refused: []string{ssh.FingerprintSHA256(former)}, Keys: []answer.Key{
			{Fingerprint: ssh.FingerprintSHA256(own), Line: "restrict " + lineOf(own)},
			{Fingerprint: ssh.FingerprintSHA256(ended), Line: lineOf(ended), Until: time.Now().Add(-time.Second)},
		},
	}, answer.User{Name: "locked", UID: 1002, Refused: []string{answer.Everything}})
	granted, other := "restrict "+lineOf(own), lineOf(second)
	offered := ssh.FingerprintSHA256(second)
	for name, c := range map[string]struct {
		said   string
		words  []string // ada, if none
		stdout string
	}{
		"a key":                          {said: other, stdout: granted + other},
		"an accepted RSA key":            {said: rsaLine(t, 2048, 65537) + other, stdout: "*"},
		"a short RSA key":                {said: rsaLine(t, 1024, 65537) + other, stdout: granted + other},
		"a key that anybody has":         {said: rsaLine(t, 2048, 1) + other, stdout: granted + other},
		"an authority":                   {said: "cert-authority " + other, stdout: granted},
		"principals":                     {said: `principals="root" ` + other, stdout: granted},
		"options":                        {said: `environment="LD_PRELOAD=/x",command="/bin/true",no-pty ` + other, stdout: granted + `command="/bin/true",no-pty ` + other},
		"an unknown option":              {said: "anything " + other, stdout: granted},
		"bytes that are no text":         {said: "\x00\x1b[2J\xff\n# a comment\n\n" + strings.TrimSuffix(other, "\n") + " \x1b[31mred\r\n", stdout: granted + strings.TrimSuffix(other, "\n") + " [31mred\n"},
		"no newline":                     {said: strings.TrimSuffix(other, "\n"), stdout: granted + other},
		"nothing":                        {stdout: granted},
		"one that is granted otherwise":  {said: lineOf(own), stdout: granted},
		"one that has ended":             {said: lineOf(ended), stdout: granted},
		"one that is refused":            {said: lineOf(former), stdout: granted},
		"whose account is locked":        {said: other, words: []string{"locked", "1002"}},
		"who is not known":               {said: other, words: []string{"eve", "1003"}, stdout: other},
		"another user's":                 {said: lineOf(own), words: []string{"eve", "1003"}, stdout: lineOf(own)},
		"the offered key":                {said: other + lineOf(ended), words: []string{"ada", "1001", "/home/ada", offered}, stdout: other},
		"not the offered key":            {said: lineOf(newSigner(t).PublicKey()), words: []string{"ada", "1001", "/home/ada", offered}},
		"the offered key, which is ours": {said: other, words: []string{"ada", "1001", "/home/ada", ssh.FingerprintSHA256(own)}, stdout: granted},
	} {
		t.Run(name, func(t *testing.T) {
			if c.words == nil {
				c.words = []string{"ada", "1001"}
			}
			if c.stdout == "*" {
				c.stdout = granted + c.said
			}
			stdout, stderr, status := ask(t, append([]string{"--file=" + file, "--also=" + says(t, c.said), "--"}, c.words...)...)
			if stdout != c.stdout || stderr != "" || status != 0 {
				t.Errorf("got status %d, %q, %q, want %q", status, stdout, stderr, c.stdout)
			}
		})
	}
}

// What the policy says of options holds for such a key as for a registered one.
func TestAlsoOptions(t *testing.T) {
	testenv.Need(t, "root")
	other := lineOf(newSigner(t).PublicKey())
	rules := someRules
	rules.Allow, rules.Force, rules.SSHD = []string{"no-pty", "restrict", "verify-required"}, `restrict,from="10.0.0.0/8"`, "7.4"
	file := putRulesOf(t, time.Time{}, rules)
	for said, want := range map[string]string{
		other:                                   rules.Force + " " + other,
		"pty,restrict,port-forwarding " + other: rules.Force + " " + other,
		`command="ls" ` + other:                 "", // not allowed
		"verify-required " + other:              "", // sshd would ignore it
	} {
		stdout, stderr, status := ask(t, "--file="+file, "--also="+says(t, said), "--", "ada", "1001")
		if stdout != want || stderr != "" || status != 0 {
			t.Errorf("%q: status %d, %q, %q, want %q", said, status, stdout, stderr, want)
		}
	}
}

// A key of another program is judged by the rules of the day.
func TestAlsoRulesInTime(t *testing.T) {
	testenv.Need(t, "root")
	key := lineOf(newSigner(t).PublicKey())
	for want, keys := range map[bool][]answer.Rule{
		true:  {{Type: "rsa", MinBits: 4096}, {Type: "ed25519", From: "2020-01-01", Until: "2199-12-31"}},
		false: {{Type: "rsa", MinBits: 4096}, {Type: "ed25519", Until: "2020-01-01"}, {Type: "ed25519", From: "2200-01-01"}},
	} {
		rules := someRules
		rules.Keys = keys
		stdout, stderr, status := ask(t, "--file="+putRulesOf(t, time.Time{}, rules), "--also="+says(t, key), "--", "ada", "1001")
		if (stdout == key) != want || stderr != "" || status != 0 {
			t.Errorf("%v: status %d, %q, %q", keys, status, stdout, stderr)
		}
	}
}

// Whatever another program does, the granted keys are printed, and nothing of it is.
func TestAlsoFails(t *testing.T) {
	testenv.Need(t, "root")
	good, other := newSigner(t).PublicKey(), newSigner(t).PublicKey()
	u := answer.User{Name: "ada", UID: 1001, Keys: []answer.Key{{Fingerprint: ssh.FingerprintSHA256(good), Line: lineOf(good)}}}
	file, key := putRules(t, time.Time{}, u), strings.TrimSuffix(lineOf(other), "\n")
	theirs := program(t, "echo '"+key+"'")
	if err := os.Chown(theirs, 1001, 0); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ also, file, stderr string }{
		"an exit status":                  {also: program(t, "echo '"+key+"'; exit 3"), stderr: "exit status 3"},
		"a signal":                        {also: program(t, "echo '"+key+"'; kill -9 $$"), stderr: "signal: killed"},
		"too much":                        {also: program(t, "echo '"+key+"'; yes"), stderr: "more than 262144 bytes"},
		"not there":                       {also: "/nonexistent/program", stderr: "no such file"},
		"not executable":                  {also: filepath.Join(filepath.Dir(says(t, key)), "text"), stderr: "permission denied"},
		"no path":                         {also: "echo x", stderr: "is not an absolute path"},
		"somebody else's":                 {also: theirs, stderr: "somebody other than root could change " + theirs},
		"a word too many":                 {also: "/bin/echo %k", stderr: "asks for a word"},
		"an unknown token":                {also: "/bin/echo %C", stderr: "asks for a word"},
		"a percent too many":              {also: "/bin/echo %", stderr: "asks for a word"},
		"no rules":                        {also: program(t, "echo '"+key+"'"), file: put(t, time.Time{}, u), stderr: "there are no rules"},
		"a child that holds its stdout":   {also: program(t, "echo '"+key+"'; sleep 60 &"), stderr: "has not ended within 2s"},
		"a child of a session of its own": {also: program(t, "echo '"+key+"'; setsid sleep 5 &"), stderr: "has not ended within 2s"},
		"one that hangs":                  {also: program(t, "trap '' TERM; echo '"+key+"'; sleep 60"), stderr: "has not ended within 2s"},
		"one that hangs, stdout closed":   {also: program(t, "echo '"+key+"'; exec >&-; sleep 60"), stderr: "signal: killed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.file == "" {
				c.file = file
			}
			began := time.Now()
			stdout, stderr, status := ask(t, "--file="+c.file, "--also="+c.also, "--", "ada", "1001")
			if stdout != lineOf(good) || status != 0 || !strings.Contains(stderr, "no key of") || !strings.Contains(stderr, c.stderr) {
				t.Errorf("got status %d, %q, %q", status, stdout, stderr)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	// Nor does the other program stand in for the file.
	stale := putRules(t, time.Now().Add(-time.Second), u)
	for _, path := range []string{stale, "/nonexistent"} {
		if stdout, _, status := ask(t, "--file="+path, "--also="+program(t, "echo '"+key+"'"), "--", "ada", "1001"); stdout != "" || status != 1 {
			t.Errorf("%s: got status %d, %q", path, status, stdout)
		}
	}
	if stdout, stderr, status := ask(t, "--file="+file, "--also="+program(t, "echo '"+key+"'"), "--", "ada", "1002"); stdout != "" || status != 1 || !strings.Contains(stderr, "for the uid 1001") {
		t.Errorf("another account of a name in the file: status %d, %q, %q", status, stdout, stderr)
	}
	if stdout, stderr, status := ask(t, "--file="+stale, "--also="+program(t, "echo '"+key+"'"), "--", "eve", "1002"); stdout != "" || status != 0 || !strings.Contains(stderr, "too old") {
		t.Errorf("somebody whom a stale file does not know: status %d, %q, %q", status, stdout, stderr)
	}
}

// Each word is one argument, whatever is in it, and no shell reads it.
func TestAlsoWords(t *testing.T) {
	testenv.Need(t, "root")
	file := putRules(t, time.Time{})
	said := func(also string, words ...string) string {
		t.Helper()
		path := program(t, `printf '%s|' "$@" >${0%/*}/said`)
		if _, stderr, status := ask(t, append([]string{"--file=" + file, "--also=" + path + also, "--"}, words...)...); status != 0 || stderr != "" {
			t.Errorf("status %d, %q", status, stderr)
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "said"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	name := "a b;$(id)"
	all := []string{name, "1001", "/home/a", "SHA256:x", "ssh-ed25519", "AAAA"}
	for also, want := range map[string]string{
		"": name + "|", " %u %f": name + "|SHA256:x|", " verify --user=%u %k %t 100%%": "verify|--user=" + name + "|AAAA|ssh-ed25519|100%|", " %U:%h": "1001:/home/a|", " none": "none|",
	} {
		if got := said(also, all...); got != want {
			t.Errorf("%q: got %q, want %q", also, got, want)
		}
	}
	path := says(t, "# no key\n")
	link := path + "-link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, status := ask(t, "--file="+file, "--also="+link, "--", "ada"); stdout+stderr != "" || status != 0 {
		t.Errorf("a link of root's to a program: status %d, %q, %q", status, stdout, stderr)
	}
	if _, stderr, status := ask(t, "--file="+file, "--also=/bin/echo", "--", "-x"); status != 0 || !strings.Contains(stderr, "looks like a flag") {
		t.Errorf("a name like a flag: status %d, %q", status, stderr)
	}
	if _, stderr, status := ask(t, "--file="+file, "--also=", "--", "ada"); status != 1 || !strings.Contains(stderr, "unknown flag") {
		t.Errorf("no program: status %d, %q", status, stderr)
	}
}

// Whatever a program says, what is printed is keys that the rules take, one a line, in canonical form.
func FuzzForeign(f *testing.F) {
	path := filepath.Join(f.TempDir(), answer.Name)
	data, err := answer.Make(func(func(answer.User) bool) {}, time.Time{}, someRules)
	if err := errors.Join(err, os.WriteFile(path, data, 0o600)); err != nil {
		f.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("cert-authority ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnxoe+mmuhR7yxmTmqCw1YYMfdhbsay07eRJlF1T1ve x\n"))
	f.Add([]byte("no-pty ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnxoe+mmuhR7yxmTmqCw1YYMfdhbsay07eRJlF1T1ve x\x00y"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines, err := foreign(file, int64(len(data)), request{user: "ada"}, text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		again, err := foreign(file, int64(len(data)), request{user: "ada"}, lines, time.Now())
		if err != nil || string(again) != string(lines) {
			t.Fatalf("%q becomes %q, %v", lines, again, err)
		}
		for line := range strings.Lines(string(lines)) {
			key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
			if err != nil || len(rest) != 0 || key.Type() != "ssh-ed25519" && key.Type() != "ssh-rsa" || strings.Contains(fmt.Sprint(options), "cert-authority") {
				t.Fatalf("%q: %v", line, err)
			}
		}
	})
}

// The other program runs with this one's uid, and could end it. It is not started for a key that is granted; where no key is named, what is granted was
// printed before.
func TestAlsoIsNotStartedForAGrantedKey(t *testing.T) {
	testenv.Need(t, "root")
	good := newSigner(t).PublicKey()
	file := putRules(t, time.Time{}, answer.User{Name: "ada", UID: 1001, Keys: []answer.Key{{Fingerprint: ssh.FingerprintSHA256(good), Line: lineOf(good)}}})
	killer := program(t, ": >${0%/*}/started; kill -9 $PPID")
	started := func() bool { _, err := os.Lstat(filepath.Join(filepath.Dir(killer), "started")); return err == nil }
	for range 5 {
		if stdout, stderr, status := ask(t, "--file="+file, "--also="+killer, "--", "ada", "1001", "/home/ada", ssh.FingerprintSHA256(good)); stdout != lineOf(good) || stderr != "" || status != 0 || started() {
			t.Errorf("got status %d, %q, %q; started: %v", status, stdout, stderr, started())
		}
	}
	if stdout, _, _ := ask(t, "--file="+file, "--also="+killer, "--", "ada", "1001"); stdout != lineOf(good) || !started() {
		t.Errorf("without a key: got %q; started: %v", stdout, started())
	}
}

// A link, whose directory may be a stranger's, is not gone through again after the program behind it was looked at.
func TestAlsoBehindALink(t *testing.T) {
	testenv.Need(t, "root")
	path := program(t, `printf %s "$0" >${0%/*}/said`)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := ask(t, "--file="+putRules(t, time.Time{}), "--also="+link, "--", "ada", "1001"); stderr != "" || status != 0 {
		t.Errorf("status %d, %q", status, stderr)
	}
	if said, err := os.ReadFile(filepath.Join(filepath.Dir(path), "said")); err != nil || string(said) != path {
		t.Errorf("%q was run, want %q: %v", said, path, err)
	}
}

// A login that is given up takes the other program with it, and what that has started.
func TestAlsoEndsWithTheLogin(t *testing.T) {
	testenv.Need(t, "root")
	hangs := program(t, "sleep 1000 >${0%/*}/held & wait")
	held := filepath.Join(filepath.Dir(hangs), "held")
	if err := syscall.Mkfifo(held, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "keyreeve-keys", "--file="+putRules(t, time.Time{}), "--also="+hangs, "--", "ada", "1001")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(held) // when it has been started
	if err := errors.Join(err, cmd.Process.Signal(syscall.SIGTERM)); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // by the signal, or by itself with the granted keys, of which there are none
	err = file.SetReadDeadline(time.Now().Add(10 * time.Second))
	if err == nil {
		_, err = io.ReadAll(file) // ends with its last writer
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Errorf("what the program has started lives on: %v", err)
	}
}
