package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// An ordinary user is judged by the default rules where he may not read the configuration, unless he names it, without a blocklist that he may not
// read, and is not told that a key is nobody's where he may not read the registry. All three are said.
func TestCheckKeyWithoutRights(t *testing.T) {
	testenv.Need(t, "root")
	const nobody = 65534
	s := newSite(t)
	_, keys := vectors(t)
	line, err := authkeys.ParseValue([]byte(keys["A"]))
	if err != nil {
		t.Fatal(err)
	}
	s.put("blocklist.dat", "0123456789abcdef")
	s.put("keyreeve.yaml", "registry: {source: ldif, ldif: {path: /none}}\nstate_dir: "+s.path("state")+"\npolicy: {keys: [{type: rsa, min_bits: 2048}], blocklist: "+s.path("blocklist.dat")+"}\n")
	registry := s.path("state", "registry")
	if err := errors.Join(os.MkdirAll(registry, 0o700), os.WriteFile(filepath.Join(registry, "good"), nil, 0o600), os.Chmod(s.path("state"), 0o700)); err != nil {
		t.Fatal(err)
	}
	open := func(mode os.FileMode, named bool) (r rules, d holderDocument, err error) {
		if err := os.Chmod(s.path("keyreeve.yaml"), mode); err != nil {
			t.Fatal(err)
		}
		err = testenv.OnThread(func() error {
			if _, err := unix.SetfsuidRetUid(nobody); err != nil {
				return err
			}
			if r, err = openRules(s.path("keyreeve.yaml"), named); err == nil {
				d = holders(r.config, line.Key, "")
			}
			return err
		})
		return r, d, err
	}
	r, d, err := open(0o600, false)
	if err != nil || r.document().Source != "default" || r.document().note() == "" || d.State != holderUnknown || d.Why == "" {
		t.Errorf("%+v, %+v, %v", r.document(), d, err)
	}
	_, _, err = open(0o600, true)
	if h, ok := errors.AsType[hinted](err); !ok || !strings.Contains(h.hint, "as root") {
		t.Errorf("a configuration that was named, and may not be read: %v, %+v", err, h)
	}
	r, d, err = open(0o644, true)
	if err != nil || r.document().Source != s.path("keyreeve.yaml") || r.document().Blocklist != "unreadable" || r.document().note() == "" || d.State != holderUnknown || d.Why == "" {
		t.Errorf("%+v, %+v, %v", r.document(), d, err)
	}
}

// Who lacks the right to read what keyreeve keeps is told to come as root: not to move a file away, and not that nothing is held, read or kept.
func TestCommandsWithoutRights(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	_, keys := vectors(t)
	s.put("registry.ldif", entries(guest(t, keys["A"])))
	s.configure("enforce", s.ldifRegistry())
	s.keyreeve(statusOK, "apply")
	program := s.program()
	if err := errors.Join(os.Chmod(s.path("keyreeve.yaml"), 0o644), os.Chmod(s.path("registry.ldif"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"brake", "status"}, {"registry", "status"}, {"registry", "show"}, {"quarantine", "list"}, {"quarantine", "show", "NOTHING"}, {"audit", "verify"}} {
		cmd := exec.CommandContext(t.Context(), program, append(words, "--config", s.path("keyreeve.yaml"))...)
		cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, "/"
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != statusError {
			t.Errorf("%v: %v", words, err)
		}
		if text := stderr.String(); stdout.Len() > 0 || !strings.Contains(text, "permission denied\n") || !strings.HasSuffix(text, "\nkeyreeve: hint: run keyreeve as root\n") || strings.Contains(text, "kept yet") || strings.Contains(text, "holds no copy") {
			t.Errorf("%v says %q and\n%s", words, &stdout, text)
		}
	}
}
