package answer

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// What the file says of keys that another program than keyreeve gives sshd: the rules by which they are judged, with those of options, and for a user the
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
	// From and Until are the first and the last day on which it counts, such as "2027-01-31", in UTC; empty: there is none.
	From, Until string
}

// Rules are those by which a key of another program is judged.
type Rules struct {
	Keys []Rule
	// Allow names the options that such a key may have; nil: all.
	Allow []string
	// Force are the options that stand behind its own, as in authorized_keys.
	Force string
	// SSHD is the version of this host's sshd, such as "9.2"; empty: it is not known.
	SSHD string
}

// noDay stands in a rule for a day that it does not have.
const noDay = "-"

// Words at the beginnings of lines that are no rules of keys.
const (
	allowWord = "allow"
	forceWord = "force"
	sshdWord  = "sshd"
)

func appendRules(dst []byte, rules Rules, end time.Time) []byte {
	dst = appendHead(dst, end)
	for _, r := range rules.Keys {
		dst = fmt.Appendf(dst, "%s %d", r.Type, r.MinBits)
		if r.From != "" || r.Until != "" {
			dst = fmt.Appendf(dst, " %s %s", cmp.Or(r.From, noDay), cmp.Or(r.Until, noDay))
		}
		dst = append(dst, '\n')
	}
	if rules.Allow != nil {
		dst = fmt.Appendf(dst, "%s %s\n", allowWord, strings.Join(rules.Allow, " "))
	}
	for _, line := range [][2]string{{forceWord, rules.Force}, {sshdWord, rules.SSHD}} {
		if line[1] != "" {
			dst = fmt.Appendf(dst, "%s %s\n", line[0], line[1])
		}
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
func FindRules(file io.ReaderAt, size int64, now time.Time) (rules Rules, err error) {
	lines, err := findLines(file, size, rulesKey, now)
	if err != nil {
		return Rules{}, err
	}
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case allowWord:
			rules.Allow = append([]string{}, strings.Fields(rest)...)
		case forceWord:
			rules.Force = rest
		case sshdWord:
			rules.SSHD = rest
		default:
			rule, err := parseRule(word, strings.Fields(rest))
			if err != nil {
				return Rules{}, fmt.Errorf("the rule %q: %w", line, err)
			}
			rules.Keys = append(rules.Keys, rule)
		}
	}
	if len(rules.Keys) == 0 {
		return Rules{}, fmt.Errorf("there are no rules in it by which keys of other programs could be judged: %w", errDamaged)
	}
	return rules, nil
}

// parseRule reads what stands behind the type of a rule: the least size, and where the rule has days, both of them.
func parseRule(kind string, fields []string) (Rule, error) {
	if len(fields) != 1 && len(fields) != 3 {
		return Rule{}, errDamaged
	}
	least, err := strconv.Atoi(fields[0])
	if err != nil {
		return Rule{}, errDamaged
	}
	rule := Rule{Type: kind, MinBits: least}
	if len(fields) == 3 {
		for i, day := range []*string{&rule.From, &rule.Until} {
			if *day = fields[i+1]; *day == noDay {
				*day = ""
			}
		}
	}
	return rule, nil
}

// FindRefused gives the fingerprints of the keys that are not for a user at the moment now, whoever says so.
func FindRefused(file io.ReaderAt, size int64, name string, now time.Time) (list []string, err error) {
	lines, err := findLines(file, size, refusedKey+name, now)
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

// findLines gives the items of a record; none where it is not there.
func findLines(file io.ReaderAt, size int64, key string, now time.Time) (lines []string, err error) {
	value, found, err := cdbGet(file, size, []byte(key), maxValue)
	if err != nil || !found {
		return nil, err
	}
	text, whole := strings.CutSuffix(string(value), "\n")
	lines = strings.Split(text, "\n")
	moment, known := strings.CutPrefix(lines[0], version+" ")
	if !whole || !known {
		return nil, fmt.Errorf("the record %q is not whole, or in another format than %s: %w", key, version, errDamaged)
	}
	end, err := parseMoment(moment)
	if err != nil {
		return nil, err
	}
	if ended(end, now) {
		return nil, ErrStale
	}
	return lines[1:], nil
}
