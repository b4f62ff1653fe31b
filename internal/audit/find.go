package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"
)

// Found is a record of the trail, as it is read back.
type Found struct {
	Time     time.Time `json:"@timestamp"`
	Sequence uint64    `json:"event.sequence"`
	Action   string    `json:"event.action"`
	Outcome  string    `json:"event.outcome"`
	Reason   string    `json:"event.reason"`
	Host     string    `json:"host.name"`
	User     string    `json:"user.name"`
	File     string    `json:"file.path"`
	Message  string    `json:"message"`
	// Quarantine and Source are empty where the record has none.
	Quarantine string `json:"keyreeve.quarantine"`
	Source     string `json:"source.address"`
}

// About finds the last records about keys, by their fingerprints (SHA256:...), the oldest first; at most so many. The files of the trail at
// path are read from end to end, and not verified; where there is no trail there is no record.
func About(path string, most int, fingerprints ...string) ([]Found, error) {
	files, err := Files(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the audit trail: %w", err)
	}
	var last []Found
	for _, name := range slices.Backward(files) {
		found, err := aboutIn(name, most-len(last), fingerprints)
		if err != nil {
			return nil, err
		}
		if last = append(found, last...); len(last) == most {
			break
		}
	}
	return last, nil
}

// aboutIn finds the last records of one file. Lines that are no record are Verify's matter.
func aboutIn(name string, most int, fingerprints []string) (last []Found, err error) {
	file, err := OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	lines := bufio.NewReaderSize(file, lineBound)
	for {
		line, err := lines.ReadSlice('\n')
		if slices.ContainsFunc(fingerprints, func(f string) bool { return bytes.Contains(line, []byte(f)) }) {
			var record struct {
				Found
				Fingerprint string `json:"ssh.key.fingerprint"`
			}
			if json.Unmarshal(line, &record) == nil && slices.Contains(fingerprints, record.Fingerprint) {
				last = append(last, record.Found)
				last = last[max(len(last)-most, 0):]
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return last, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
}
