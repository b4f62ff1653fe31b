package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// installSSHD puts a program in sshd's place that says which version it is.
func (s site) installSSHD(version string) {
	s.t.Helper()
	path := s.path("sshd")
	text := "#!/bin/sh\ncase $1 in -V) echo OpenSSH_" + version + ", OpenSSL 3 >&2; exit;; esac\necho Port 22; echo AuthorizedKeysFile .ssh/authorized_keys\n"
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o755), os.Rename(path+".new", path)); err != nil { // umask 022
		s.t.Fatal(err)
	}
}

// askStand configures enforcing with that program, and more.
func (s site) askStand(more string) {
	s.t.Helper()
	s.put("sshd_config", "")
	s.configure("enforce", s.ldifRegistry())
	s.more(more)
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	stand := "install: all, sshd: {program: " + s.path("sshd") + ", configs: [" + s.path("sshd_config") + "]}"
	s.put("keyreeve.yaml", strings.Replace(string(text), "sshd: {configs: []}", stand, 1))
}

// Keys are judged by the version of the sshd that is installed: an upgrade is found while the daemon runs, and a version that would ignore
// every line changes nothing.
func TestDaemonFollowsSSHDVersion(t *testing.T) {
	testenv.Need(t, "root") // a uid for the home
	s := newSite(t)
	_, keys := vectors(t)
	m := s.newMember(1, keys["A"], "verify-required "+keys["B"])
	m.write(t, "authorized_keys", keys["A"]+"\n")
	s.put("registry.ldif", entries(m))
	s.installSSHD("7.4p1")
	s.askStand("policy: {options: {force: [{options: restrict}]}}\nanswer: {dir: " + s.path("answers") + "}\n")
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
	s.installSSHD("8.4p1")
	has(true)
	d.await("another sshd: keys are judged by that", 1)
	before := m.read(t, "authorized_keys")
	s.installSSHD("6.6.1p1")
	d.await("another sshd, but keys are judged as before", 1)
	d.signal(syscall.SIGHUP)
	d.await("configuration not taken; the old one stays in force", 1)
	if after := m.read(t, "authorized_keys"); after != before {
		t.Errorf("%q became %q", before, after)
	}
	s.installSSHD("9.2p1")
	d.await("another sshd: keys are judged by that", 2)
	has(true)
	d.stop()
}

// A host that gets its name after the daemon has started forces what is forced by that name.
func TestDaemonFollowsHostName(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	_, keys := vectors(t)
	m := s.newMember(1, keys["A"])
	m.write(t, "authorized_keys", keys["A"]+"\n")
	s.put("registry.ldif", entries(m))
	s.installSSHD("9.2p1")
	s.askStand("policy: {options: {force: [{hosts: [login7.example.*], options: restrict}]}}\n")
	d := s.startBy(func(cmd *exec.Cmd) error {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUTS}
		return cmd.Start()
	})
	d.await("every home was looked at", 1)
	if text := m.read(t, "authorized_keys"); text != keys["A"]+"\n" {
		t.Errorf("before the host has its name, the file has %q", text)
	}
	rename := func(name string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "nsenter", "-t", strconv.Itoa(d.cmd.Process.Pid), "-u", "sh", "-c", "echo "+name+" >/proc/sys/kernel/hostname")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
		s.put("sshd_config", "# what sshd is asked for again; else the next sweep would be: "+name+"\n")
	}
	rename("login7.example.org")
	eventually(t, "the forced options", func() bool { return m.read(t, "authorized_keys") == "restrict "+keys["A"]+"\n" })
	// A name that is not known is none of another host.
	rename("")
	d.await("the names of this host are not known", 1)
	m.write(t, "authorized_keys", keys["A"]+"\n")
	eventually(t, "the forced options", func() bool { return m.read(t, "authorized_keys") == "restrict "+keys["A"]+"\n" })
	d.signal(syscall.SIGHUP)
	d.await("configuration not taken; the old one stays in force", 1)
	d.stop()
}
