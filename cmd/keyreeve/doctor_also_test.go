package main

import (
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Another program behind --also is another way in: the doctor ends with a status that says so, and its drop-in does not forget the program.
func TestDoctorTellsOfAlso(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	s, examine := hospital(t, `AuthorizedKeysFile none
AuthorizedKeysCommand /usr/libexec/keyreeve/keyreeve-keys "--also=/home/mallory/keys %%u %%k" -- %u %U %h %f
AuthorizedKeysCommandUser nobody
Match User root
	AuthorizedKeysFile .ssh/authorized_keys
	AuthorizedKeysCommand none
`)
	s.more("answer: {dir: /var/lib/keyreeve-sshd}\n")
	status, text, said := examine("doctor")
	if status != statusAttention || said != "" || !strings.Contains(text, "defeats    keys-also           "+s.path("sshd_config")+":4\n") || !strings.Contains(text, "locks-out  keys-also-program   "+s.path("sshd_config")+":4\n") {
		t.Errorf("status %d, %s%s", status, text, said)
	}
	for _, way := range []string{"auto", "both", "strong"} {
		if _, text, said := examine("doctor", "--show-config="+way); said != "" || !strings.Contains(text, `AuthorizedKeysCommand /usr/libexec/keyreeve/keyreeve-keys "--also=/home/mallory/keys %%u %%k" -- %u %U %h %f %t %k`+"\n") {
			t.Errorf("%s: %s%s", way, text, said)
		}
	}
}
