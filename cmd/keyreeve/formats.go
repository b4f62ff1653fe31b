package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/report"
)

// form is a format of a report.
type form[T any] struct {
	name  string
	print func(w io.Writer, t T, color bool) error
}

// plainly is a format that has no colours.
func plainly[T any](write func(io.Writer, T) error) func(io.Writer, T, bool) error {
	return func(w io.Writer, t T, _ bool) error { return write(w, t) }
}

// forms are the formats of plan.
func forms() []form[report.Report] {
	return []form[report.Report]{{"text", report.Text}, {"json", plainly(report.JSON)}, {"csv", plainly(report.CSV)}, {"html", plainly(report.HTML)}}
}

// printout prints reports where the user wants them.
type printout[T any] struct {
	process
	print func(w io.Writer, t T, color bool) error
	path  string // empty: stdout
}

// newPrintout checks format and path, before anything is looked at for long.
func newPrintout[T any](p process, list []form[T], format, path string) (printout[T], error) {
	var names []string
	for _, f := range list {
		if f.name == format {
			return printout[T]{p, f.print, path}, checkOutput(path)
		}
		names = append(names, f.name)
	}
	return printout[T]{}, fmt.Errorf("--format: %q is not one of %s", format, strings.Join(names, ", "))
}

// checkOutput refuses a name that is none, a folder that is not there, and to put a file in the place of what is none: as root that would take /dev/null away.
func checkOutput(path string) error {
	if path == "" {
		return nil
	}
	if name := filepath.Base(path); name[0] == '.' || name == "-" { // statefile refuses the first, after a pass that may take minutes
		return withHint(fmt.Errorf("--output: %q is not the name of a file that is written", name), "without --output the report goes to standard output")
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("--output: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("--output: %s is no regular file, and none is put in its place", path)
	}
	return nil
}

// show prints a report; a file is there whole, for its owner alone (it names people), or not at all.
func (o printout[T]) show(t T) error {
	if o.path == "" {
		return o.print(o.Stdout, t, colored(o.Stdout))
	}
	var out bytes.Buffer
	if err := o.print(&out, t, false); err != nil {
		return err
	}
	return statefile.Replace(filepath.Dir(o.path), filepath.Base(o.path), out.Bytes())
}
