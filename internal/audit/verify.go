package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// The fields of the chain. sequenceField is event.sequence of the schema.
const (
	sequenceField = "event.sequence"
	previousField = "keyreeve.previous"
)

// lineBound is far above any record: paths and messages are bounded.
const lineBound = 64 << 10

// head is the end of a trail: what the next record goes on from.
type head struct {
	end      int64  // the file's size
	sum      string // SHA-256 of the last line without its newline, in hex; empty where there is none
	sequence uint64 // of the last record
	torn     bool   // the last line has no newline: its writer was cut off
}

// next is the head behind one more line, newline included.
func (h head) next(line []byte) head {
	return head{sum: digest(bytes.TrimSuffix(line, []byte("\n"))), sequence: h.sequence + 1}
}

// now is the head of the file as it is: h itself unless another process wrote, or the file is another one. An empty file goes
// on from h, since it took the place of the one that h is the end of.
func (h head) now(file *os.File) (head, error) {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return head{}, fmt.Errorf("find its end: %w", err)
	}
	if end == h.end || end == 0 {
		h.end, h.torn = end, false
		return h, nil
	}
	start := max(end-2*lineBound, 0)
	tail := make([]byte, end-start)
	if _, err := file.ReadAt(tail, start); err != nil {
		return head{}, fmt.Errorf("read its last record: %w", err)
	}
	now := head{end: end, torn: tail[len(tail)-1] != '\n'}
	lines := bytes.Split(bytes.TrimSuffix(tail, []byte("\n")), []byte("\n"))
	now.sum = digest(lines[len(lines)-1])
	for _, line := range slices.Backward(lines) {
		// A torn line has no number; the next record counts on from the last whole one.
		if l, err := parseLink(line); err == nil {
			now.sequence = l.Sequence
			break
		}
	}
	return now, nil
}

// link is what of a record belongs to the chain.
type link struct {
	Sequence uint64 `json:"event.sequence"`
	Previous string `json:"keyreeve.previous"`
}

func parseLink(line []byte) (link, error) {
	var l link
	if err := json.Unmarshal(line, &l); err != nil {
		return link{}, err
	}
	if l.Sequence == 0 {
		return link{}, errors.New("it has no " + sequenceField)
	}
	return l, nil
}

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
	begun   bool
	tornAt  string // the place of a line that is no record, until the next record vouches for it
}

// Verify reads one more file of the trail. The error names the first line that is not what its successor says it was, is out
// of order, or is no record and is not vouched for by the next one.
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
	switch {
	case v.begun && l.Previous != v.last.sum:
		return fmt.Errorf("%s: record %d does not follow the line before it: that line was changed, or lines between them are gone", at, l.Sequence)
	case v.begun && l.Sequence != v.last.sequence+1:
		return fmt.Errorf("%s: record %d follows record %d", at, l.Sequence, v.last.sequence)
	case !v.begun && v.tornAt != "" && l.Previous != v.last.sum:
		return fmt.Errorf("%s: not a record", v.tornAt)
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
	v.last = head{sum: digest(line), sequence: l.Sequence}
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
