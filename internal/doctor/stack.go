package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// pamService is the stack of sshd: that of its own name (SSHD_PAM_SERVICE in auth-pam.h), or what PAMServiceName says since 10.0.
const (
	pamService = "sshd"
	// maxIncludes is PAM_SUBSTACK_MAX_LEVEL of Linux-PAM, about.
	maxIncludes = 16
)

// pamDirs is where PAM looks for the stacks of services (PAM_CONFIG_DF and PAM_CONFIG_DIST_DF in Linux-PAM's pam_private.h).
func pamDirs() []string { return []string{"/etc/pam.d", "/usr/lib/pam.d"} }

// stack reads the lines of sshd's stack in the order in which PAM goes over them.
func (q Question) stack(f *Facts) {
	name, uses := pamService, false
	for _, said := range f.Said {
		for _, s := range said.Users {
			uses = uses || s.Text("UsePAM") == "yes"
			if s.Has("PAMServiceName") {
				name = s.Text("PAMServiceName")
			}
		}
	}
	f.Stack = q.stackFile(name)
	if _, err := os.Stat(q.path(f.Stack)); errors.Is(err, fs.ErrNotExist) {
		if uses {
			f.Unread = append(f.Unread, fmt.Errorf("sshd uses PAM, and its stack %s is in none of %s: what PAM does instead is not known", name, strings.Join(pamDirs(), ", ")))
		}
		return
	}
	lines, err := q.service(name, "", 0)
	if err != nil {
		f.Unread = append(f.Unread, fmt.Errorf("sshd's stack of PAM: %w", err))
	}
	f.PAM = lines
}

// stackFile is the file of a stack: the first that is there.
func (q Question) stackFile(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	for _, dir := range pamDirs() {
		if _, err := os.Stat(q.path(filepath.Join(dir, name))); !errors.Is(err, fs.ErrNotExist) {
			return filepath.Join(dir, name)
		}
	}
	return filepath.Join(pamDirs()[0], name)
}

// service reads one file; a kind is given where it is included for lines of one type alone.
func (q Question) service(name, kind string, depth int) (list []PAMLine, err error) {
	path := q.stackFile(name)
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
