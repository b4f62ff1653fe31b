package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAlgorithms(t *testing.T) {
	for _, c := range []struct {
		rules []Rule
		names [][]string
		bits  int
	}{
		{DefaultRules().Keys, [][]string{{"ssh-ed25519"}, {"sk-ssh-ed25519@openssh.com"}, {"rsa-sha2-512", "rsa-sha2-256"}}, 4096},
		{[]Rule{{Type: rsa, MinBits: 3072}}, [][]string{{"rsa-sha2-512", "rsa-sha2-256"}}, 3072},
		{[]Rule{{Type: skEd25519}}, [][]string{{"sk-ssh-ed25519@openssh.com"}}, 0},
	} {
		names, bits := Rules{Keys: c.rules}.Algorithms(time.Now())
		if diff := cmp.Diff(c.names, names); diff != "" || bits != c.bits {
			t.Errorf("%v: %d bits, %s", c.rules, bits, diff)
		}
	}
	// Every type that a rule can have is one that sshd can be told.
	for _, kind := range []string{ed25519, skEd25519, rsa} {
		rule := Rule{Type: kind}
		if kind == rsa {
			rule.MinBits = leastRSABits
		}
		if _, err := Compile(Rules{Keys: []Rule{rule}}); err != nil {
			t.Fatal(err)
		}
		if names, _ := (Rules{Keys: []Rule{rule}}).Algorithms(time.Now()); len(names) != 1 {
			t.Errorf("%s: %v", kind, names)
		}
	}
}
