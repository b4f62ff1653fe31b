package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// The stories of the command line. In the files of a story $WORK, $UID, $GID and the names of the vectors' keys ($A, $B,
// $DSA, ...) are filled in, and everything below home belongs to the user $UID. A story without a keyreeve.yaml gets
// storyConfig. $EXAMPLE is the path of the commented example.
//
// Beside testscript's commands there are:
//
//	status N program...   run a program that must end with status N
//	own                   give what is below home to the user, with the modes that sshd wants
//	tree DIR              print all that is below DIR, with what stat(2) knows of it
//	oversize FILE         make a key file larger than keyreeve reads
//	fifo FILE             make a FIFO
func TestStories(t *testing.T) {
	_, keys := vectors(t)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		// The homes must be in reach of their user, which testscript's own folder is not.
		WorkdirRoot:         newSite(t).dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               func(e *testscript.Env) error { return setUpStory(e, keys) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status,
			"own": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Check(own(ts.MkAbs("home"), ts.Getenv("UID"), ts.Getenv("GID")))
			},
			"tree": tree,
			"oversize": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Repeat([]byte("# "+ts.Getenv("B")+"\n"), homes.MaxSize/64), 0o600))
			},
			"fifo": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(syscall.Mkfifo(ts.MkAbs(args[0]), 0o600))
			},
		},
	})
}

// storyConfig removes, keeps ordinary users and reads the registry from a file.
const storyConfig = `mode: enforce
registry: {source: ldif, ldif: {path: $WORK/registry.ldif}}
homes: {min_uid: 1, sshd: {configs: []}}
state_dir: $WORK/state
runtime_dir: $WORK/run
audit: {file: $WORK/log/audit.jsonl}
`

// setUpStory fills in the files of a story and gives the homes to their user. For root that is a uid that no account has, so
// that root's rights are not what makes a story end well.
func setUpStory(e *testscript.Env, keys map[string]string) error {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid, gid = 60001, 60001
	}
	words := maps.Clone(keys)
	words["UID"], words["GID"] = strconv.Itoa(uid), strconv.Itoa(gid)
	for name, text := range words {
		e.Setenv(name, text)
	}
	words["WORK"] = e.WorkDir
	example, err := filepath.Abs(filepath.Join("..", "..", "configs", "keyreeve.yaml"))
	if err != nil {
		return err
	}
	e.Setenv("EXAMPLE", example)
	config := filepath.Join(e.WorkDir, "keyreeve.yaml")
	if _, err := os.Stat(config); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(config, []byte(storyConfig), 0o600); err != nil {
			return err
		}
	}
	err = filepath.WalkDir(e.WorkDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		filled := os.Expand(string(text), func(name string) string { return words[name] })
		return errors.Join(os.WriteFile(path, []byte(filled), 0o600), os.Chmod(path, 0o600))
	})
	return errors.Join(err, own(filepath.Join(e.WorkDir, "home"), words["UID"], words["GID"]))
}

// status runs a program whose exit status is known.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	if err := cmd.Run(); cmd.ProcessState == nil {
		ts.Fatalf("%v", err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("status %d, want %d\n%s%s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// own gives a folder of homes to their user.
func own(dir, uidText, gidText string) error {
	uid, uidErr := strconv.Atoi(uidText)
	gid, gidErr := strconv.Atoi(gidText)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return err
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && d.Name() == ".ssh":
			err = os.Chmod(path, 0o700)
		case d.IsDir():
			err = os.Chmod(path, 0o755)
		}
		return errors.Join(err, os.Lchown(path, uid, gid))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a story without homes
	}
	return err
}

// tree prints what a program cannot change without a trace.
func tree(ts *testscript.TestScript, _ bool, args []string) {
	root := ts.MkAbs(args[0])
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return fmt.Errorf("%s: no stat", path)
		}
		fmt.Fprintf(ts.Stdout(), "%s %v uid %d inode %d size %d mtime %v ctime %v\n", strings.TrimPrefix(path, root),
			info.Mode(), stat.Uid, stat.Ino, info.Size(), stat.Mtim, stat.Ctim)
		return nil
	})
	ts.Check(err)
}
