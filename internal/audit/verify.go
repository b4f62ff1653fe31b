package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Checked is what Verify found of a trail that is whole.
type Checked struct {
	Records     int
	First, Last uint64 // event.sequence
	// Torn counts lines that a crash cut off; each is followed by a record that knows of it.
	Torn int
}

// Verifier checks a trail that may stand in several files, given from the oldest to the newest.
type Verifier struct {
	checked Checked
	last    head
	lastAt  string // the place of the last record
	begun   bool
	tornAt  string // the place of a line that is no record, until the next record vouches for it
}

// Verify reads one more file of the trail. The error names the first line that is not what its successor says it was, is out
// of order, or is no record and is not vouched for by the next one, and its record's number.
func (v *Verifier) Verify(name string, r io.Reader) error {
	lines := bufio.NewReaderSize(r, lineBound)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s:%d: read the line: %w", name, n, err)
		}
		if err := v.line(fmt.Sprintf("%s:%d", name, n), bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
	}
}

func (v *Verifier) line(at string, line []byte) error {
	l, err := parseLink(line)
	if err != nil {
		return v.torn(at, line, err)
	}
	next := v.last.sequence + 1
	switch {
	case v.begun && l.Sequence > next:
		return fmt.Errorf("%s: records %d to %d are missing before record %d", at, next, l.Sequence-1, l.Sequence)
	case v.begun && l.Sequence < next:
		return fmt.Errorf("%s: record %d comes after record %d: it was moved or put in", at, l.Sequence, v.last.sequence)
	case v.tornAt != "" && l.Previous != v.last.sum:
		return fmt.Errorf("%s: no record, and not what stood there when record %d was written", v.tornAt, l.Sequence)
	case v.begun && l.Previous != v.last.sum:
		return fmt.Errorf("%s: record %d was changed, or record %d, which has the digest of another line before it", v.lastAt, v.last.sequence, l.Sequence)
	}
	if v.tornAt != "" {
		v.checked.Torn++
		v.tornAt = ""
	}
	if !v.begun {
		v.checked.First = l.Sequence
	}
	v.begun = true
	v.checked.Records++
	v.checked.Last = l.Sequence
	v.last, v.lastAt = head{sum: digest(line), sequence: l.Sequence}, at
	return nil
}

// torn takes a line that is no record, if one alone: the next record tells whether it stood there then.
func (v *Verifier) torn(at string, line []byte, err error) error {
	if v.tornAt != "" {
		return fmt.Errorf("%s: not a record, and neither is the line before it: %w", at, err)
	}
	v.tornAt = at
	v.last.sum = digest(line)
	return nil
}

// End says what the files held. A last line that is no record is an error unless it is the end of the trail.
func (v *Verifier) End() Checked {
	if v.tornAt != "" {
		v.checked.Torn++
	}
	return v.checked
}
