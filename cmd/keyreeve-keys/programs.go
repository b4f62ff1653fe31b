package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/keyreeve/keyreeve/internal/answer"
)

const (
	// recordPatience is how long a refused session waits for its record, lookPatience any session for the name service, which sshd has asked for
	// the same account a moment before.
	recordPatience = 5 * time.Second
	lookPatience   = 10 * time.Second
	// maxWord bounds each word for the recorder: no kernel takes one of 128 KiB (execve(2), MAX_ARG_STRLEN).
	maxWord = 32 << 10
	// warning is the priority of a message to syslog, authpriv.warning (RFC 5424, 6.2.1).
	warning = 10*8 + 4
)

// child is a program that runs beside this one, in a process group of its own, so that what it has started ends with it.
type child struct {
	process  *os.Process
	said     *os.File // the end of its stdout
	patience time.Duration
	until    time.Time
}

// begin starts the program at path, with the words of its command line, that is to end within patience; with is a signal that it gets when this
// thread ends, 0 for none.
func begin(patience time.Duration, environment []string, with syscall.Signal, path string, words ...string) (*child, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close() //nolint:errcheck // nothing was written
	said, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close() //nolint:errcheck // the child has its own
	until := time.Now().Add(patience)
	process, err := os.StartProcess(path, words, &os.ProcAttr{ //nolint:gosec // words, no shell
		Dir: "/", Env: environment, Files: []*os.File{null, theirs, os.Stderr}, Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: with},
	})
	if err != nil {
		return nil, errors.Join(err, said.Close())
	}
	return &child{process, said, patience, until}, nil
}

// end ends the program, with whatever it has started.
func (c *child) end() { _ = syscall.Kill(-c.process.Pid, syscall.SIGKILL) }

// text is all that the program says, if it ends well and in time, and says no more than that many bytes.
func (c *child) text(most int64) ([]byte, error) {
	defer c.said.Close() //nolint:errcheck // nothing was written
	err := c.said.SetReadDeadline(c.until)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(c.said, most+1))
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("it has not ended within %v", c.patience)
	case err == nil && int64(len(text)) > most:
		err = fmt.Errorf("it says more than %d bytes", most)
	}
	if err != nil {
		c.end() // not waited for: what cannot be killed would hold up the login
		return nil, err
	}
	return text, c.wait()
}

// wait waits for the program's end, and brings it about in time. One that fails has said nothing: sshd takes no key from such a command either.
func (c *child) wait() error {
	late := time.AfterFunc(time.Until(c.until), c.end)
	defer late.Stop()
	state, err := c.process.Wait()
	if err == nil && !state.Success() {
		err = fmt.Errorf("it ended with %v", state)
	}
	return err
}

// start runs a program to its end, whatever it says. Nothing of this process' environment is handed on: a user's own file may have a part in it.
func start(patience time.Duration, words ...string) error {
	c, err := begin(patience, []string{}, 0, words[0], words...)
	if err != nil {
		return err
	}
	defer c.said.Close() //nolint:errcheck // nothing was written
	return c.wait()
}

// lookUp asks the name service for the account of a name. PAM says the name that the client typed, which may be another spelling of it (in sssd:
// case_sensitive, or a domain in front), and no uid; and there is no C library in this process that knows.
func lookUp(name string) (answer.User, error) {
	program := "/usr/bin/getent"
	if _, err := os.Stat(program); err != nil {
		program = "/bin/getent"
	}
	return lookUpBy(program, name)
}

func lookUpBy(program, name string) (answer.User, error) {
	asked, err := begin(lookPatience, []string{}, 0, program, program, "passwd", "--", name)
	var text []byte
	if err == nil {
		text, err = asked.text(64 << 10)
	}
	if err != nil {
		return answer.User{}, fmt.Errorf("ask the name service for %q: %w", name, err)
	}
	return parseAccount(name, string(text))
}

// parseAccount reads one line of passwd(5). getent takes a name for a uid that strtoul(3) does, and gives whoever has it: such a name has to be the
// account's own.
func parseAccount(name, text string) (answer.User, error) {
	fields := strings.Split(strings.TrimSuffix(text, "\n"), ":")
	if len(fields) != 7 || fields[0] == "" || strings.Count(text, "\n") > 1 {
		return answer.User{}, fmt.Errorf("the name service gives %d bytes for %q that are no account", len(text), name)
	}
	uid, err := strconv.ParseUint(fields[2], 10, 32)
	if err != nil {
		return answer.User{}, fmt.Errorf("the uid of %q: %w", name, err)
	}
	if fields[0] != name && strings.Trim(name, "0123456789+- \t\n\v\f\r") == "" {
		return answer.User{}, fmt.Errorf("the name service takes the name %q for a uid", name)
	}
	return answer.User{Name: fields[0], UID: int(uid)}, nil
}

// tell has the refusal written into the audit trail. The session does not begin, whatever becomes of that.
func (g gate) tell(user, address string, r *refusal) error {
	words := []string{g.record, "audit", "refused", "--user=" + user, "--address=" + address, "--reason=" + r.reason, "--message=" + r.Error(), "--key=" + r.key.String()}
	for i, word := range words {
		words[i] = word[:min(len(word), maxWord)]
	}
	if err := start(g.patience, words...); err != nil {
		return fmt.Errorf("record it by %s: %w", g.record, err)
	}
	return nil
}

// syslog sends a message to who listens at this path (syslog(3), the form of RFC 3164), and does not wait: pam_exec throws away what stands on stderr.
func syslog(path, text string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("say it to syslog: %w", err)
	}
	defer syscall.Close(fd) //nolint:errcheck // what was sent is sent
	line := fmt.Sprintf("<%d>keyreeve-keys[%d]: %s", warning, os.Getpid(), strings.ReplaceAll(text, "\n", "; "))
	if err := syscall.Sendto(fd, []byte(line[:min(len(line), 2048)]), 0, &syscall.SockaddrUnix{Name: path}); err != nil {
		return fmt.Errorf("say it to syslog: %w", err)
	}
	return nil
}
