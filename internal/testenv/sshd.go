package testenv

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ErrRefused says that the server answered, and that it takes none of the keys offered.
var ErrRefused = errors.New("login refused")

// sshdPatience bounds the waiting for sshd to answer or to end, and one login.
const sshdPatience = 20 * time.Second

// sshdRunDir is where sshd confines its unprivileged part. Debian's service file makes it at boot; a machine on which no
// sshd has run yet lacks it, and sshd then refuses to start.
const sshdRunDir = "/run/sshd"

// sshdConfig lets nothing but a public key in, and asks PAM for nothing. AuthorizedKeysFile is not named: the default, two files,
// is what keyreeve keeps.
const sshdConfig = `ListenAddress 127.0.0.1
Port %d
HostKey %s
PidFile none
StrictModes yes
UsePAM no
UseDNS no
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
HostbasedAuthentication no
GSSAPIAuthentication no
LogLevel VERBOSE
`

// SSHD is an OpenSSH server of a test, on loopback.
type SSHD struct {
	// Port is where it listens on 127.0.0.1.
	Port int
	// Config is the path of its configuration.
	Config string

	program string // absolute
	process *exec.Cmd
	ended   chan struct{} // closed when process has ended
	log     string        // path
}

// StartSSHD serves logins of the system's accounts until the test ends, with the configuration that most centres have:
// StrictModes, public keys only, both default files. The lines of config come after that; sshd takes the first value of a
// keyword. Its log is printed only if the test failed. It needs the parts "root" and "sshd".
func StartSSHD(tb testing.TB, config string) *SSHD {
	tb.Helper()
	Need(tb, "root", "sshd")
	program, err := Program("sshd")
	if err != nil {
		tb.Fatal(err)
	}
	return startSSHD(tb, program, "", config)
}

// pamDir is where PAM looks for the stack of a service.
const pamDir = "/etc/pam.d"

// StartPAM is StartSSHD with a stack of PAM of its own, whose lines are given. The stack has the name of the program (SSHD_PAM_SERVICE in
// OpenSSH's auth-pam.h; PAMServiceName since 10.0), which is why the server runs under one that nothing else has. It needs the parts "root" and "sshd".
func StartPAM(tb testing.TB, stack, config string) *SSHD {
	tb.Helper()
	Need(tb, "root", "sshd")
	program, err := Program("sshd")
	if err != nil {
		tb.Fatal(err)
	}
	name := "kr-" + strings.ToLower(rand.Text()[:10])
	file, err := os.OpenFile(filepath.Join(pamDir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // PAM reads it as whoever logs in
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.Remove(file.Name()); err != nil { //nolint:forbidigo // a test's own file
			tb.Error(err)
		}
	})
	link := filepath.Join(tb.TempDir(), name)
	_, err = file.WriteString(stack)
	if err := errors.Join(err, file.Close(), os.Symlink(program, link)); err != nil { //nolint:forbidigo // a test's own link
		tb.Fatal(err)
	}
	before := "UsePAM yes\n"
	if strings.Contains(strings.ToLower(runProgram(tb, "sshd", "-T", "-f", "/dev/null", "-h", NewHostKey(tb))), "\npamservicename ") {
		before += "PAMServiceName " + name + "\n"
	}
	return startSSHD(tb, link, before, config)
}

// startSSHD starts a program with lines of configuration before and after those that all have.
func startSSHD(tb testing.TB, program, before, config string) *SSHD {
	tb.Helper()
	dir := tb.TempDir()
	hostKey := NewHostKey(tb)
	s := &SSHD{Port: freePorts(tb, 1)[0], program: program, ended: make(chan struct{}), log: filepath.Join(dir, "log")}
	text := fmt.Sprintf(before+sshdConfig+"%s\n", s.Port, hostKey, config)
	path := putFile(tb, dir, "sshd_config", []byte(text))
	if strings.Contains(strings.ToLower(runProgram(tb, "sshd", "-T", "-f", path)), "\npersourcepenalties ") {
		// Since 9.8 refused logins lock their address out for a while, and all logins of a test come from one.
		path = putFile(tb, dir, "sshd_config", []byte("PerSourcePenalties no\n"+text))
	}
	s.Config = path
	s.start(tb)
	return s
}

// NewHostKey makes a host key, and all else that sshd wants beside a configuration, and returns the key's path. It needs
// the part "sshd".
func NewHostKey(tb testing.TB) string {
	tb.Helper()
	Need(tb, "sshd")
	if err := os.MkdirAll(sshdRunDir, 0o755); err != nil && os.Geteuid() == 0 { //nolint:gosec // sshd wants it so
		tb.Fatal(err)
	}
	hostKey := filepath.Join(tb.TempDir(), "host_key")
	runProgram(tb, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hostKey)
	return hostKey
}

