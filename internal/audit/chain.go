package audit

import (
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
	end      int64  // the file's size; -1 where the file is another one since
	sum      string // SHA-256 of the last line without its newline, in hex; empty where there is none
	sequence uint64 // of the last record
	torn     bool   // the last line has no newline: its writer was cut off
}

// next is the head behind one more line, newline included.
func (h head) next(line []byte) head {
	return head{sum: digest(bytes.TrimSuffix(line, []byte("\n"))), sequence: h.sequence + 1}
}

// now is the head of the trail as it is: h itself unless another process wrote, or the file is another one. An empty file goes
// on from h or from the newest file that was rotated away, whichever is further.
func (h head) now(path string, file *os.File) (head, error) {
	end, err := file.Seek(0, io.SeekEnd)
	switch {
	case err != nil:
		return head{}, fmt.Errorf("find its end: %w", err)
	case end == 0:
		before, err := rotated(path)
		if err != nil && h.sequence == 0 {
			return head{}, fmt.Errorf("find what it goes on from: %w", err)
		}
		if before.sequence > h.sequence {
			h = before
		}
		h.end, h.torn = 0, false
		return h, nil
	case end == h.end:
		return h, nil
	}
	start := max(end-2*lineBound, 0)
	tail := make([]byte, end-start)
	if _, err := file.ReadAt(tail, start); err != nil {
		return head{}, fmt.Errorf("read its last record: %w", err)
	}
	now := headOf(tail)
	now.end = end
	return now, nil
}

// headOf is the head of a trail that ends with these bytes, of which there are some.
func headOf(tail []byte) head {
	now := head{torn: tail[len(tail)-1] != '\n'}
	lines := bytes.Split(bytes.TrimSuffix(tail, []byte("\n")), []byte("\n"))
	now.sum = digest(lines[len(lines)-1])
	for _, line := range slices.Backward(lines) {
		// A torn line has no number; the next record counts on from the last whole one.
		if l, err := parseLink(line); err == nil {
			now.sequence = l.Sequence
			break
		}
	}
	return now
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
