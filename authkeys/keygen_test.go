package authkeys_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// keygen lists the keys that the real ssh-keygen sees in a text, as "bits fingerprint", one for each.
func keygen(t *testing.T, text []byte) []string {
	t.Helper()
	program, err := testenv.Program("ssh-keygen")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "authorized_keys")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "-l", "-f", name).Output()
	if err != nil {
		t.Fatalf("ssh-keygen -l: %v", err)
	}
	var keys []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) >= 2 {
			keys = append(keys, f[0]+" "+f[1])
		}
	}
	return keys
}

// ssh-keygen shows the same keys in what is written: same order, same bits, same fingerprints.
func TestKeygenReadsWhatIsWritten(t *testing.T) {
	testenv.Need(t, "sshd")
	var text []byte
	var want []string
	for _, v := range loadVectors(t) {
		for _, l := range authkeys.Parse(v.text) {
			if l.Kind != authkeys.Entry || versionDependent(l.Key) {
				continue
			}
			text = l.AppendTo(text)
			want = append(want, fmt.Sprintf("%d %s", l.Key.Bits(), l.Key.Fingerprint()))
		}
	}
	if diff := cmp.Diff(want, keygen(t, text)); diff != "" {
		t.Errorf("keys of Parse (-), of ssh-keygen (+):\n%s", diff)
	}
}

// In the vectors as they are ssh-keygen sees exactly the keys that Parse sees, whatever the options, for it does not look at
// them. Left out is where it is not sshd's equal: lines with CR, which it cuts there; certificates, which it shows; one blank
// only between options and type; any word in the place of options; and what depends on its version.
func TestKeygenSeesTheSameKeys(t *testing.T) {
	testenv.Need(t, "sshd")
	var text []byte
	var want []string
	differs := []string{`quote environment="X=\""` + " ", "type-type-blob", "other-type-first"}
	for _, v := range loadVectors(t) {
		if slices.Contains(differs, v.Name) || len(v.Old) != len(v.New) {
			continue
		}
		for _, l := range authkeys.Parse(v.text) {
			if strings.Contains(l.Raw, "\r") || strings.Contains(l.Raw, "-cert-v01@") || versionDependent(l.Key) {
				continue
			}
			text = append(append(text, l.Raw...), '\n')
			if !l.Key.IsZero() {
				want = append(want, fmt.Sprintf("%d %s", l.Key.Bits(), l.Key.Fingerprint()))
			}
		}
	}
	if diff := cmp.Diff(want, keygen(t, text)); diff != "" {
		t.Errorf("keys of Parse (-), of ssh-keygen (+):\n%s", diff)
	}
	if len(want) < 150 {
		t.Errorf("only %d keys compared", len(want))
	}
}

// versionDependent tells the types that some version of ssh-keygen between 9.2 and 10.5 does not know.
func versionDependent(k authkeys.Key) bool {
	return k.Type() == "ssh-dss" || k.Type() == "ssh-mldsa44-ed25519@openssh.com"
}