// start starts the server, as a child that this process can wait for, and returns when it greets.
func (s *SSHD) start(tb testing.TB) {
	tb.Helper()
	// A file and no pipe: the processes of logins inherit it and would keep a pipe open.
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()                                               //nolint:errcheck // the child has its own descriptor
	s.process = exec.Command(s.program, "-D", "-e", "-f", s.Config) //nolint:gosec,noctx // it ends with stop
	s.process.Stderr = log
	if err := s.process.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		_ = s.process.Wait() // how it ended shows in its log
		close(s.ended)
	}()
	tb.Cleanup(func() {
		s.stop()
		if tb.Failed() {
			tb.Logf("log of sshd:\n%s", s.Log(tb))
		}
	})
	end := time.Now().Add(sshdPatience)
	for err := s.greets(); err != nil; err = s.greets() {
		select {
		case <-s.ended:
			tb.Fatal("sshd ended before it served anybody")
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			tb.Fatalf("sshd does not serve: %v", err)
		}
	}
}

// greets asks for the first bytes of the protocol (RFC 4253 section 4.2).
func (s *SSHD) greets() error {
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))) //nolint:noctx // loopback answers at once
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	if err := conn.SetReadDeadline(time.Now().Add(sshdPatience)); err != nil {
		return err
	}
	greeting := make([]byte, len("SSH-2.0-"))
	if _, err := io.ReadFull(conn, greeting); err != nil {
		return err
	}
	if string(greeting) != "SSH-2.0-" {
		return fmt.Errorf("it greets with %q", greeting)
	}
	return nil
}

// Log is what the server has said so far.
func (s *SSHD) Log(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// stop ends the server; the processes of logins under way end with their clients.
func (s *SSHD) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-s.ended:
	case <-time.After(sshdPatience):
		_ = s.process.Process.Kill()
		<-s.ended
	}
}

// Login runs a command that does nothing with the real client, which offers one key. Nil means that it ran; an error that wraps
// [ErrRefused] that the server did not take the key; any other error that there was no proper answer, which proves
// nothing about the key.
func (s *SSHD) Login(user, keyFile string) error {
	ctx, cancel := context.WithTimeout(context.Background(), sshdPatience)
	defer cancel()
	cmd, err := s.Command(ctx, user, keyFile, "true")
	if err != nil {
		return err
	}
	if err := Refusal(cmd); err != nil {
		return fmt.Errorf("ssh as %s with %s: %w", user, filepath.Base(keyFile), err)
	}
	return nil
}

// Command is the real client, which offers one key and asks for a command.
func (s *SSHD) Command(ctx context.Context, user, keyFile string, words ...string) (*exec.Cmd, error) {
	return s.client(ctx, append([]string{"-i", keyFile, "-o", "BatchMode=yes", "-o", "IdentityAgent=none", user + "@127.0.0.1"}, words...)...)
}

// AgentCommand is Command with a key that an agent at a socket holds; the file is that of its public half.
func (s *SSHD) AgentCommand(ctx context.Context, user, publicFile, socket string, words ...string) (*exec.Cmd, error) {
	return s.client(ctx, append([]string{"-i", publicFile, "-o", "BatchMode=yes", "-o", "IdentityAgent=" + socket, user + "@127.0.0.1"}, words...)...)
}

// PasswordCommand is the real client, which offers a password that a program prints (SSH_ASKPASS in ssh(1)), and no key.
func (s *SSHD) PasswordCommand(ctx context.Context, user, askpass string, words ...string) (*exec.Cmd, error) {
	cmd, err := s.client(ctx, append([]string{"-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", user + "@127.0.0.1"}, words...)...)
	if err == nil {
		cmd.Env = append(os.Environ(), "SSH_ASKPASS="+askpass, "SSH_ASKPASS_REQUIRE=force")
	}
	return cmd, err
}

// client is the real client with these words.
func (s *SSHD) client(ctx context.Context, words ...string) (*exec.Cmd, error) {
	program, err := Program("ssh")
	if err != nil {
		return nil, err
	}
	arguments := []string{
		"-F", "none", "-p", strconv.Itoa(s.Port), "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10",
	}
	return exec.CommandContext(ctx, program, append(arguments, words...)...), nil //nolint:gosec // a test's own words
}

// Refusal runs a client and says how it ended, as Login does.
func Refusal(cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	// The client ends with 255 for every trouble of its own; what the server refused shows in this sentence alone.
	exit, exited := errors.AsType[*exec.ExitError](err)
	if exited && exit.ExitCode() == 255 && strings.Contains(said.String(), "Permission denied (publickey).") {
		return ErrRefused
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// runProgram runs a program to its end and returns what it printed.
func runProgram(tb testing.TB, name string, arguments ...string) string {
	tb.Helper()
	program, err := Program(name)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := exec.Command(program, arguments...).CombinedOutput() //nolint:gosec,noctx // a test runs the programs it names, to their end
	if err != nil {
		tb.Fatalf("%s %q: %v\n%s", name, arguments, err, out)
	}
	return string(out)
}
