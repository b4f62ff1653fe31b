package krl

import (
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// What is on a list is revoked for OpenSSH, whatever its type, and nothing else is.
func TestListIsThatOfOpenSSH(t *testing.T) {
	testenv.Need(t, "sshd")
	program, err := testenv.Program("ssh-keygen")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var hashes []Hash
	var on, off []string
	for _, of := range [][]string{{"ed25519"}, {"rsa", "-b", "2048"}, {"ecdsa", "-b", "384"}} {
		for _, list := range []*[]string{&on, &off} {
			file := filepath.Join(dir, of[0]+string(rune('a'+len(on)+len(off))))
			if said, err := exec.CommandContext(t.Context(), program, append([]string{"-q", "-N", "", "-f", file, "-t"}, of...)...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			*list = append(*list, file+".pub")
		}
	}
	for _, file := range on {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, sha256.Sum256(key.Marshal()))
	}
	path := filepath.Join(dir, "list")
	if err := os.WriteFile(path, Make(hashes), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range slices.Concat(on, off) {
		said, err := exec.CommandContext(t.Context(), program, "-Q", "-f", path, file).CombinedOutput()
		if revoked := err != nil && strings.Contains(string(said), "REVOKED"); revoked != slices.Contains(on, file) || err != nil && !revoked {
			t.Errorf("%s: %v, %s", file, err, said)
		}
	}
}

func TestParse(t *testing.T) {
	hashes := []Hash{{2}, {1}, {1}}
	list := Make(hashes)
	if !slices.Equal(list, Make([]Hash{{1}, {2}})) {
		t.Error("equal sets give unequal bytes")
	}
	if !slices.Equal(hashes, []Hash{{2}, {1}, {1}}) {
		t.Errorf("what was given became %v", hashes)
	}
	if got, ours, err := Parse(list); err != nil || !ours || !slices.Equal(got, []Hash{{1}, {2}}) {
		t.Errorf("%v, ours %v, %v", got, ours, err)
	}
	if got, ours, err := Parse(Make(nil)); err != nil || !ours || got != nil {
		t.Errorf("an empty one: %v, ours %v, %v", got, ours, err)
	}
	for size := 1; size < len(list); size++ {
		if got, ours, err := Parse(list[:size]); ours && err == nil {
			t.Fatalf("of %d bytes of %d: %v", size, len(list), got)
		}
	}
	if _, ours, _ := Parse([]byte("ssh-ed25519 AAAA root@host\n")); ours {
		t.Error("somebody's own list is taken for one of keyreeve's")
	}
}
