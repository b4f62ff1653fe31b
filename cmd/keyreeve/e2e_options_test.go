package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// forwards reports whether a key may open a connection through the server, to the server itself, whose greeting comes back then. It logs in
// first, so that a refusal is one of the forwarding.
func forwards(t *testing.T, server *testenv.SSHD, user, keyFile string) bool {
	t.Helper()
	if err := server.Login(user, keyFile); err != nil {
		t.Fatalf("the key must log in, or nothing is proven: %v", err)
	}
	program, err := testenv.Program("ssh")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	port := strconv.Itoa(server.Port)
	cmd := exec.CommandContext(ctx, program, "-F", "none", "-i", keyFile, "-p", port, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-W", net.JoinHostPort("127.0.0.1", port), user+"@127.0.0.1")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	_ = cmd.Run() // the end of its input ends it; what came back says how it went
	switch {
	case strings.HasPrefix(out.String(), "SSH-2.0-"):
		return true
	case strings.Contains(said.String(), "administratively prohibited"):
		return false
	}
	t.Fatalf("neither forwarded nor prohibited: %q, %q", &out, &said)
	return false
}

// What a centre forces holds in home files, in answers and for keys of other programs, whatever users write themselves, and a reload is enough.
func TestForcedOptionsLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	t.Run("files", func(t *testing.T) {
		s, server := newSite(t), testenv.StartSSHD(t, "")
		file, key := testenv.NewKey(t)
		bound, second := testenv.NewKey(t)
		ada := guest(t, key)
		ada.keys = append(ada.keys, "port-forwarding "+second)
		own := "restrict,pty,port-forwarding " + key + " mine\n"
		ada.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", own+second+"\n")
		if !forwards(t, server, ada.name, file) || !forwards(t, server, ada.name, bound) {
			t.Fatal("without keyreeve it must be forwarded, or nothing is proven")
		}
		s.put("registry.ldif", entries(ada))
		s.force("restrict")
		d := s.start()
		lacks := func() {
			t.Helper()
			eventually(t, "the forced options", func() bool {
				return ada.read(t, "authorized_keys") == "restrict "+key+" mine\nrestrict "+second+"\n"
			})
			if forwards(t, server, ada.name, file) || forwards(t, server, ada.name, bound) {
				t.Error("what is forced was undone")
			}
		}
		lacks()
		ada.does(t, "cat >.ssh/authorized_keys", key+" mine\n"+second+"\n")
		lacks()
		ada.does(t, "cat >.ssh/authorized_keys", own+"restrict,port-forwarding "+second+"\n")
		lacks()
		// What was forced stays in a line whose options are its user's, until it is lifted.
		forcedFrom(t, s, d, server, ada.name, bound)
		if text := ada.read(t, "authorized_keys"); !strings.HasPrefix(text, `restrict,from="10.0.0.0/8" `+key) {
			t.Errorf("the file has %q", text)
		}
		s.configure("enforce", s.ldifRegistry())
		s.more("policy: {options: {lift: ['restrict,from=\"10.0.0.0/8\"']}}\n")
		d = s.start()
		eventually(t, "what is lifted", func() bool { return ada.read(t, "authorized_keys") == key+" mine\nport-forwarding "+second+"\n" })
		if !forwards(t, server, ada.name, file) {
			t.Error("what was lifted is in force")
		}
		d.stop()
	})
	t.Run("answers", func(t *testing.T) {
		desk, s := newDesk(t), newSite(t)
		chained, other := testenv.NewKey(t)
		also := filepath.Join(filepath.Dir(desk.program), "also")
		if err := os.WriteFile(also, []byte("#!/bin/sh\necho 'pty,port-forwarding "+other+"'\n"), 0o755); err != nil { // umask 022
			t.Fatal(err)
		}
		plain := "AuthorizedKeysCommand " + desk.program
		config := strings.Replace(desk.dropIn(t, "10-keyreeve-strong.conf"), plain, plain+fmt.Sprintf(` "--also=%s %%%%u"`, also), 1)
		server := testenv.StartSSHD(t, config)
		file, key := testenv.NewKey(t)
		ada := guest(t, key)
		s.put("registry.ldif", entries(ada))
		s.force("", "answer: {dir: "+desk.dir+"}")
		d := s.start()
		eventually(t, "sshd is answered", func() bool { return server.Login(ada.name, file) == nil })
		if !forwards(t, server, ada.name, file) || !forwards(t, server, ada.name, chained) {
			t.Fatal("before it is forced it must be forwarded, or nothing is proven")
		}
		s.force("restrict", "answer: {dir: "+desk.dir+"}")
		d.signal(syscall.SIGHUP)
		eventually(t, "the forced options", func() bool { return !forwards(t, server, ada.name, file) })
		if forwards(t, server, ada.name, chained) {
			t.Error("a key of another program is forwarded")
		}
		forcedFrom(t, s, d, server, ada.name, file, "answer: {dir: "+desk.dir+"}")
		turnedAway(t, server, ada.name, chained)
	})
}

// force configures options for every host, and some more for this one; "" is none.
func (s site) force(options string, more ...string) {
	s.t.Helper()
	s.configure("enforce", s.ldifRegistry())
	if options != "" {
		more = append(more, fmt.Sprintf("policy: {options: {force: [{hosts: [nowhere.invalid], options: no-pty}, {hosts: ['*'], options: '%s'}]}}", options))
	}
	s.more(strings.Join(more, "\n") + "\n")
}

// forcedFrom reloads a daemon with a from that this host is in, and one in which it is not.
func forcedFrom(t *testing.T, s site, d *child, server *testenv.SSHD, user, file string, more ...string) {
	t.Helper()
	s.force(`from="127.0.0.0/8,10.0.0.0/8"`, more...)
	d.signal(syscall.SIGHUP)
	eventually(t, "what is no longer forced", func() bool { return forwards(t, server, user, file) })
	s.force(`from="10.0.0.0/8"`, more...)
	d.signal(syscall.SIGHUP)
	eventually(t, "from", func() bool { return errors.Is(server.Login(user, file), testenv.ErrRefused) })
	d.stop()
	if text := strings.Join(d.log, "\n"); strings.Contains(text, `"level":"error"`) {
		t.Errorf("the daemon had errors: %s", text)
	}
}
