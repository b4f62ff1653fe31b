package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unfolded is a text without its line breaks and indents, since reports are folded to the width of a terminal.
func unfolded(text string) string { return strings.Join(strings.Fields(text), " ") }

// Colours are for a terminal that knows them, and for nobody who asked for none. A character device stands in for a terminal.
func TestColored(t *testing.T) {
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, c := range map[string]struct {
		out           io.Writer
		noColor, term string
		want          bool
	}{
		"terminal":        {device, "", "xterm", true},
		"NO_COLOR":        {device, "1", "xterm", false},
		"dumb":            {device, "", "dumb", false},
		"file":            {file, "", "xterm", false},
		"no file at all":  {new(bytes.Buffer), "", "xterm", false},
		"NO_COLOR, empty": {device, "", "", true},
	} {
		t.Setenv("NO_COLOR", c.noColor)
		t.Setenv("TERM", c.term)
		if got := colored(c.out); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
