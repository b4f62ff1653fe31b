package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/explain"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// hindrance is what keeps somebody out, or does not.
type hindrance struct {
	name string
	// make brings it about; the key is registered and in the file, unless it says otherwise.
	make func(t *testing.T, m *member, line string)
	// block is for him alone in sshd's configuration.
	block string
	// code is what explain finds; empty: the key logs in.
	code string
	// lacks: the registry does not list the key; locked: it says that the account is; rsa: the key is one of 2048 bits.
	lacks, locked, rsa bool
	// debian: the sshd of Debian and its kin lets him in all the same.
	debian bool
}

// asRoot runs a program as root.
func asRoot(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", words, err, out)
	}
}

func inFile(t *testing.T, m *member, line string) {
	t.Helper()
	m.does(t, "mkdir -p .ssh; cat >>.ssh/authorized_keys", line+"\n")
}

// afterwards puts the key into the file, and runs a program then.
func afterwards(words ...string) func(*testing.T, *member, string) {
	return func(t *testing.T, m *member, line string) {
		t.Helper()
		inFile(t, m, line)
		var list []string
		for _, word := range words {
			list = append(list, strings.NewReplacer("HOME", m.home, "USER", m.name).Replace(word))
		}
		asRoot(t, list...)
	}
}

func with(options string) func(*testing.T, *member, string) {
	return func(t *testing.T, m *member, line string) {
		t.Helper()
		inFile(t, m, options+" "+line)
	}
}

func none(*testing.T, *member, string) {}

func hindrances(d desk, dir string) []hindrance {
	strong := fmt.Sprintf("AuthorizedKeysFile none\n\tAuthorizedKeysCommand %s --file=%s/keys.cdb -- %%u %%U %%h %%f\n\tAuthorizedKeysCommandUser %s", d.program, d.dir, d.account.Name)
	by := func(program string) string {
		return "AuthorizedKeysFile none\n\tAuthorizedKeysCommand " + program + "\n\tAuthorizedKeysCommandUser nobody"
	}
	return []hindrance{
		{name: "all is well", make: inFile},
		{name: "all is well in strong mode", make: none, block: strong},
		{name: "home of the group's to write", make: afterwards("sh", "-c", "chgrp 100 HOME; chmod 0775 HOME"), code: "strict-modes"},
		{name: "home of his own group's to write", make: afterwards("chmod", "0775", "HOME"), code: "strict-modes", debian: true},
		{name: "key directory of another", make: afterwards("sh", "-c", "chown nobody HOME/.ssh; chmod 0755 HOME/.ssh; chmod 0644 HOME/.ssh/authorized_keys"), code: "strict-modes"},
		{name: "key directory of another, shut", make: afterwards("chown", "nobody", "HOME/.ssh"), code: "file-unreadable"},
		{name: "unregistered, and in no file", make: none, lacks: true, code: "unregistered"},
		{name: "unregistered, and in the file still", make: inFile, lacks: true},
		{name: "weak by the policy", make: none, block: strong, rsa: true, code: "rsa-too-short"},
		{name: "locked in the registry", make: none, block: strong, locked: true, code: "account-locked"},
		{name: "from another network", make: with(`from="192.0.2.0/24"`), code: "from"},
		{name: "from this network", make: with(`from="10.0.0.1,127.0.0.0/8"`)},
		{name: "no home", make: afterwards("rm", "-r", "HOME"), code: "no-home"},
		{name: "no home in strong mode", make: afterwards("rm", "-r", "HOME"), block: strong},
		{name: "the command fails", make: inFile, block: by("/bin/false"), code: "command-failed"},
		{name: "the command is anybody's to write", make: inFile, block: by(dir + "/anybodys"), code: "command-fault"},
		{name: "denied by name", make: inFile, block: "DenyUsers kr-*", code: "deny-users"},
		{name: "none of the groups that are allowed", make: inFile, block: "AllowGroups nobodys-*", code: "allow-groups"},
		{name: "locked on this host", make: afterwards("usermod", "-L", "USER"), code: "account-locked-here"},
		{name: "without a shell", make: afterwards("usermod", "-s", "/nowhere/sh", "USER"), code: "shell"},
		{name: "of another type than sshd takes", make: inFile, block: "PubkeyAcceptedAlgorithms rsa-sha2-512", code: "algorithm"},
		{name: "no list of revoked keys", make: inFile, block: "RevokedKeys /nowhere/revoked", code: "revoked-list"},
		{name: "at its end", make: with(`expiry-time="20200101Z"`), code: "line-expired"},
		{name: "an authority", make: with("cert-authority"), code: "cert-authority"},
		{name: "a FIFO", make: afterwards("sh", "-c", "rm HOME/.ssh/authorized_keys; mkfifo HOME/.ssh/authorized_keys"), code: "no-line"},
		{name: "a file out of its owner's reach", make: afterwards("chmod", "0", "HOME/.ssh/authorized_keys"), code: "file-unreadable"},
		{name: "a link elsewhere in the home", make: afterwards("sh", "-c", "mv HOME/.ssh/authorized_keys HOME/keys; ln -s ../keys HOME/.ssh/authorized_keys; chown -h USER: HOME/.ssh/authorized_keys")},
	}
}

