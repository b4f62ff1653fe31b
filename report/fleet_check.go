package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"
)

// The bounds of what a report may say, beside those of its size.
const (
	// maxParts is how many commas one field or account may have: an element takes two bytes in JSON, and some hundred in memory. A hundred thousand
	// accounts that are all out of line have 300,000 in their digest.
	maxParts = 2 << 20
	// maxFields is how many fields a report may have, known here or not.
	maxFields = 1000
	// maxCount is more than anything is counted to.
	maxCount = 1 << 30
)

// bounded is a reader that gives a bounded number of bytes, and of those of one value, and of the elements of one.
type bounded struct {
	r                  io.Reader
	whole, most, value int64
	parts              int
}

// next begins another value.
func (b *bounded) next() { b.value, b.parts = b.most, maxParts }

func (b *bounded) Read(p []byte) (int, error) {
	left := min(b.whole, b.value)
	if left <= 0 || b.parts <= 0 {
		return 0, errors.New("it, or a part of it, is larger than a report can be")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), left)])
	b.whole, b.value, b.parts = b.whole-int64(n), b.value-int64(n), b.parts-bytes.Count(p[:n], []byte(","))
	return n, err
}

// check refuses what no pass over the homes can say. A number below none would take away from what the other hosts say, and a time that cannot
// be printed would keep all of them from being.
func (in *intake) check() error {
	h := &in.fleet.Hosts[in.at]
	c := h.Counts
	for _, n := range []int{c.Accounts, c.Pending, c.Remove, c.Rewrite, c.Add, c.Unresolved, c.Pressing, c.Unkept, c.Errors, c.Skipped, c.Departed, c.Soon, c.Held} {
		if n < 0 || n > maxCount {
			return fmt.Errorf("its summary counts %d of something", n)
		}
	}
	maps.DeleteFunc(c.Modes, func(mode string, n int) bool { return !isCode(mode) || n < 0 || n > maxCount || len(c.Modes) > 8 })
	if year := h.Made.UTC().Year(); year < 1 || year > 9999 { // RFC 3339 has four digits
		return fmt.Errorf("it was made in the year %d", year)
	}
	if first := in.fleet.Hosts[0]; h.Supposed != first.Supposed {
		return fmt.Errorf("it is %s, and the report of %s is %s", cmp.Or(h.Supposed, asItIs), first.Host, cmp.Or(first.Supposed, asItIs))
	}
	return nil
}

// asItIs is said of a report that supposes nothing.
const asItIs = "by the rules in force, as of now"

// supposed takes what a report supposes: what would be is no part of what is.
func (in *intake) supposed(h *FleetHost) error {
	var w *struct {
		File string    `json:"policy_file"`
		At   time.Time `json:"at"`
	}
	if err := in.dec.Decode(&w); err != nil || w == nil {
		return err
	}
	h.Supposed = word(WhatIf{File: word(w.File), At: w.At}.supposed())
	return nil
}

// full refuses more people and findings than a fleet can have, each of which is kept.
func (f *Fleet) full() error {
	if len(f.shut)+len(f.open) > maxFleetKeys {
		return fmt.Errorf("more than %d people and findings", maxFleetKeys)
	}
	return nil
}

// isCode reports whether a text can be a stable code.
func isCode(text string) bool {
	return text != "" && len(text) <= 64 && !strings.ContainsFunc(text, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// isFingerprint reports whether a text can be that of a key: SHA256 and 43 characters of base64.
func isFingerprint(text string) bool {
	digest, found := strings.CutPrefix(text, "SHA256:")
	sum, err := base64.RawStdEncoding.DecodeString(digest)
	return found && err == nil && len(sum) == sha256.Size
}
