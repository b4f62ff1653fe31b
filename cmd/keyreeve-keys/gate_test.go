package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// newSigner makes a key.
func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// used is what sshd says of a key in SSH_AUTH_INFO_0.
func used(key ssh.PublicKey) string {
	return "publickey " + key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal()) + "\n"
}

// certify signs a key.
func certify(t *testing.T, key ssh.PublicKey, authority ssh.Signer) ssh.PublicKey {
	t.Helper()
	c := &ssh.Certificate{Key: key, CertType: ssh.UserCert, KeyId: "ada", ValidPrincipals: []string{"ada"}, ValidBefore: ssh.CertTimeInfinity}
	if err := c.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	return c
}

// grants writes a file in which ada has these keys.
func grants(t *testing.T, end time.Time, keys ...ssh.PublicKey) string {
	t.Helper()
	return put(t, end, userWith("ada", 1001, keys...))
}

func userWith(name string, uid int, keys ...ssh.PublicKey) answer.User {
	u := answer.User{Name: name, UID: uid}
	for _, key := range keys {
		u.Keys = append(u.Keys, answer.Key{Fingerprint: ssh.FingerprintSHA256(key), Line: string(ssh.MarshalAuthorizedKey(key))})
	}
	return u
}

// accounts is a name service that takes names in any case, and with a domain in front.
func accounts(name string) (answer.User, error) {
	at := strings.ToLower(name[strings.LastIndex(name, `\`)+1:])
	uid, ok := map[string]int{"ada": 1001, "eve": 1002, "bob": 1003}[at]
	if !ok {
		return answer.User{}, errors.New("no such account")
	}
	return answer.User{Name: at, UID: uid}, nil
}

// newGate is a gate of this name service, whose refusals are not recorded.
func newGate(t *testing.T, flags ...string) gate {
	t.Helper()
	g, err := parseGate(append([]string{"--record=/nonexistent"}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	g.lookUp, g.syslog = accounts, filepath.Join(t.TempDir(), "log")
	return g
}

func TestJudge(t *testing.T) {
	testenv.Need(t, "root") // it believes files of root's
	good, bad, authority, other := newSigner(t).PublicKey(), newSigner(t).PublicKey(), newSigner(t), newSigner(t)
	file := put(t, time.Time{}, userWith("ada", 1001, good), userWith("bob", 1009, good))
	allowed := []string{"--allow=password,gssapi-with-mic", "--authority=" + ssh.FingerprintSHA256(authority.PublicKey())}
	for name, c := range map[string]struct {
		user, methods string
		flags         []string
		reason        string // none: the session may begin
	}{
		"granted":                        {methods: used(good)},
		"granted, no newline":            {methods: strings.TrimSuffix(used(good), "\n")},
		"not granted":                    {methods: used(bad), reason: notGranted},
		"somebody else's":                {user: "eve", methods: used(good), reason: notGranted},
		"both, the other order":          {methods: used(bad) + used(good), reason: notGranted},
		"bad key, then allowed password": {methods: used(bad) + "password\n" + used(good), flags: allowed, reason: notGranted},
		"another spelling":               {user: "EX\\ADA", methods: used(good)},
		"another spelling, not granted":  {user: "EX\\ADA", methods: used(bad), reason: notGranted},
		"another uid":                    {user: "bob", methods: used(good), reason: notGranted},
		"no account":                     {user: "nobody here", methods: used(good), reason: unknown},
		"more behind it":                 {methods: strings.TrimSuffix(used(good), "\n") + " sk-flags=1\n"},
		"more behind another":            {methods: strings.TrimSuffix(used(bad), "\n") + " " + used(good), reason: notGranted},
		"both":                           {methods: used(good) + used(bad), reason: notGranted},
		"nothing":                        {reason: unknown},
		"a blank line":                   {methods: "\n", reason: unknown},
		"no key":                         {methods: "publickey\n", reason: unknown},
		"no base64":                      {methods: "publickey ssh-ed25519 !\n", reason: unknown},
		"cut off":                        {methods: used(good)[:60], reason: unknown},
		"a line beside it":               {methods: used(good) + "\n", reason: method},
		"password":                       {methods: "password\n", reason: method},
		"password, allowed":              {methods: "password\n", flags: allowed},
		"Kerberos, allowed":              {methods: "gssapi-with-mic\n", flags: allowed},
		"keyboard, not allowed":          {methods: "keyboard-interactive/pam\n", flags: allowed, reason: method},
		"keyboard, allowed":              {methods: "keyboard-interactive/pam\n", flags: []string{"--allow=keyboard-interactive"}},
		"key and password":               {methods: used(good) + "password\n", flags: allowed},
		"key and password, not allowed":  {methods: used(good) + "password\n", reason: method},
		"bad key and allowed password":   {methods: used(bad) + "password\n", flags: allowed, reason: notGranted},
		"other file":                     {methods: used(good), flags: []string{"--file=/nonexistent"}, reason: unknown},
		"stale":                          {methods: used(good), flags: []string{"--file=" + grants(t, time.Unix(5, 0), good)}, reason: unknown},
		"certificate":                    {methods: used(certify(t, good, authority)), reason: certificate},
		"certificate, known":             {methods: used(certify(t, good, authority)), flags: allowed},
		"certificate, another authority": {methods: used(certify(t, good, other)), flags: allowed, reason: certificate},
		"certificate of another key":     {methods: used(certify(t, bad, authority)), flags: allowed, reason: notGranted},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t, append([]string{"--file=" + file}, c.flags...)...)
			if c.user == "" {
				c.user = "ada"
			}
			r := g.judge(c.user, c.methods, time.Now())
			if (r == nil) != (c.reason == "") || r != nil && r.reason != c.reason {
				t.Errorf("got %v, want the reason %q", r, c.reason)
			}
			if r != nil && r.reason == notGranted && r.key.IsZero() {
				t.Error("the refusal names no key")
			}
		})
	}
}

// said is the environment that pam_exec makes.
func said(phase, user, methods string) told {
	return environment("SSH_AUTH_INFO_0=" + methods + "\x00PAM_RHOST=192.0.2.1\x00PAM_TYPE=" + phase + "\x00PAM_USER=" + user + "\x00")
}

// Only the phase in which sshd names the key is judged, and none passes without.
func TestPhases(t *testing.T) {
	testenv.Need(t, "root")
	key := newSigner(t).PublicKey()
	g := newGate(t, "--file="+grants(t, time.Time{}, key))
	for phase, passes := range map[string]bool{"open_session": true, "account": false, "auth": false, "": false, "close_session": false} {
		if err := g.pass(said(phase, "ada", used(key)), time.Now()); (err == nil) != passes {
			t.Errorf("%q: %v", phase, err)
		}
	}
}

// What a user's own file says of the session comes before what pam_exec says, and opens nothing.
func TestSaidTwice(t *testing.T) {
	testenv.Need(t, "root")
	good, bad := newSigner(t).PublicKey(), newSigner(t).PublicKey()
	ada, eve := testenv.NewAccount(t), testenv.NewAccount(t)
	file := put(t, time.Time{}, userWith(ada.Name, ada.UID, good))
	for _, c := range []struct {
		first      string
		user       string
		key        ssh.PublicKey
		status     int
		saidOfUser string
	}{
		{"LANG=C", ada.Name, good, 0, ""},
		{"LANG=C", ada.Name, bad, 1, `the session of "` + ada.Name + `" from "192.0.2.1"`},
		{"PAM_TYPE=close_session", ada.Name, bad, 1, `the session of "` + ada.Name + `"`},
		{"PAM_TYPE=open_session", ada.Name, good, 1, "PAM_TYPE was said twice"},
		{"PAM_USER=" + ada.Name, eve.Name, good, 1, `the session of "` + eve.Name + `"`},
		{"PAM_RHOST=198.51.100.1", ada.Name, good, 1, `from "192.0.2.1"`},
		{strings.TrimSpace("SSH_AUTH_INFO_0=" + used(good)), ada.Name, bad, 1, `the session of "` + ada.Name + `"`},
	} {
		// Package os/exec would take away what is said twice, as no C library does.
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		program, err := exec.LookPath("keyreeve-keys")
		if err != nil {
			t.Fatal(err)
		}
		process, err := os.StartProcess(program, []string{"keyreeve-keys", "--pam", "--file=" + file, "--record=/nonexistent"}, &os.ProcAttr{
			Env:   []string{c.first, "SSH_AUTH_INFO_0=" + used(c.key), "PAM_RHOST=192.0.2.1", "PAM_TYPE=open_session", "PAM_USER=" + c.user},
			Files: []*os.File{nil, nil, write},
		})
		if err := errors.Join(err, write.Close()); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(read)
		if err != nil {
			t.Fatal(err)
		}
		state, err := process.Wait()
		if err != nil || state.ExitCode() != c.status || !strings.Contains(string(text), c.saidOfUser) {
			t.Errorf("%s: %v, %v, %q", c.first, err, state, text)
		}
	}
}

// A refusal stays one when it cannot be recorded, and the program that records it is told all of it.
func TestRecordOfRefusal(t *testing.T) {
	testenv.Need(t, "root")
	dir := t.TempDir()
	script, heard := filepath.Join(dir, "record"), filepath.Join(dir, "heard")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" >"+heard+"\nenv >>"+heard+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	good, bad := newSigner(t).PublicKey(), newSigner(t).PublicKey()
	t.Setenv("SSH_AUTH_INFO_0", used(bad))
	for _, record := range []string{script, "/nonexistent", "/bin/false"} {
		err := newGate(t, "--file="+grants(t, time.Time{}, good), "--record="+record).pass(said("open_session", "ada", used(bad)), time.Now())
		if r, ok := errors.AsType[*refusal](err); !ok || r.reason != notGranted {
			t.Errorf("%s: %v", record, err)
		}
	}
	text, err := os.ReadFile(heard)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"audit\nrefused\n", "--user=ada\n", "--address=192.0.2.1\n", "--reason=not-granted\n", "--key=" + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(bad)))} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the record is %q without %q", text, want)
		}
	}
	if strings.Contains(string(text), "SSH_AUTH_INFO_0") {
		t.Error("the environment was passed on")
	}
}

func TestGateFlags(t *testing.T) {
	for _, bad := range [][]string{{"--allow"}, {"--allow="}, {"--file"}, {"ada"}, {"--nonsense=1"}, {"--allow=password,publickey"}, {"--authority=MD5:00:11"}} {
		if _, err := parseGate(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	g, err := parseGate([]string{"--allow=password", "--allow=hostbased,gssapi-with-mic"})
	if err != nil || !slices.Equal(g.allow, []string{"password", "hostbased", "gssapi-with-mic"}) {
		t.Errorf("%v, %v", g, err)
	}
}

// Whatever stands in the variable, nothing but the granted key begins a session.
func FuzzJudge(f *testing.F) {
	path := filepath.Join(f.TempDir(), answer.Name)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		f.Fatal(err)
	}
	key, err := authkeys.ParseBlob(signer.PublicKey().Marshal())
	if err != nil {
		f.Fatal(err)
	}
	u := answer.User{Name: "ada", UID: 1001, Keys: []answer.Key{{Fingerprint: key.Fingerprint(), Line: key.String() + "\n"}}}
	data, err := answer.Make(slices.Values([]answer.User{u}), time.Time{})
	if err := errors.Join(err, os.WriteFile(path, data, 0o600)); err != nil {
		f.Fatal(err)
	}
	f.Add(used(signer.PublicKey()))
	f.Add("publickey ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIA==\n")
	f.Fuzz(func(t *testing.T, methods string) {
		r := gate{file: path, lookUp: accounts}.judge("ada", methods, time.Now())
		if r != nil {
			return
		}
		for line := range strings.Lines(methods) {
			blob, err := base64.StdEncoding.DecodeString(line[strings.LastIndex(line, " ")+1:])
			if point, _ := key.Ed25519(); err != nil || !bytes.Contains(blob, point[:]) {
				t.Fatalf("%q began a session", methods)
			}
		}
	})
}
