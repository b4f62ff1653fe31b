package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// pamDir is where PAM looks for the stacks of services (pam.d(5)); sshd's is that of its own name (SSHD_PAM_SERVICE in auth-pam.h), or what
// PAMServiceName says since 10.0.
const (
	pamDir     = "/etc/pam.d"
	pamService = "sshd"
	// maxIncludes is PAM_SUBSTACK_MAX_LEVEL of Linux-PAM, about.
	maxIncludes = 16
)

// stack reads the lines of sshd's stack in the order in which PAM goes over them.
func (q Question) stack(f *Facts) {
	name := pamService
	for _, said := range f.Said {
		for _, s := range said.Users {
			if s.Has("PAMServiceName") {
				name = s.Text("PAMServiceName")
			}
		}
	}
	if _, err := os.Stat(q.path(filepath.Join(pamDir, name))); errors.Is(err, fs.ErrNotExist) {
		return // a host without PAM
	}
	lines, err := q.service(name, "", 0)
	if err != nil {
		f.Unread = append(f.Unread, fmt.Errorf("sshd's stack of PAM: %w", err))
	}
	f.PAM = lines
}

// service reads one file; a kind is given where it is included for lines of one type alone.
func (q Question) service(name, kind string, depth int) (list []PAMLine, err error) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(pamDir, name)
	}
	if depth > maxIncludes {
		return nil, fmt.Errorf("%s: included too deep", path)
	}
	text, err := q.read(path)
	if err != nil {
		return nil, err
	}
	number, first := 0, 0
	var whole string
	for line := range strings.Lines(string(text)) {
		number++
		line, _, _ = strings.Cut(strings.TrimRight(line, "\r\n"), "#")
		if whole == "" {
			first = number
		}
		if front, goes := strings.CutSuffix(line, `\`); goes {
			whole += front + " "
			continue
		}
		words := pamWords(whole + line)
		whole = ""
		more, wrong := q.line(words, kind, depth, PAMLine{File: path, Number: first})
		list, err = append(list, more...), errors.Join(err, wrong)
	}
	return list, err
}

// line reads one line, or what it includes.
func (q Question) line(words []string, kind string, depth int, at PAMLine) ([]PAMLine, error) {
	if len(words) == 2 && words[0] == "@include" {
		return q.service(words[1], kind, depth+1)
	}
	if len(words) < 3 {
		return nil, nil
	}
	at.Type = strings.ToLower(strings.TrimPrefix(words[0], "-"))
	if kind != "" && kind != at.Type {
		return nil, nil
	}
	if words[1] == "include" || words[1] == "substack" {
		return q.service(words[2], at.Type, depth+1)
	}
	at.Control, at.Module, at.Args = strings.ToLower(words[1]), words[2], words[3:]
	return []PAMLine{at}, nil
}

// pamWords parts a line at blanks; what is in brackets is one word, without them (pam.conf(5)).
func pamWords(line string) []string {
	var words []string
	for line = strings.TrimLeft(line, " \t"); line != ""; line = strings.TrimLeft(line, " \t") {
		end := strings.IndexAny(line, " \t")
		if rest, ok := strings.CutPrefix(line, "["); ok {
			word, after, _ := strings.Cut(rest, "]")
			words, line = append(words, word), after
			continue
		}
		if end < 0 {
			end = len(line)
		}
		words, line = append(words, line[:end]), line[end:]
	}
	return words
}
