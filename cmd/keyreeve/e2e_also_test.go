package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// shortKey is an RSA key that sshd takes and the policy does not.
func shortKey(t *testing.T) (keyFile, line string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&private.PublicKey)
	keyFile = filepath.Join(t.TempDir(), "short")
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	if err := errors.Join(err, os.WriteFile(keyFile, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return keyFile, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

// chained is the drop-in for "strong" with another program beside keyreeve's.
func (d desk) chained(t *testing.T, also string) string {
	t.Helper()
	config, plain := d.dropIn(t, "10-keyreeve-strong.conf"), "AuthorizedKeysCommand "+d.program
	chained := strings.Replace(config, plain, fmt.Sprintf("%s %q", plain, "--also="+also), 1)
	if chained == config {
		t.Fatalf("no %q in %q", plain, config)
	}
	return chained
}

// A key that another AuthorizedKeysCommand gives logs in beside those that are registered, if the policy takes it and the registry
// does not take it from this user; when that program hangs, it costs its own keys and two seconds.
func TestAlsoLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	d, s := newDesk(t), newSite(t)
	also := filepath.Join(filepath.Dir(d.program), "also")
	theirs := func(lines ...string) {
		t.Helper()
		var script strings.Builder
		script.WriteString("#!/bin/sh\n[ \"$1\" = \"$2\" ] || exit 1\n") // %u is one name, as %%u by way of keyreeve-keys
		for _, line := range lines {
			script.WriteString("echo '" + line + "'\n")
		}
		if err := errors.Join(os.WriteFile(also+".new", []byte(script.String()), 0o755), os.Rename(also+".new", also)); err != nil { // umask 022
			t.Fatal(err)
		}
	}
	server := testenv.StartSSHD(t, d.chained(t, also+" %%u %u"))
	goodFile, good := testenv.NewKey(t)
	chainFile, chain := testenv.NewKey(t)
	lostFile, lost := testenv.NewKey(t)
	shortFile, short := shortKey(t)
	certified, _ := testenv.NewKey(t)
	ada := guest(t, good)
	ada.keys = []string{good, lost}
	s.put("registry.ldif", entries(ada))
	s.configure("enforce", s.ldifRegistry())
	s.more(fmt.Sprintf("answer: {dir: %s}\n", d.dir))
	in := func(key string) {
		t.Helper()
		if err := server.Login(ada.name, key); err != nil {
			t.Error(err)
		}
	}
	out := func(key string) {
		t.Helper()
		if err := server.Login(ada.name, key); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("got %v, want ErrRefused", err)
		}
	}
	theirs(chain, short, lost, "cert-authority "+chain)
	out(chainFile) // without a file of answers there are no rules to judge it by
	daemon := s.start()
	eventually(t, "sshd is answered", func() bool { return server.Login(ada.name, goodFile) == nil })
	in(chainFile)
	in(lostFile)
	out(shortFile)
	out(certified)

	ada.keys = []string{good}
	s.put("registry.ldif", entries(ada))
	turnedAway(t, server, ada.name, lostFile) // though the other program says it

	theirs(chain, "'; exec sleep 1000; '")
	began := time.Now()
	out(chainFile)
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("it was not waited for: %v", took)
	}
	in(goodFile)
	theirs(chain, "'; exit 1; '")
	out(chainFile)
	in(goodFile)
	theirs(chain)
	in(chainFile)
	daemon.stop()
}

// Whose account does not count gets in by no program, whether the rest of his entry can be acted on or not.
func TestAlsoLoginsOfWhoIsLeftAlone(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	d, s := newDesk(t), newSite(t)
	goodFile, good := testenv.NewKey(t)
	markFile, mark := testenv.NewKey(t)
	mallory, bob := guest(t, good), guest(t, good)
	also := filepath.Join(filepath.Dir(d.program), "also")
	if err := os.WriteFile(also, []byte("#!/bin/sh\necho '"+good+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	server := testenv.StartSSHD(t, d.chained(t, also+" %%u"))
	spoilt := mallory
	spoilt.home += "*" // which sshd expands
	put := func(locked bool, keys ...string) {
		t.Helper()
		entry := entries(spoilt)
		if locked {
			entry = strings.Replace(entry, "objectClass: ldapPublicKey\n", "objectClass: ldapPublicKey\npwdAccountLockedTime: 000001010000Z\n", 1)
		}
		bob.keys = keys
		s.put("registry.ldif", entry+entries(bob))
	}
	put(false, good, mark)
	s.configure("enforce", s.ldifRegistry())
	s.more(fmt.Sprintf("answer: {dir: %s}\n", d.dir))
	daemon := s.start()
	eventually(t, "sshd is answered", func() bool { return server.Login(bob.name, markFile) == nil })
	if err := server.Login(mallory.name, goodFile); err != nil {
		t.Fatalf("who is not locked: %v", err)
	}
	put(true, good)
	turnedAway(t, server, bob.name, markFile)
	if err := server.Login(mallory.name, goodFile); !errors.Is(err, testenv.ErrRefused) {
		t.Errorf("who is locked: got %v, want ErrRefused", err)
	}
	daemon.stop()
}
