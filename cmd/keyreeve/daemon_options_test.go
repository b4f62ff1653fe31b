package main

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Keys are judged by the version of the sshd that is installed: an upgrade is found while the daemon runs, and a version that would ignore
// every line changes nothing.
func TestDaemonFollowsSSHDVersion(t *testing.T) {
	testenv.Need(t, "root") // a uid for the home
	s := newSite(t)
	_, keys := vectors(t)
	m := s.newMember(1, keys["A"], "verify-required "+keys["B"])
	m.write(t, "authorized_keys", keys["A"]+"\n")
	s.put("registry.ldif", entries(m))
	install := func(version string) {
		t.Helper()
		path := s.path("sshd")
		text := "#!/bin/sh\ncase $1 in -V) echo OpenSSH_" + version + ", OpenSSL 3 >&2; exit;; esac\necho Port 22; echo AuthorizedKeysFile .ssh/authorized_keys\n"
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o755), os.Rename(path+".new", path)); err != nil { // umask 022
			t.Fatal(err)
		}
	}
	install("7.4p1")
	s.put("sshd_config", "")
	s.configure("enforce", s.ldifRegistry())
	s.more("policy: {options: {force: [{options: restrict}]}}\nanswer: {dir: " + s.path("answers") + "}\n")
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", strings.Replace(string(text), "sshd: {configs: []}", "install: all, sshd: {program: "+s.path("sshd")+", configs: ["+s.path("sshd_config")+"]}", 1))
	dir := s.path("answers") // the chown takes the set-group-ID bit away
	if err := errors.Join(os.Mkdir(dir, 0o750), os.Chown(dir, 0, m.gid), os.Chmod(dir, 0o750|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	// Both keys are forced to restrict; the one that needs more is there or not.
	has := func(both bool) {
		t.Helper()
		eventually(t, "sshd is told what it can read", func() bool {
			said, err := os.ReadFile(s.path("answers", "keys.cdb"))
			return err == nil && strings.Contains(string(said), "restrict "+keys["A"]) && strings.Contains(string(said), "verify-required,restrict "+keys["B"]) == both
		})
		want := "restrict " + keys["A"] + "\n"
		if both {
			want += "verify-required,restrict " + keys["B"] + "\n"
		}
		eventually(t, "the file agrees", func() bool { return m.read(t, "authorized_keys") == want })
	}
	d := s.start()
	has(false)
	install("8.4p1")
	has(true)
	d.await("another sshd: keys are judged by that", 1)
	before := m.read(t, "authorized_keys")
	install("6.6.1p1")
	d.await("another sshd, but keys are judged as before", 1)
	d.signal(syscall.SIGHUP)
	d.await("configuration not taken; the old one stays in force", 1)
	if after := m.read(t, "authorized_keys"); after != before {
		t.Errorf("%q became %q", before, after)
	}
	install("9.2p1")
	d.await("another sshd: keys are judged by that", 2)
	has(true)
	d.stop()
}
