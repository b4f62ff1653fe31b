package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/keyreeve/keyreeve/internal/plain"
)

// writeJSON prints a document in ASCII, as json.MarshalIndent has it.
func writeJSON(w io.Writer, document any) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(plain.JSON(text), '\n'))
	return err
}

// streamJSON is writeJSON for a document in which one list, empty in it and a field at its top, is too long to be in memory as text: a hundred
// thousand accounts were 0.6 to 1 GB. Its items are printed one after the other, and what is printed is the same.
func streamJSON(w io.Writer, document any, list string, items iter.Seq[any]) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	// A line break stands in no string of JSON, and two blanks behind it are those of the top.
	begin := fmt.Appendf(nil, "\n  %q: [", list)
	before, after, found := bytes.Cut(text, append(begin, ']'))
	if !found {
		return errors.New("the document has no empty list " + list)
	}
	out := bufio.NewWriter(w)
	put := func(text ...[]byte) error { // each of them after the first error has it, and so has Flush
		_, err := out.Write(plain.JSON(bytes.Join(text, nil)))
		return err
	}
	_ = put(before, begin)
	next, end := "\n    ", ""
	for item := range items {
		part, err := json.MarshalIndent(item, "    ", "  ")
		if err != nil {
			return err
		}
		if put([]byte(next), part) != nil {
			break // nobody reads any more
		}
		next, end = ",\n    ", "\n  "
	}
	_ = put([]byte(end+"]"), after, []byte("\n"))
	return out.Flush()
}
