package keyreeve_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// block is a fenced block of a document.
type block struct {
	doc, heading, kind, text string
	line                     int
	// excuse is why its commands are not played.
	excuse string
}

func (b block) String() string { return fmt.Sprintf("%s:%d (%s)", b.doc, b.line, b.heading) }

var (
	fence  = regexp.MustCompile("^( *)```(\\w*)$")
	excuse = regexp.MustCompile(`^ *<!-- not played: (.+) -->$`)
	// stray is a command in a block that is only indented, and so is not played.
	stray = regexp.MustCompile(`^ {4,}(keyreeve|systemctl|journalctl|make|install|apt|sshd|sed) `)
	// standIn is a word that the reader puts something else for.
	standIn = regexp.MustCompile(`\b(USER|ID|DIGEST|FINGERPRINT|UNTIL)\b`)
)

// blocksOf takes the blocks out of a document.
func blocksOf(t *testing.T, doc string) (list []block) {
	t.Helper()
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	var now *block
	heading, indent, before, why := "", "", "", ""
	for i, line := range strings.Split(string(text), "\n") {
		match := fence.FindStringSubmatch(line)
		switch {
		case now == nil && match != nil:
			indent = match[1]
			now = &block{doc: doc, heading: heading, kind: match[2], line: i + 1, excuse: why}
		case now != nil && match != nil:
			list = append(list, *now)
			now = nil
		case now != nil:
			now.text += strings.TrimPrefix(line, indent) + "\n"
		case strings.HasPrefix(line, "## "):
			heading = line[3:]
		case before == "" && stray.MatchString(line):
			t.Errorf("%s:%d: a command that nobody plays: %s", doc, i+1, line)
		}
		why = ""
		if match := excuse.FindStringSubmatch(line); match != nil {
			why = match[1]
		}
		before = strings.TrimSpace(line)
	}
	if now != nil {
		t.Errorf("%v does not end", now)
	}
	return list
}

// act is what a block of commands is played in.
type act struct {
	heading string
	// has is a part of the block, where its heading has several.
	has string
	// before brings about what the block is for, and says what stands for the words in capitals.
	before func(*stage) map[string]string
	// after says whether the block has done what it is for.
	after func(*stage)
	// may are exit statuses, by the beginnings of commands, that are right here.
	may map[string][]int
}

// attentive are exit statuses by which commands say that something was found.
var attentive = map[string][]int{
	"keyreeve plan": {2}, "keyreeve doctor": {2}, "keyreeve registry status": {2}, "keyreeve registry fetch": {2}, "keyreeve brake status": {2},
	"keyreeve explain": {2}, "keyreeve status": {1, 2},
}

// Every command of README.md and docs/operations.md does what is said of it, in a system that systemd has booted, with a directory, an sshd and
// users of its own. Those that are not played have their reason in the document.
func TestCommandsArePlayed(t *testing.T) {
	var list []block
	for _, doc := range []string{"README.md", "docs/operations.md"} {
		for _, b := range blocksOf(t, doc) {
			switch {
			case b.kind == "sh" && b.excuse != "":
				t.Logf("%v is not played: %s", b, b.excuse)
			case b.kind == "sh", b.kind == "yaml" && doc == "README.md":
				list = append(list, b)
			}
		}
	}
	if len(list) < 20 {
		t.Fatalf("the documents have %d blocks", len(list))
	}
	testenv.Need(t, "root", "systemd", "slapd", "sshd")
	s := newStage(t)
	played := make(map[int]bool)
	for _, b := range list {
		if b.kind == "yaml" {
			s.Put("/etc/keyreeve/keyreeve.yaml", 0o644, b.text)
			continue
		}
		at := slices.IndexFunc(acts, func(a act) bool { return a.heading == b.heading && strings.Contains(b.text, a.has) })
		if at < 0 {
			t.Errorf("there is no act for %v:\n%s", b, b.text)
			continue
		}
		played[at] = true
		s.play(b, acts[at])
		if t.Failed() {
			t.FailNow() // the next one begins where this one ends
		}
	}
	for i, a := range acts {
		if !played[i] {
			t.Errorf("no block is what the act for %q with %q is for", a.heading, a.has)
		}
	}
}

// play runs the commands of a block, each of which has to end well.
func (s *stage) play(b block, a act) {
	s.Helper()
	text := b.text
	if a.before != nil {
		for word, with := range a.before(s) {
			text = regexp.MustCompile(`\b`+word+`\b`).ReplaceAllLiteralString(text, with)
		}
	}
	if word := standIn.FindString(text); word != "" {
		s.Fatalf("%v: nothing stands for %s", b, word)
	}
	for line := range strings.Lines(text) {
		cmd := s.Command("/bin/sh", "-c", line)
		out, err := cmd.CombinedOutput()
		status := cmd.ProcessState.ExitCode()
		if err != nil && !slices.Contains(mayEnd(line, a.may), status) {
			s.Fatalf("%v: status %d: %s%s", b, status, line, out)
		}
		s.Logf("%d $ %s%s", status, line, out)
	}
	if a.after != nil {
		a.after(s)
	}
}

// mayEnd are the statuses other than 0 with which a command may end.
func mayEnd(command string, more map[string][]int) (list []int) {
	for _, statuses := range []map[string][]int{attentive, more} {
		for beginning, of := range statuses {
			if strings.HasPrefix(command, beginning) {
				list = append(list, of...)
			}
		}
	}
	return list
}
