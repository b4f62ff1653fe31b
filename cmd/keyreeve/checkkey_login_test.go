package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The line that is given back for a text that sshd does not take lets the owner of the key in.
func TestMendedKeyLogsIn(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	server, keyreeve := testenv.StartSSHD(t, ""), checkSite(t, "")
	file, key := testenv.NewKey(t)
	alice := guest(t, key)
	alice.does(t, "mkdir .ssh; chmod 700 .ssh", "")
	kind, rest, _ := strings.Cut(strings.TrimSpace(key), " ")
	blob, _, _ := strings.Cut(rest, " ")
	for name, text := range map[string]string{
		"wrapped":         kind + " " + blob[:40] + "\n" + blob[40:] + "\n",
		"no type":         blob,
		"wrong type":      kind[1:] + " " + blob,
		"RFC 4716":        "---- BEGIN SSH2 PUBLIC KEY ----\n" + blob[:40] + "\n" + blob[40:] + "\n---- END SSH2 PUBLIC KEY ----\n",
		"byte order mark": "\ufeff" + key,
		"other blank":     kind + "\u00a0" + blob,
		"dash":            strings.ReplaceAll(kind, "-", "\u2013") + " " + blob,
		"mail":            "> " + kind + " " + blob,
		"a letter":        "Hello,\nmy key is: " + kind + " " + blob + "\nAnn",
	} {
		alice.does(t, "cat >.ssh/authorized_keys", text)
		if err := server.Login(alice.name, file); err == nil {
			t.Errorf("%s: sshd takes it as it stands", name)
		}
		status, out, errs := keyreeve(text, "check-key", "--format", "json")
		var d checkDocument
		if err := json.Unmarshal([]byte(out), &d); err != nil || status != statusAttention {
			t.Fatalf("%s: %d, %v, %s", name, status, err, errs)
		}
		alice.does(t, "cat >.ssh/authorized_keys", d.Line+"\n")
		if err := server.Login(alice.name, file); err != nil {
			t.Errorf("%s: %q: %v", name, d.Line, err)
		}
	}
}
