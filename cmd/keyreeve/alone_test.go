package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Beside a daemon apply refuses to work, whatever its own reading would say, and leaves what is kept of the registry as it is. What it
// advises does what was wanted.
func TestApplyBesideTheDaemon(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	m := s.newMember(1, keys["A"], keys["B"])
	text := keys["A"] + "\n" + keys["B"] + "\n" + keys["D"] + "\n"
	m.write(t, "authorized_keys", text)
	s.put("registry.ldif", entries(m))
	s.configure("report", s.ldifRegistry())
	d := s.start()
	d.await("every home was looked at", 1)
	kept := func() []byte {
		t.Helper()
		good, err := os.ReadFile(s.path("state", "registry", "good"))
		if err != nil {
			t.Fatal(err)
		}
		return good
	}
	before := kept()
	// An older state of the registry, as a replica may still have it: B is not registered there.
	old := m
	old.keys = old.keys[:1]
	s.put("old.ldif", entries(old))
	s.configure("enforce", strings.Replace(s.ldifRegistry(), "registry.ldif", "old.ldif", 1))
	_, said := s.keyreeve(statusError, "apply")
	if !strings.Contains(said, "registry/ledger.lock: held by process ") || !strings.Contains(said, "hint: nothing was changed; ") {
		t.Errorf("apply said %q", said)
	}
	if got := m.read(t, "authorized_keys"); got != text {
		t.Errorf("the file holds %q", got)
	}
	if !bytes.Equal(kept(), before) {
		t.Error("the last good reading is another one")
	}

	s.configure("enforce", s.ldifRegistry())
	s.keyreeve(statusAttention, "plan")
	d.signal(syscall.SIGHUP)
	m.loses(t, "authorized_keys", keys["D"])
	if got := m.read(t, "authorized_keys"); got != keys["A"]+"\n"+keys["B"]+"\n" {
		t.Errorf("after the reload the file holds %q", got)
	}
	d.stop()
	s.keyreeve(statusOK, "apply")
}

// Two at a time do not work either: the one that began earlier may have read what is older by now. A daemon waits for it. The program that stands for sshd
// stops the first between its reading and its looks.
func TestApplyAlone(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	m := s.newMember(1, keys["A"])
	s.put("registry.ldif", entries(m))
	s.configure("enforce", s.ldifRegistry())
	s.keyreeve(statusOK, "apply")
	m.write(t, "authorized_keys", keys["A"]+"\n"+keys["D"]+"\n")
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("sshd", "#!/bin/sh\n>>"+s.path("asked")+"\nwhile [ ! -e "+s.path("go")+" ]; do sleep 0.02; done\necho port 22\necho authorizedkeysfile .ssh/authorized_keys\n")
	s.put("sshd_config", "")
	s.put("keyreeve.yaml", strings.Replace(string(text), "sshd: {configs: []}", "sshd: {program: "+s.path("sshd")+", configs: ["+s.path("sshd_config")+"]}", 1))
	if err := os.Chmod(s.path("sshd"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	first := exec.Command("keyreeve", "apply", "--config", s.path("keyreeve.yaml"))
	first.Stdout, first.Stderr = &out, &out
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first asks sshd", func() bool {
		_, err := os.Stat(s.path("asked"))
		return err == nil
	})
	d := s.start() // waits
	_, said := s.keyreeve(statusError, "apply")
	s.put("go", "")
	if err := first.Wait(); err != nil {
		t.Errorf("the first: %v\n%s", err, &out)
	}
	if !strings.Contains(said, "registry/ledger.lock: held by process ") {
		t.Errorf("the second said %q", said)
	}
	onlyKey(t, "authorized_keys", m.read(t, "authorized_keys"), keys["A"])
	d.await("every home was looked at", 1)
	d.stop()
	s.keyreeve(statusOK, "apply")
}
