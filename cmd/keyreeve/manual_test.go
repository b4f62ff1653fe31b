package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/keyreeve/keyreeve/internal/manual"
)

// keyreeve(8) tells of every command, of every flag of each, and of every exit status.
func TestManualIsWhole(t *testing.T) {
	list, err := manual.Commands("keyreeve", func(args ...string) (string, error) {
		var out bytes.Buffer
		if status := run(t.Context(), process{Args: args, Stdout: &out, Stderr: &out}); status != statusOK {
			return "", fmt.Errorf("status %d", status)
		}
		return out.String(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]string)
	for part := range strings.SplitSeq(list, "\n### ") {
		usage, text, _ := strings.Cut(part, "\n")
		told[usage] = text
	}
	seen := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, below := range cmd.Commands() {
			walk(below)
		}
		if cmd.HasSubCommands() || cmd.Hidden {
			return
		}
		seen++
		text, ok := told[strings.TrimSuffix(cmd.UseLine(), " [flags]")]
		if !ok || len(strings.TrimSpace(text)) < len(cmd.Short) {
			t.Errorf("keyreeve(8) has no %q", cmd.UseLine())
		}
		for row := range strings.Lines(cmd.LocalNonPersistentFlags().FlagUsages()) {
			_, flag, _ := strings.Cut(row, "--")
			name, usage, _ := strings.Cut(flag, " ")
			if name != "help" && (strings.TrimSpace(usage) == "" || !strings.Contains(text, "--"+name)) {
				t.Errorf("keyreeve(8) does not tell of %s --%s", cmd.CommandPath(), name)
			}
		}
	}
	walk(newRoot(process{}))
	if seen < 15 {
		t.Errorf("the program has %d commands", seen)
	}
	page, err := os.ReadFile("../../packaging/man/keyreeve.8.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{statusOK, statusError, statusPending, statusAttention} {
		if !strings.Contains(string(page), fmt.Sprintf("\n| `%d` |", status)) {
			t.Errorf("keyreeve(8) does not tell of the exit status %d", status)
		}
	}
}
