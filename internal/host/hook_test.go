package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// TestMain makes the test binary a process that runs a hook, which a test confines.
func TestMain(m *testing.M) {
	if words := os.Getenv("KEYREEVE_HOOK"); words != "" {
		h := Hook{Words: strings.Fields(words), UID: hookID, GID: hookID, Patience: 300 * time.Millisecond}
		fmt.Println(h.Run(context.Background(), nil))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hookID is a uid and a gid that nobody has.
const hookID = 65010

// hook is a script where nobody but root can write, and a directory in which it can.
func hook(t *testing.T, text string) (h Hook, dir string) {
	t.Helper()
	dir = testenv.RootDir(t)
	path, out := filepath.Join(dir, "hook"), filepath.Join(dir, "out")
	err := errors.Join(os.WriteFile(path, []byte("#!/bin/sh\ncd "+out+"\n"+text+"\n"), 0o755), os.Mkdir(out, 0o700), os.Chown(out, hookID, hookID))
	if err != nil {
		t.Fatal(err)
	}
	return Hook{Words: []string{path, "one two", "$(three)"}, UID: hookID, GID: hookID, Patience: 20 * time.Second}, out
}

func TestHook(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "secret")
	h, out := hook(t, `cat >text; { id; env | sort; printf '%s\n' "$@"; grep -E '^(CapEff|Groups)' /proc/$$/status; } >facts`)
	if err := h.Run(t.Context(), []byte("something")); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(filepath.Join(out, "text"))
	facts, _ := os.ReadFile(filepath.Join(out, "facts"))
	want := fmt.Sprintf("uid=%[1]d gid=%[1]d groups=%[1]d\nLC_ALL=C\nPATH=%[2]s\nPWD=%[3]s\none two\n$(three)\nGroups:\t \nCapEff:\t0000000000000000\n", hookID, searchPath, out)
	// OLDPWD is the shell's own.
	got := strings.Replace(string(facts), "OLDPWD=/\n", "", 1)
	if diff := cmp.Diff(want, got); string(text) != "something" || diff != "" {
		t.Errorf("%q %s", text, diff)
	}
}

// What fails, floods, hangs, does not read or leaves somebody behind ends in time, and says why where it did not do its work.
func TestHookFails(t *testing.T) {
	large := []byte(strings.Repeat("x", 1<<20))
	for name, c := range map[string]struct{ script, want string }{
		"fails":            {`printf 'one\ntwo \033[1m' >&2; exit 3`, `: exit status 3: one; two \x1b[1m`},
		"floods":           {"exec yes >&2", ": it prints too much: y; y"},
		"hangs":            {"exec sleep 60", ": it has not ended within 300ms: context deadline exceeded"},
		"ignores its end":  {"trap '' TERM INT HUP; while :; do sleep 1; done", ": it has not ended within 300ms: context deadline exceeded"},
		"reads nothing":    {"exit 0", ""},
		"leaves a child":   {"sleep 60 >&2 & echo $! >child", ""},
		"a child that has": {"(sleep 60; : >late) </dev/null >/dev/null 2>&1 & echo $! >child", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, out := hook(t, c.script)
			if strings.Contains(c.want, "300ms") {
				h.Patience = 300 * time.Millisecond
			}
			err := h.Run(t.Context(), large)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(strings.TrimPrefix(err.Error(), h.Words[0]), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			gone(t, out)
		})
	}
}

// gone waits until nobody has the hook's uid any more; a zombie is its parent's to bury.
func gone(t *testing.T, out string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		list, err := exec.Command("pgrep", "-r", "R,S,D,T", "-u", fmt.Sprint(hookID)).Output()
		if exit, ended := errors.AsType[*exec.ExitError](err); ended && exit.ExitCode() == 1 {
			return // it found none
		} else if err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("%s: processes are left: %q", out, list)
		}
	}
}

// Root as in the unit, which has no CAP_KILL, ends a hook that hangs.
func TestHookOfTheUnit(t *testing.T) {
	h, out := hook(t, "exec sleep 60")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "KEYREEVE_HOOK="+h.Words[0])
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	capabilities := testenv.UnitCapabilities(t, "../../systemd/keyreeve.service")
	begun := time.Now()
	if err := testenv.Confined(cmd.Start, capabilities...); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(said.String(), "it has not ended within 300ms") || time.Since(begun) > 40*time.Second {
		t.Errorf("%v, %q after %v", err, &said, time.Since(begun))
	}
	gone(t, out)
}

// A program that somebody other than root could change, or that is none, is not run; nor is it when it becomes one.
func TestHookIsRoots(t *testing.T) {
	for name, change := range map[string]func(h *Hook) error{
		"it is writable":           func(h *Hook) error { return os.Chmod(h.Words[0], 0o775) },
		"it is another's":          func(h *Hook) error { return os.Chown(h.Words[0], hookID, -1) },
		"its folder is":            func(h *Hook) error { return os.Chown(filepath.Dir(h.Words[0]), hookID, -1) },
		"a link to such a one":     func(h *Hook) error { return link(h, out(h)) },
		"a directory":              func(h *Hook) error { h.Words[0] = "/usr/bin"; return nil },
		"no program":               func(h *Hook) error { return os.Chmod(h.Words[0], 0o644) },
		"not there":                func(h *Hook) error { return os.Remove(h.Words[0]) },
		"a path from where one is": func(h *Hook) error { h.Words[0] = "hook"; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			h, out := hook(t, ": >ran")
			if err := h.Check(); err != nil {
				t.Fatal(err)
			}
			if err := change(&h); err != nil {
				t.Fatal(err)
			}
			if err := h.Run(t.Context(), nil); err == nil || h.Check() == nil {
				t.Errorf("it is run: %v", err)
			}
			if _, err := os.Stat(filepath.Join(out, "ran")); err == nil {
				t.Error("it was run")
			}
		})
	}
}

// out is the directory in which the hook can write.
func out(h *Hook) string { return filepath.Join(filepath.Dir(h.Words[0]), "out") }

// link puts a link to a copy of the hook in a directory in its place.
func link(h *Hook, dir string) error {
	text, err := os.ReadFile(h.Words[0])
	target := filepath.Join(dir, "hook")
	return errors.Join(err, os.WriteFile(target, text, 0o755), os.Remove(h.Words[0]), os.Symlink(target, h.Words[0]))
}
