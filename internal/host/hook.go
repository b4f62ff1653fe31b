package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// Hook is a program of the administrator's that is told something on its stdin. It has none of this process' environment and files, a process group of its
// own, which is ended with it, and no rights of root's: what it is told comes from users.
type Hook struct {
	// Words are its absolute path and its arguments.
	Words []string
	// UID and GID are whose rights it has, with no other group, where this process is root's. Else it has those of this process.
	UID, GID int
	// Patience is how long it may take.
	Patience time.Duration
}

// Check is an error where the program is not to be run: it, or what is above it, is not root's alone, or it cannot be run at all.
func (h Hook) Check() error {
	_, err := h.program()
	return err
}

// program is the path of the program, without links.
func (h Hook) program() (string, error) {
	path, err := statefile.Program(h.Words[0])
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return "", fmt.Errorf("%s: is no program", path)
	}
	return path, nil
}

// Run has the program read a text, and returns when it has ended. It is checked each time. The error says how it ended, or with what it complained.
func (h Hook) Run(ctx context.Context, text []byte) error {
	path, err := h.program()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, h.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path) //nolint:gosec // root's own program, without a shell
	cmd.Args = h.Words                    // some programs do by their name what they do, as sendmail(8) of several
	cmd.Dir, cmd.Env = "/", []string{"LC_ALL=C", "PATH=" + searchPath}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(h.UID), Gid: uint32(h.GID)} //nolint:gosec // ids of an account
	}
	cmd.WaitDelay = waitDelay
	var g pack
	cmd.Cancel = func() error { return g.end(h, cmd.Process.Pid, false) }
	cmd.Stdin = bytes.NewReader(text)
	var said bounded
	cmd.Stderr = &said
	if err = cmd.Start(); err == nil {
		awaitEnd(cmd.Process.Pid)
		_ = g.end(h, cmd.Process.Pid, true) // what it has left behind; as a rule nothing
		err = cmd.Wait()
	}
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil
	case ctx.Err() != nil:
		err = fmt.Errorf("it has not ended within %v: %w", h.Patience, ctx.Err())
	case said.over:
		err = errTooMuch
	}
	if err != nil {
		return fmt.Errorf("%s: %w%s", h.Words[0], err, prefixed(": ", plain.Cut(oneLine(said.text.String()), maxSaid)))
	}
	return nil
}

// pack is the process group of a hook. It is ended for the last time while the hook is a zombie: as soon as that is buried, pid and group may be somebody else's,
// of root's too, since root's real uid is among those that say who may be ended (kill(2)).
type pack struct {
	mu   sync.Mutex
	over bool
}

func (g *pack) end(h Hook, pid int, last bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return os.ErrProcessDone
	}
	g.over = last
	return h.end(pid)
}

// awaitEnd waits until a child has ended, and leaves it to be waited for (waitid(2), WNOWAIT).
func awaitEnd(pid int) {
	const pPID = 1 // P_PID, which the syscall package does not name
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pPID, uintptr(pid), 0, syscall.WEXITED|syscall.WNOWAIT, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}

// end ends a process group with the rights of its user: root without CAP_KILL, as in the unit, may end no process of another's (kill(2)).
func (h Hook) end(group int) error {
	if os.Geteuid() != 0 {
		return syscall.Kill(-group, syscall.SIGKILL)
	}
	return homes.OnThread(func() error {
		// The kernel's call changes this thread alone, syscall.Setresuid would change all (setresuid(2), "C library/kernel differences").
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(h.UID), ^uintptr(0)); errno != 0 {
			return errno
		}
		return syscall.Kill(-group, syscall.SIGKILL)
	})
}

// oneLine puts the lines of a complaint behind each other.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
