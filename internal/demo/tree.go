package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed keys.txt
var keyLines string

// keys reads the embedded keys: name, type, blob.
func keys() map[string]string {
	list := make(map[string]string)
	for line := range strings.Lines(keyLines) {
		if name, key, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			list[name] = key
		}
	}
	return list
}

// person is one user: what is registered for him, and what his files hold.
type person struct {
	name       string
	story      string
	registered []string
	file       string
	second     string
	noHome     bool
	link       bool // the file is a symbolic link to another one
}

// people is the cast.
func people(k map[string]string) []person {
	return []person{
		{name: "ada", story: "registered ed25519 key and a comment: nothing to do", registered: []string{k["centre-ed25519"] + " ada@laptop"}, file: "# my laptop\n" + k["centre-ed25519"] + " ada@laptop\n"},
		{name: "bob", story: "registered RSA 4096 key, and one that nobody registered", registered: []string{k["centre-rsa4096"]}, file: k["centre-rsa4096"] + " bob@desk\n" + k["unknown"] + " added at night\n"},
		{name: "carol", story: "registered RSA 3072 key: the policy wants 4096 bits", registered: []string{k["centre-rsa3072"]}, file: k["centre-rsa3072"] + " carol@server\n"},
		{name: "dave", story: "a DSA key beside the registered one", registered: []string{k["own"]}, file: k["dsa"] + " dave@1999\n" + k["own"] + " dave@now\n"},
		{name: "erin", story: "registered hardware key (sk-ed25519), and an ECDSA key", registered: []string{k["sk-ed25519"]}, file: k["sk-ed25519"] + " erin@token\n" + k["ecdsa"] + " erin@phone\n"},
		{name: "frank", story: "registered key made into a certificate authority", registered: []string{k["own"]}, file: "cert-authority " + k["own"] + "\n" + k["own"] + " frank\n"},
		{name: "grace", story: "a key that was pasted in two lines", registered: []string{k["own"]}, file: k["other"][:40] + "\n" + k["other"][40:] + "\n" + k["own"] + " grace\n"},
		{name: "heidi", story: "a file from an editor that writes CRLF", registered: []string{k["own"]}, file: "# from Windows\r\n" + k["own"] + " heidi\r\n"},
		{name: "ivan", story: "an RSA 2048 key, unregistered, and nothing else", registered: []string{k["own"]}, file: k["rsa2048"] + " ivan@old\n"},
		{name: "judy", story: "an unknown key in authorized_keys2, which sshd reads too", registered: []string{k["own"]}, file: k["own"] + " judy\n", second: k["unknown"] + "\n"},
		{name: "ken", story: "authorized_keys is a symbolic link", registered: []string{k["own"]}, file: k["own"] + " ken\n" + k["unknown"] + "\n", link: true},
		{name: "lara", story: "registered, but has no home here yet", registered: []string{k["own"]}, noHome: true},
	}
}

// tree is the throw-away centre.
type tree struct {
	dir    string
	config string
	people []person
	keys   map[string]string
}

// firstUID is the first of the uids that the homes get when root builds them: above those of people on any usual system.
const firstUID = 61001

func (t *tree) home(name string) string { return filepath.Join(t.dir, "home", name) }

// uid is whose a home is.
func uid(i int) int {
	if own := os.Geteuid(); own != 0 {
		return own
	}
	return firstUID + i
}

// build writes registry, configuration and homes below dir.
func build(dir string) (*tree, error) {
	t := &tree{dir: dir, config: filepath.Join(dir, "keyreeve.yaml"), keys: keys()}
	t.people = people(t.keys)
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the users of the demo's homes pass through
		return nil, err
	}
	var ldif strings.Builder
	for i, p := range t.people {
		if err := t.buildHome(i, p); err != nil {
			return nil, err
		}
		fmt.Fprintf(&ldif, "dn: uid=%s,ou=people,dc=example,dc=org\nobjectClass: posixAccount\nobjectClass: ldapPublicKey\nuid: %[1]s\n"+
			"uidNumber: %[2]d\ngidNumber: %[2]d\nhomeDirectory: %[3]s\n", p.name, uid(i), t.home(p.name))
		for _, key := range p.registered {
			fmt.Fprintf(&ldif, "sshPublicKey: %s\n", key)
		}
		ldif.WriteString("\n")
	}
	config := fmt.Sprintf("mode: enforce\nregistry:\n  source: ldif\n  ldif: {path: %[1]s/registry.ldif}\nhomes: {min_uid: 1, sshd: {configs: []}}\n"+
		"state_dir: %[1]s/state\nruntime_dir: %[1]s/run\naudit: {file: %[1]s/log/audit.jsonl}\n", dir)
	return t, errors.Join(
		os.WriteFile(filepath.Join(dir, "registry.ldif"), []byte(ldif.String()), 0o600),
		os.WriteFile(t.config, []byte(config), 0o600))
}

func (t *tree) buildHome(i int, p person) error {
	if p.noHome {
		return nil
	}
	ssh := filepath.Join(t.home(p.name), ".ssh")
	if err := os.MkdirAll(ssh, 0o755); err != nil { //nolint:gosec // the folders above the homes; .ssh itself is 0700 below
		return err
	}
	name := "authorized_keys"
	if p.link {
		if err := os.Symlink("elsewhere", filepath.Join(ssh, name)); err != nil {
			return err
		}
		name = "elsewhere"
	}
	if err := os.WriteFile(filepath.Join(ssh, name), []byte(p.file), 0o600); err != nil {
		return err
	}
	if p.second != "" {
		if err := os.WriteFile(filepath.Join(ssh, "authorized_keys2"), []byte(p.second), 0o600); err != nil {
			return err
		}
	}
	if err := os.Chmod(ssh, 0o700); err != nil { //nolint:gosec // the mode that sshd(8) recommends for .ssh
		return err
	}
	return filepath.WalkDir(t.home(p.name), func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid(i), ownGroup(i)) //nolint:gosec // a tree that nobody else knows of yet
	})
}

// ownGroup is the group of a home: the uid's own when root builds it, and that of the ordinary user otherwise.
func ownGroup(i int) int {
	if os.Geteuid() == 0 {
		return uid(i)
	}
	return os.Getegid()
}
