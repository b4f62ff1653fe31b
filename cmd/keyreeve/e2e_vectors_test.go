package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/authkeys"
)

// vector is a file of authkeys/testdata/vectors with the verdicts of two real servers.
type vector struct {
	Name string   `json:"name"`
	File string   `json:"file"`
	Old  []string `json:"sshd_accepts"`
	New  []string `json:"sshd_newer_accepts"`
}

// accepts says whether a server lets in a key of that name.
func (v vector) accepts(key string) bool {
	return slices.Contains(v.Old, key) || slices.Contains(v.New, key)
}

// lost are the vectors whose one line sshd accepts and keyreeve takes away although the key is registered: options with control
// bytes, and more of them than a canonical line holds.
func (v vector) lost() bool {
	return slices.Contains([]string{"cr-inside-option", "cr-inside-command-option", "decoy-cr-env", "option-env-9K"}, v.Name)
}

// vectorFile reads a file of the vectors.
func vectorFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "authkeys", "testdata", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// vectors reads the vectors and the keys of their tests by name.
func vectors(t *testing.T) (list []vector, keys map[string]string) {
	t.Helper()
	var manifest struct {
		Vectors []vector `json:"vectors"`
	}
	if err := json.Unmarshal(vectorFile(t, "manifest.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(vectorFile(t, "keys.json"), &keys); err != nil {
		t.Fatal(err)
	}
	if len(manifest.Vectors) < 285 {
		t.Fatalf("only %d vectors", len(manifest.Vectors))
	}
	return manifest.Vectors, keys
}

// One process, one registry, one home for each file that was made to get a key past a reader: afterwards no reader sees
// any key but the registered one, and the registered one still is there where a server had let it in.
func TestApplyVectors(t *testing.T) {
	list, keys := vectors(t)
	for name, kept := range map[string]int{
		"A": 7,   // the key that the tricks try to hide behind
		"B": 100, // the key that they try to let in
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			members := make([]member, len(list))
			for i, v := range list {
				members[i] = s.newMember(i, keys[name])
				members[i].write(t, "authorized_keys", string(vectorFile(t, v.File)))
			}
			s.put("registry.ldif", entries(members...))
			s.configure("enforce", s.ldifRegistry())
			s.keyreeve(statusOK, "apply")
			found := 0
			for i, v := range list {
				text := members[i].read(t, "authorized_keys")
				there := onlyKey(t, v.Name, text, keys[name])
				if there {
					found++
				}
				if v.accepts(name) && !v.lost() && !there {
					t.Errorf("%s: sshd let the registered key in, and now it is gone: %q became %q", v.Name, vectorFile(t, v.File), text)
				}
			}
			if found < kept {
				t.Errorf("the registered key is left in %d files, want at least %d", found, kept)
			}
			s.keyreeve(statusOK, "plan") // what was written needs no second change
		})
	}
}

// onlyKey fails the test when either of two readers sees another key than the registered one, or an authority, in a
// text; it says whether both see the registered one.
func onlyKey(t *testing.T, name, text, registered string) bool {
	t.Helper()
	want, err := authkeys.ParseValue([]byte(registered))
	if err != nil {
		t.Fatal(err)
	}
	ours := false
	for _, line := range authkeys.Parse([]byte(text)) {
		switch {
		case line.Kind == authkeys.Malformed:
			t.Errorf("%s: a malformed line is left: %q", name, line.Raw)
		case line.Kind == authkeys.Entry && (line.Key != want.Key || line.Options.CertAuthority()):
			t.Errorf("%s: authkeys sees another key: %q", name, line.Raw)
		case line.Kind == authkeys.Entry:
			ours = true
		}
	}
	theirs := false
	for line := range strings.Lines(text) {
		key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			continue
		}
		if string(key.Marshal()) != string(want.Key.Wire()) || slices.Contains(options, "cert-authority") {
			t.Errorf("%s: x/crypto sees another key: %q", name, line)
		}
		theirs = true
	}
	if ours != theirs {
		t.Errorf("%s: authkeys sees the registered key: %v; x/crypto: %v", name, ours, theirs)
	}
	return ours
}
