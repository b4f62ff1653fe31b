package answer

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// What the file says of keys that another program than keyreeve gives sshd: the rules by which they are judged, and for a user the
// fingerprints of those that are not for him, whoever says so. Both begin with the line "1 END", and have an item a line; "* MOMENT" stands for
// all keys from that moment on.
const (
	rulesKey   = "\x00rules"
	refusedKey = "\x00refused "
)

// Everything stands for all keys in a list of those that are refused.
const Everything = "*"

// Rule accepts one type of key, as a rule of the configuration does.
type Rule struct {
	Type    string
	MinBits int // of an RSA key; else 0
}

func appendRules(dst []byte, rules []Rule, end time.Time) []byte {
	dst = appendHead(dst, end)
	for _, r := range rules {
		dst = fmt.Appendf(dst, "%s %d\n", r.Type, r.MinBits)
	}
	return dst
}

func appendRefused(dst []byte, user User, end time.Time) []byte {
	dst = appendHead(dst, end)
	for _, f := range user.Refused {
		dst = append(append(dst, f...), '\n')
	}
	if !user.Until.IsZero() {
		dst = append(appendMoment(append(dst, Everything+" "...), user.Until), '\n')
	}
	return dst
}

func appendHead(dst []byte, end time.Time) []byte {
	return append(appendMoment(append(dst, version+" "...), end), '\n')
}

// FindRules gives the rules of a file of size bytes at the moment now. A file without rules is an error: no key is judged by none.
func FindRules(file io.ReaderAt, size int64, now time.Time) ([]Rule, error) {
	lines, found, err := findLines(file, size, rulesKey, now)
	if err != nil {
		return nil, err
	}
	if !found || len(lines) == 0 {
		return nil, fmt.Errorf("there are no rules in it by which keys of other programs could be judged: %w", errDamaged)
	}
	rules := make([]Rule, 0, len(lines))
	for _, line := range lines {
		name, bits, _ := strings.Cut(line, " ")
		least, err := strconv.Atoi(bits)
		if err != nil {
			return nil, fmt.Errorf("the rule %q: %w", line, errDamaged)
		}
		rules = append(rules, Rule{name, least})
	}
	return rules, nil
}

// FindRefused gives the fingerprints of the keys that are not for a user at the moment now, whoever says so.
func FindRefused(file io.ReaderAt, size int64, name string, now time.Time) (list []string, err error) {
	lines, _, err := findLines(file, size, refusedKey+name, now)
	for _, line := range lines {
		text, later := strings.CutPrefix(line, Everything+" ")
		if !later {
			list = append(list, line)
			continue
		}
		at, err := parseMoment(text)
		if err != nil {
			return nil, err
		}
		if ended(at, now) {
			return []string{Everything}, nil
		}
	}
	return list, err
}

func findLines(file io.ReaderAt, size int64, key string, now time.Time) (lines []string, found bool, err error) {
	value, found, err := cdbGet(file, size, []byte(key), maxValue)
	if err != nil || !found {
		return nil, false, err
	}
	text, whole := strings.CutSuffix(string(value), "\n")
	lines = strings.Split(text, "\n")
	moment, known := strings.CutPrefix(lines[0], version+" ")
	if !whole || !known {
		return nil, false, fmt.Errorf("the record %q is not whole, or in another format than %s: %w", key, version, errDamaged)
	}
	end, err := parseMoment(moment)
	if err != nil {
		return nil, false, err
	}
	if ended(end, now) {
		return nil, false, ErrStale
	}
	return lines[1:], true, nil
}
