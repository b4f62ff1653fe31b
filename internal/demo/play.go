package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience is how long the demo waits for what takes milliseconds.
const patience = 30 * time.Second

// play shows the scenes, one after the other.
func (t *tree) play(ctx context.Context, program string) error {
	title("The homes")
	for _, p := range t.people {
		fmt.Printf("  %-6s %s\n", p.name, p.story)
	}
	title("keyreeve plan: what would be changed (nothing is)")
	if err := t.run(ctx, program, "plan", 2); err != nil {
		return err
	}
	title("keyreeve apply: the same plans, carried out")
	if err := t.run(ctx, program, "apply", 0); err != nil {
		return err
	}
	title("keyreeve plan: and again, to see that nothing is left to do")
	if err := t.run(ctx, program, "plan", 0); err != nil {
		return err
	}
	title("keyreeve daemon: an unknown key is written into ada's home")
	if err := t.watch(ctx, program); err != nil {
		return err
	}
	title("The audit trail: each intent is on disk before its change")
	if err := t.trail(); err != nil {
		return err
	}
	title("The quarantine: what the files held before")
	return t.quarantine()
}

func title(text string) { fmt.Printf("\n== %s\n\n", text) }

// run runs one command of the program and wants its exit status.
func (t *tree) run(ctx context.Context, program, command string, want int) error {
	cmd := exec.CommandContext(ctx, program, command, "--config", t.config) //nolint:gosec // the program under show, named by who runs the demo
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	for line := range strings.Lines(out.String()) {
		fmt.Print("  ", line)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == want {
		err = nil
	}
	switch {
	case err != nil:
		return fmt.Errorf("keyreeve %s: %w", command, err)
	case cmd.ProcessState.ExitCode() != want:
		return fmt.Errorf("keyreeve %s: exit status %d, want %d", command, cmd.ProcessState.ExitCode(), want)
	}
	return nil
}

// watch runs the daemon, writes an unknown key and measures how long it lives.
func (t *tree) watch(ctx context.Context, program string) (err error) {
	cmd := exec.CommandContext(ctx, program, "daemon", "--config", t.config) //nolint:gosec // as above
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ready := make(chan struct{})
	drained := make(chan struct{})
	go follow(log, ready, drained)
	defer func() {
		stopped := cmd.Process.Signal(syscall.SIGTERM)
		<-drained
		err = errors.Join(err, stopped, cmd.Wait())
	}()
	select {
	case <-ready:
	case <-drained:
		return errors.New("the daemon ended by itself")
	case <-time.After(patience):
		return errors.New("the daemon did not look at every home")
	}
	return t.intrude(ctx)
}

// follow prints the daemon's log and tells when every home was looked at.
func follow(log io.Reader, ready, drained chan<- struct{}) {
	defer close(drained)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		fmt.Println("  log:", lines.Text())
		if strings.Contains(lines.Text(), "every home was looked at") {
			close(ready)
		}
	}
}

// intrude writes an unknown key into a home and waits for it to go.
func (t *tree) intrude(ctx context.Context) error {
	path := filepath.Join(t.home("ada"), ".ssh", "authorized_keys")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0) //nolint:gosec // a path of the demo's own tree
	if err != nil {
		return err
	}
	begin := time.Now()
	_, err = fmt.Fprintf(file, "%s intruder\n", t.keys["unknown"])
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	for time.Since(begin) < patience && ctx.Err() == nil {
		data, err := os.ReadFile(path) //nolint:gosec // as above
		if err == nil && !bytes.Contains(data, []byte(t.keys["unknown"])) {
			gone := time.Since(begin)
			fmt.Printf("\n  The unknown key was gone after %.1f ms; ada's file is now\n\n", float64(gone.Microseconds())/1000)
			for line := range strings.Lines(string(data)) {
				fmt.Printf("    %.76s\n", strings.TrimSuffix(line, "\n"))
			}
			fmt.Println()
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.Join(errors.New("the unknown key is still there"), ctx.Err())
}

// trail prints the audit records in short.
func (t *tree) trail() error {
	data, err := os.ReadFile(filepath.Join(t.dir, "log", "audit.jsonl"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return fmt.Errorf("audit record %q: %w", line, err)
		}
		what, _ := r["ssh.key.fingerprint"].(string)
		if what == "" {
			what, _ = r["message"].(string)
		}
		fmt.Printf("  %-7s %-12s %-6s %-18s %.50s\n", r["event.outcome"], r["event.action"], r["user.name"], r["event.reason"], what)
	}
	return nil
}

func (t *tree) quarantine() error {
	root := filepath.Join(t.dir, "state", "quarantine")
	return filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		fmt.Printf("  %v %6d bytes  %s\n", info.Mode(), info.Size(), rel)
		return err
	})
}
