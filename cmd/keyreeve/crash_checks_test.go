package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// owner is who owns a file.
func owner(info fs.FileInfo) (uid, gid int) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(stat.Uid), int(stat.Gid)
}

// intent is what a record of the trail says, as far as a crash is concerned.
type intent struct {
	Action  string `json:"event.action"`
	Outcome string `json:"event.outcome"`
	ID      string `json:"event.id"`
	File    string `json:"file.path"`
	Copy    string `json:"keyreeve.quarantine"`
}

// trail reads the records; a last line without its end is none.
func (s site) trail() []intent {
	s.t.Helper()
	text, err := os.ReadFile(s.path("log", "audit.jsonl"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	var list []intent
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var r intent
		if err := json.Unmarshal(line, &r); err != nil {
			s.t.Errorf("a line of the trail is no record: %v: %q", err, line)
		}
		list = append(list, r)
	}
	return list
}

// whole fails the test unless the trail is one chain, if there is any.
func (s site) whole() {
	s.t.Helper()
	if _, err := os.Stat(s.path("log", "audit.jsonl")); err == nil {
		s.keyreeve(statusOK, "audit", "verify")
	}
}

// told fails the test unless the trail holds the intent to replace the member's file, and quarantine the text that was read
// of it.
func (s site) told(m member, text string) {
	s.t.Helper()
	all := s.trail()
	i := slices.IndexFunc(all, func(r intent) bool {
		return r.Action == "replace-file" && r.Outcome == "intent" && r.File == m.file("authorized_keys")
	})
	switch {
	case i < 0:
		s.t.Errorf("the file was changed, and the trail does not tell of it: %+v", all)
	case text != "":
		if !slices.ContainsFunc(all, func(r intent) bool { return r.Action == "remove-line" && r.Outcome == "intent" && r.ID == all[i].ID }) {
			s.t.Errorf("a line was removed, and the trail does not tell of it: %+v", all)
		}
		s.kept(text, all)
	}
}

// kept fails the test unless one of the copies that the trail names holds the text.
func (s site) kept(text string, all []intent) {
	s.t.Helper()
	for _, r := range all {
		data, err := os.ReadFile(r.Copy)
		var c enforcer.Copy
		if err != nil || json.Unmarshal(data, &c) != nil {
			continue // its writer died
		}
		if shown, _ := s.keyreeve(statusOK, "quarantine", "show", r.ID); shown == text {
			return
		}
	}
	s.t.Errorf("the file was changed, and quarantine does not hold what it was: %+v", all)
}

// The names that keyreeve gives to what it makes beside the file, and to what it moves there.
var (
	tempName  = regexp.MustCompile(`^\.keyreeve-new-[A-Z2-7]{8}-[0-9a-f]{8}-[0-9a-f]{16}-[A-Z2-7]{26}$`)
	asideName = regexp.MustCompile(`^\.(authorized_keys|ssh)\.keyreeve-aside-[A-Z2-7]{26}$`)
	// markName is that of what has just gone aside; of a directory that gave way there is an empty second file too.
	markName = regexp.MustCompile(`^\.(authorized_keys2?|ssh)\.keyreeve-full$|^authorized_keys2$`)
)

// clean fails the test unless what is in the home beside the test's own files has one of these names, which sshd does not read.
func (m member) clean(t *testing.T, names ...*regexp.Regexp) {
	t.Helper()
	for _, path := range m.leftovers(t, "authorized_keys", "mine") {
		if !slices.ContainsFunc(names, func(name *regexp.Regexp) bool { return name.MatchString(filepath.Base(path)) }) {
			t.Errorf("%s was left in the home", path)
		}
	}
}

// A crash of the machine loses what is not on disk: each step is, before the next one begins.
func TestApplySyncs(t *testing.T) {
	testenv.Need(t, "root")
	s := newSite(t)
	_, keys := vectors(t)
	m := s.newMember(1, keys["A"])
	m.write(t, "authorized_keys", keys["B"]+" intruder\n"+keys["A"]+"\n")
	s.put("registry.ldif", entries(m))
	s.configure("enforce", s.ldifRegistry())
	for _, dir := range []string{"log", "state", "state/quarantine"} {
		if err := os.Mkdir(s.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	calls, _ := s.stepped("keyreeve", m.home, true, 0)
	const (
		trail = "/log/audit.jsonl"
		keep  = "/state/quarantine/user001"
		ssh   = "/home/user001/.ssh"
	)
	steps := []string{
		"write " + trail, "fsync " + trail,
		"write " + keep + "/*", "fsync " + keep + "/*", "linkat " + keep + "/*", "fsync " + keep,
		"pwrite64 " + ssh + "/.keyreeve-new-*", "fsync " + ssh + "/.keyreeve-new-*",
		"renameat2 " + ssh + "/.keyreeve-new-*", "fsync " + ssh,
		"write " + trail, "fsync " + trail,
	}
	var order []string
	for _, c := range calls {
		order = append(order, c.String())
	}
	at := -1
	for _, step := range steps {
		i := slices.Index(order[at+1:], step)
		if i < 0 {
			t.Fatalf("%q does not come where it belongs in %q", step, order)
		}
		at += i + 1
		if strings.HasPrefix(step, "renameat2") && slices.Index(order, step) != at {
			t.Errorf("the file is replaced before the steps that come first: %q", order)
		}
	}
}
