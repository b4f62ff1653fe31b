package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newerSSHD makes an sshd that finds key files by patterns (10.0) say that it reads some.
func (s *site) newerSSHD(files string) {
	s.t.Helper()
	s.put("sshd_config", "AuthorizedKeysFile "+files+"\n")
	s.put("sshd", "#!/bin/sh\n[ \"$1\" = -V ] && { echo OpenSSH_10.0p2, OpenSSL 3.5 >&2; exit; }\necho Port 22\ncat "+s.path("sshd_config")+"\n")
	if err := os.Chmod(s.path("sshd"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	s.configure("enforce", s.ldifRegistry())
	s.asks(s.path("sshd_config"))
	s.edit("configs:", "program: "+s.path("sshd")+", configs:")
}

// What comes to match a pattern of sshd 10 later is seen at once, whatever its name, and so is a folder that comes later.
func TestDaemonKeepsWhatPatternsFind(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "keys-1", keys["B"]+"\n"+keys["A"]+"\n")
	s.put("registry.ldif", entries(user))
	s.newerSSHD(".ssh/keys* .ssh/keys.d/[!_]*")
	d := s.start()
	d.await("every home was looked at", 1)
	user.loses(t, "keys-1", keys["B"])
	for _, name := range []string{"keys-2", "keys\xff\n[*]", "keys" + strings.Repeat("x", 251)} {
		user.write(t, name, keys["B"]+"\n")
		user.loses(t, name, keys["B"])
	}
	user.does(t, "mkdir .ssh/keys.d; cat >.ssh/keys.d/x", keys["B"]+"\n")
	user.loses(t, filepath.Join("keys.d", "x"), keys["B"])
	user.does(t, "chmod 300 .ssh/keys.d; cat >.ssh/keys.d/y", keys["B"]+"\n")
	user.loses(t, filepath.Join("keys.d", "y"), keys["B"])
	user.does(t, "cat >.ssh/keys.d/_z", keys["B"]+"\n")
	if text, err := os.ReadFile(user.file(filepath.Join("keys.d", "_z"))); err != nil || !strings.Contains(string(text), keys["B"]) {
		t.Errorf("a file that sshd does not read was changed: %v", err)
	}
	d.stop()
}
