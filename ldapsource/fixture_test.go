package ldapsource

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/registry"
)

const base = "dc=example,dc=org"

// posix is the layout of most tests.
func posix() Layout { return Layout{Schema: DefaultSchema()} }

// keyText is the n-th key of the tests, "ssh-ed25519 base64".
func keyText(n byte) string {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	public, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

// userDN is the name of a user's entry.
func userDN(name string) string { return "uid=" + name + ",ou=people," + base }

// userEntry is a complete entry of a user with the keys of some lines.
func userEntry(name string, uid int, keys ...string) Entry {
	e := Entry{DN: userDN(name), Attributes: []Attribute{
		attribute("objectClass", "inetOrgPerson", "posixAccount", "ldapPublicKey"),
		attribute("cn", name),
		attribute("sn", name),
		attribute("uid", name),
		attribute("uidNumber", fmt.Sprint(uid)),
		attribute("gidNumber", fmt.Sprint(uid+1)),
		attribute("homeDirectory", "/home/"+name),
	}}
	if len(keys) > 0 {
		e.Attributes = append(e.Attributes, attribute("sshPublicKey", keys...))
	}
	return e
}

// attribute makes an attribute of text.
func attribute(name string, values ...string) Attribute {
	a := Attribute{Name: name}
	for _, v := range values {
		a.Values = append(a.Values, []byte(v))
	}
	return a
}

// with returns an entry with one attribute replaced, or without it when there are no values.
func with(e Entry, name string, values ...string) Entry {
	e.Attributes = slices.DeleteFunc(slices.Clone(e.Attributes), func(a Attribute) bool { return a.Name == name })
	if len(values) > 0 {
		e.Attributes = append(e.Attributes, attribute(name, values...))
	}
	return e
}

// render writes entries as LDIF: text where RFC 2849 allows it, else base64.
func render(entries []Entry) string {
	var b strings.Builder
	b.WriteString("version: 1\n")
	for _, e := range entries {
		b.WriteString("\n" + renderValue("dn", []byte(e.DN)))
		for _, a := range e.Attributes {
			for _, v := range a.Values {
				b.WriteString(renderValue(a.Name, v))
			}
		}
	}
	return b.String()
}

func renderValue(name string, value []byte) string {
	safe := checkSafe(value) == nil && !strings.ContainsAny(string(value), "\n") && strings.Trim(string(value), " ") == string(value)
	if safe {
		return fmt.Sprintf("%s: %s\n", name, value)
	}
	return fmt.Sprintf("%s:: %s\n", name, encode(value))
}

// file writes a file for a test.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registry.ldif")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// users lists the users of a snapshot.
func users(s *registry.Snapshot) []registry.User {
	if s == nil {
		return nil
	}
	return slices.Collect(s.Users())
}

// diff compares users.
func diff(want, got []registry.User) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b authkeys.Key) bool { return a == b }),
		cmp.Comparer(func(a, b authkeys.Options) bool { return a == b }))
}

// record is what a line of authorized_keys becomes in the entry of a user.
func record(t *testing.T, name, line string) registry.Record {
	t.Helper()
	parsed, err := authkeys.ParseValue([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return registry.Record{Key: parsed.Key, Options: parsed.Options, Label: parsed.Comment, Origin: userDN(name)}
}

// wantError fails the test unless err has all the texts and s is nil: an error never comes with a registry.
func wantError(t *testing.T, s *registry.Snapshot, err error, texts ...string) {
	t.Helper()
	if s != nil {
		t.Errorf("a registry of %d users came with the error", s.Len())
	}
	if err == nil {
		t.Fatalf("no error, want one with %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error is %q, want one with %q", err, text)
		}
	}
}

// wantFault fails the test unless errors.Is finds the kind, and no other one.
func wantFault(t *testing.T, err error, want Fault) {
	t.Helper()
	if got := FaultOf(err); got != want || !errors.Is(err, want) {
		t.Errorf("the fault of %v is %q, want %q", err, got, want)
	}
}

// bundle is a file with what several hold.
func bundle(t *testing.T, paths ...string) string {
	t.Helper()
	var all []byte
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data...)
	}
	return file(t, string(all))
}