// What explain says of a key is what a real sshd does with it, and of each fault it names the cause.
func TestExplainAgreesWithLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	d, s, dir := newDesk(t), newSite(t), testenv.RootDir(t)
	anybodys := filepath.Join(dir, "anybodys")
	if err := errors.Join(os.WriteFile(anybodys, []byte("#!/bin/sh\n"), 0o600), os.Chmod(anybodys, 0o777)); err != nil {
		t.Fatal(err)
	}
	file, public := testenv.NewKey(t)
	_, other := testenv.NewKey(t)
	rsa := filepath.Join(t.TempDir(), "rsa")
	asRoot(t, "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", rsa)
	short, err := os.ReadFile(rsa + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	list := hindrances(d, dir)
	members := make([]member, len(list))
	var config, registry strings.Builder
	for i, c := range list {
		m := guest(t, public)
		line := public
		switch {
		case c.lacks:
			m.keys = []string{other}
		case c.rsa:
			line = strings.TrimSpace(string(short))
			m.keys = []string{line}
		}
		c.make(t, &m, line)
		entry := entries(m)
		if c.locked {
			entry = strings.Replace(entry, "\n\n", "\npwdAccountLockedTime: 000001010000Z\n\n", 1)
		}
		registry.WriteString(entry)
		if c.block != "" {
			fmt.Fprintf(&config, "Match User %s\n\t%s\n", m.name, c.block)
		}
		members[i] = m
	}
	s.put("registry.ldif", registry.String())
	server := testenv.StartSSHD(t, config.String())
	s.configure("report", s.ldifRegistry())
	s.asks(server.Config)
	s.more(fmt.Sprintf("answer: {dir: %s}\n", d.dir))
	daemon := s.start()
	eventually(t, "answers are there", func() bool { _, err := os.Stat(filepath.Join(d.dir, "keys.cdb")); return err == nil })
	t.Cleanup(daemon.stop)
	for i, c := range list {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			key, line := file, public
			if c.rsa {
				key, line = rsa, string(short)
			}
			login := server.Login(members[i].name, key)
			if login != nil && !errors.Is(login, testenv.ErrRefused) {
				t.Fatal(login)
			}
			status := statusOK
			if login != nil {
				status = statusAttention
			}
			in := s
			in.t = t
			out, _ := in.keyreeve(status, "explain", "--format", "json", "--from", "127.0.0.1", members[i].name, line)
			var a explain.Answer
			if err := json.Unmarshal([]byte(out), &a); err != nil {
				t.Fatal(err)
			}
			want := c.code
			if c.debian && login == nil {
				want = ""
			}
			code := ""
			if a.Stop != nil {
				code = a.Stop.Code
			}
			if a.LogsIn != (login == nil) || !a.Known || code != want {
				text, _ := in.keyreeve(status, "explain", "--from", "127.0.0.1", members[i].name, line)
				t.Errorf("the login: %v; explain: logs in %v, known %v, stopped by %q, want %q\n%s", login, a.LogsIn, a.Known, code, want, text)
			}
		})
	}
}
