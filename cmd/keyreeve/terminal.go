package main

import (
	"io"
	"os"
)

// isTerminal reports whether a stream is one that a person looks at. A character device is one as a rule; /dev/null shows nobody anything.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// colored reports whether a text is to have colours: on a terminal that knows them, unless NO_COLOR says otherwise (no-color.org: any
// value but an empty one).
func colored(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
