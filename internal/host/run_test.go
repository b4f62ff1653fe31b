package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun(t *testing.T) {
	t.Setenv("KEYREEVE_SECRET", "x")
	out, err := run(t.Context(), script(t, "env | sort; pwd; cat\n"), "arg")
	want := "LC_ALL=C\nPATH=" + searchPath + "\nPWD=/\n/\n"
	if diff := cmp.Diff(want, out); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := run(t.Context(), script(t, "echo out; printf 'one\\ntwo \\033[1m' >&2; exit 3\n"), "arg"); err == nil ||
		!strings.HasSuffix(err.Error(), `program arg: exit status 3: one; two \x1b[1m`) {
		t.Errorf("error %v", err)
	}
}

// A program that prints without end, or hangs, or leaves a child behind that holds its output open, is ended.
func TestRunIsBounded(t *testing.T) {
	if _, err := run(t.Context(), script(t, "exec yes\n"), "arg"); !errors.Is(err, errTooMuch) {
		t.Errorf("error %v", err)
	}
	for name, text := range map[string]string{
		"hangs": "exec sleep 60\n", "a child": "sleep 5 & exec sleep 60\n",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			begun := time.Now()
			if _, err := run(ctx, script(t, text), "arg"); err == nil {
				t.Error("no error")
			}
			if took := time.Since(begun); took > patience {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":                      nil,
		" # AuthorizedKeysFile": nil,
		"\tKey  a\tb \r\n":      {"Key", "a", "b"},
		"Key=a":                 {"Key", "a"},
		"Key = a":               {"Key", "a"},
		`"Key" "a b" 'c "d'`:    {"Key", "a b", `c "d`},
		`Key"a"`:                {"Key", "a"},
		`Key a\ b "c\"d" e\f`:   {"Key", "a b", `c"d`, `e\f`},
		"Key a#b # c":           {"Key", "a#b"},
		`Key ""`:                {"Key", ""},
		"Key":                   {"Key"},
	} {
		keyword, words := split(line)
		got := append([]string{keyword}, words...)
		if want == nil {
			want = []string{""}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", line, diff)
		}
	}
}

func TestMatchKind(t *testing.T) {
	for line, want := range map[string]kind{
		"all": byUser, "User a,b": byName, "user a group B": byName, "Group address": byUser, "Version OpenSSH_10*": byUser,
		"invalid-user": byUser, "user=a,b": byName, "Address 10.0.0.0/8": byConnection, "User a Host b": byConnection,
		"LocalPort 22": byConnection, "exec x": byConnection, "user=a LocalAddress=b": byConnection,
	} {
		_, criteria := split("Match " + line)
		if got := matchKind(criteria); got != want {
			t.Errorf("%s: %d, want %d", line, got, want)
		}
	}
}

// A group may write below /usr/local on some systems: what stands there must not come before a program of the system's.
func TestProgramsOfTheSystemComeFirst(t *testing.T) {
	if before, _, found := strings.Cut(searchPath, ":/usr/local"); !found || !strings.HasSuffix(before, ":/bin") {
		t.Errorf("%s", searchPath)
	}
}
