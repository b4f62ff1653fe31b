package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// keyreeveProgram is this test binary under the name by which it is keyreeve, where every account can run it.
func keyreeveProgram(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "keyreeve")
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	program, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(program, self)
	if err := errors.Join(err, program.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// A host without sshd is told as one, and none of what sshd would say is guessed.
func TestDoctorWithoutSSHD(t *testing.T) {
	testenv.Need(t, "root", "sshd", "mount")
	s, examine := hospital(t, "")
	sshd, err := testenv.Program("sshd")
	if err != nil {
		t.Fatal(err)
	}
	// /dev/null over it is no program, in a namespace of this command's own.
	hide := "mount --bind /dev/null " + sshd + "; exec \"$@\""
	cmd := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-ec", hide, "sh", keyreeveProgram(t, s.dir), "doctor", "--config", s.path("keyreeve.yaml"))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() == statusOK {
		t.Errorf("status 0: %s", out.String())
	}
	told(t, out.String()+said.String(), "unknown    sshd-silent         homes.sshd\n  is    no sshd was asked: this host has none where programs of the system are")

	// No configuration to ask about is another thing, and so are a program and a file that are not there.
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("sshd: {configs: [%q]}", s.path("sshd_config"))
	for other, want := range map[string]string{
		"sshd: {configs: []}": "no sshd was asked: homes.sshd.configs names no configuration",
		fmt.Sprintf("sshd: {configs: [%q]}", s.path("usr/etc/ssh/sshd_config")):              s.path("usr/etc/ssh/sshd_config") + ": no such file or directory",
		fmt.Sprintf("sshd: {program: /opt/gone/sshd, configs: [%q]}", s.path("sshd_config")): "/opt/gone/sshd: no such file or directory",
	} {
		s.put("keyreeve.yaml", strings.Replace(string(text), config, other, 1))
		status, printed, complaint := examine("doctor")
		if status != statusError || complaint != "keyreeve: 1 things could not be looked at\n" {
			t.Errorf("%s: status %d, %s", other, status, complaint)
		}
		told(t, printed, want)
	}
}

// told wants a text, and nothing that only sshd can say.
func told(t *testing.T, printed, want string) {
	t.Helper()
	if !strings.Contains(printed, want) {
		t.Errorf("%q is not in %s", want, printed)
	}
	for _, code := range []string{"algorithms", "rsa-size", "break-glass", "no-keys", "answer-", "deny-", "keys-program", "locked-accounts", "strict-modes"} {
		if strings.Contains(printed, " "+code) {
			t.Errorf("%s is guessed: %s", code, printed)
		}
	}
}

// An sshd of another layout is asked where the configuration says that it is.
func TestDoctorOfAnotherLayout(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	s, examine := hospital(t, "")
	sshd, err := testenv.Program("sshd")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"opt/ssh/sbin", "opt/ssh/etc"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(sshd, s.path("opt/ssh/sbin/sshd")), os.Rename(s.path("sshd_config"), s.path("opt/ssh/etc/sshd_config"))); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	was := fmt.Sprintf("configs: [%q]", s.path("sshd_config"))
	s.put("keyreeve.yaml", strings.Replace(string(text), was, fmt.Sprintf("program: %q, configs: [%q]", s.path("opt/ssh/sbin/sshd"), s.path("opt/ssh/etc/sshd_config")), 1))
	if status, printed, said := examine("doctor"); status != statusAttention || said != "" || !strings.Contains(printed, "rsa-size            "+s.path("opt/ssh/etc/sshd_config")) {
		t.Errorf("status %d, %s%s", status, printed, said)
	}
}

// Without root's rights it says so: that a file cannot be read is not that it is missing, damaged or empty.
func TestDoctorWithoutRights(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	account := testenv.NewAccount(t)
	s, _ := hospital(t, "")
	for _, dir := range []string{"kept", "answers"} {
		if err := os.Mkdir(s.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.put("kept/revoked.krl", "")
	s.put("answers/keys.cdb", "")
	config, err := os.ReadFile(s.path("sshd_config"))
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Fields(string(config))[1]
	s.put("sshd_config", string(config)+"AuthorizedKeysFile none\nAuthorizedKeysCommand "+s.path("kept/keyreeve-keys")+" --file="+s.path("answers/keys.cdb")+" -- %u %U %h %f\nAuthorizedKeysCommandUser root\nRevokedKeys "+s.path("kept/revoked.krl")+"\nMatch User root\n\tAuthorizedKeysFile .ssh/authorized_keys\n\tRevokedKeys none\n")
	s.more("answer: {dir: " + s.path("answers") + "}\ndeny: {file: " + s.path("kept/revoked.krl") + ", except: [" + s.path("kept/revoked.krl") + "]}\n")
	for _, path := range []string{s.path("keyreeve.yaml"), s.path("sshd_config")} {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Its own sshd, as root's does not let it read the host's key.
	theirs := filepath.Join(account.Home, "key")
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(theirs, text, 0o600), os.Chown(theirs, account.UID, account.GID)); err != nil {
		t.Fatal(err)
	}
	config, err = os.ReadFile(s.path("sshd_config"))
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"a key that it reads": theirs, "one that it does not": key} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(s.path("sshd_config"), []byte(strings.Replace(string(config), key, file, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(keyreeveProgram(t, t.TempDir()), "doctor", "--config", s.path("keyreeve.yaml"))
			if err := errors.Join(os.Chmod(filepath.Dir(cmd.Path), 0o755), os.Chmod(filepath.Dir(filepath.Dir(cmd.Path)), 0o755)); err != nil {
				t.Fatal(err)
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(account.UID), Gid: uint32(account.GID)}}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err == nil {
				t.Error("status 0")
			}
			printed := out.String()
			if !strings.Contains(printed, fmt.Sprintf("keyreeve doctor runs with uid %d:", account.UID)) {
				t.Error(printed)
			}
			for line := range strings.Lines(printed) {
				words := strings.Fields(line)
				if len(words) < 2 || words[0] != "defeats" && words[0] != "locks-out" && words[0] != "note" {
					continue
				}
				for _, code := range []string{"answer-", "deny-", "break-glass", "keys-program"} {
					if strings.HasPrefix(words[1], code) {
						t.Errorf("it is guessed: %s", line)
					}
				}
			}
			if file == theirs && !strings.Contains(printed, "permission denied") {
				t.Error(printed)
			}
		})
	}
}
