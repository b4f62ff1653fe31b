package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// attempt is something that one tries at the server of a way; it tells what came of it.
type attempt func(t *testing.T, w *world, way int) string

// who names somebody of the world.
type who func(*world) string

func ada(w *world) string         { return w.ada.name }
func leaver(w *world) string      { return w.leaver.name }
func later(w *world) string       { return w.later.name }
func strangeUser(w *world) string { return w.stranger.name }
func ghost(w *world) string       { return w.ghost.name }
func claimed(w *world) string     { return w.claimed.name }
func saved(w *world) string       { return w.saved.name }
func root(*world) string          { return "root" }

func login(key string) attempt { return loginOf(ada, key) }

func loginOf(user who, key string) attempt {
	return func(_ *testing.T, w *world, way int) string {
		return verdict(w.servers[way].Login(user(w), w.key(key).file))
	}
}

func verdict(err error) string {
	switch {
	case err == nil:
		return in
	case errors.Is(err, testenv.ErrRefused):
		return out
	}
	return err.Error()
}

// terminal and forwarding are judged by what comes back through them, so that a refused login is no proof: it has a row of its own.
func terminal(key string) attempt   { return through("shell", key) }
func forwarding(key string) attempt { return through("forwarding", key) }

func through(name, key string) attempt {
	return func(t *testing.T, w *world, way int) string {
		t.Helper()
		if ways()[name].try(t, w.servers[way], w.ada.name, w.key(key).file) {
			return in
		}
		return out
	}
}

// output is what comes of "echo word".
func output(key, word string) attempt {
	return func(t *testing.T, w *world, way int) string {
		t.Helper()
		cmd, err := w.servers[way].Command(t.Context(), w.ada.name, w.key(key).file, "echo", word)
		if err != nil {
			return err.Error()
		}
		text, err := cmd.Output()
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(string(text))
	}
}

func password(t *testing.T, w *world, way int) string {
	t.Helper()
	cmd, err := w.servers[way].PasswordCommand(t.Context(), w.ada.name, w.askpass, "true")
	if err != nil {
		return err.Error()
	}
	return verdict(testenv.Refusal(cmd))
}

func homesAreLeftAlone(t *testing.T, w *world, _ int) string {
	t.Helper()
	if w.ada.read(t, "authorized_keys") == w.home() && w.leaver.read(t, "authorized_keys") == w.key("good").line+"\n" {
		return stays
	}
	return "has changed"
}

func securityKey(flags byte) attempt {
	return func(t *testing.T, w *world, way int) string {
		t.Helper()
		cmd, err := w.servers[way].AgentCommand(t.Context(), w.ada.name, w.key("sk").file, w.tokens[flags], "true")
		if err != nil {
			return err.Error()
		}
		return verdict(testenv.Refusal(cmd))
	}
}

// session is a login that stays, at whose other end somebody repeats what is said.
type session struct {
	cmd  *exec.Cmd
	to   io.WriteCloser
	from *bufio.Reader
}

func newSession(t *testing.T, server *testenv.SSHD, user, key string) *session {
	t.Helper()
	cmd, err := server.Command(t.Context(), user, key, "cat")
	if err != nil {
		t.Fatal(err)
	}
	to, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	from, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &session{cmd, to, bufio.NewReader(from)}
	t.Cleanup(func() { _ = errors.Join(to.Close(), cmd.Wait()) }) // the account cannot go before its processes
	if err := s.goesOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// goesOn fails if nobody repeats.
func (s *session) goesOn(ctx context.Context) error {
	late, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(late, func() {
		if errors.Is(late.Err(), context.DeadlineExceeded) {
			_ = s.cmd.Process.Kill()
		}
	})()
	if _, err := io.WriteString(s.to, "reached\n"); err != nil {
		return err
	}
	text, err := s.from.ReadString('\n')
	if err == nil && text != "reached\n" {
		err = errors.New("it says " + text)
	}
	return err
}

func openSession(t *testing.T, w *world, way int) string {
	t.Helper()
	if err := w.sessions[way].goesOn(t.Context()); err != nil {
		return err.Error()
	}
	return stays
}
