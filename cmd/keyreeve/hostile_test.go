package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostile are texts that break lines, drive terminals or turn text around, where they reach one.
var hostile = map[string]string{
	"line breaks":      "a\rb\vc\fd\x85e\u0085f\u2028g",
	"escape sequences": "\x1b[2J\x1b[31m\x1b]0;title\x07\x1b]8;;http://x\x1b\\link",
	"C1 controls":      "\x9b2J\u009b2J\u009d0;title\u009c",
	"bidi marks":       "\u202eevil\u202c\u2066x\u2069\u200f",
	"invalid UTF-8":    "\xff\xfe\xc3(\xed\xa0\x80",
	"controls":         "\b\b\b\x7f\x00\x01\x1a",
	"JSON":             `","event.outcome":"success","x":"\u001b`,
	"long":             strings.Repeat("\x1b[2J\u202e", 20<<10),
}

// Whatever users and the registry write, every line of trail, log and reports is printable ASCII, and a whole JSON object where
// it should be one.
func TestHostileText(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	base64Of := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	var members []member
	var registry strings.Builder
	for _, name := range []string{"line breaks", "escape sequences", "C1 controls", "bidi marks", "invalid UTF-8", "controls", "JSON", "long"} {
		text := hostile[name]
		m := s.newMember(len(members), keys["A"])
		m.write(t, "authorized_keys", keys["B"]+" "+text+"\n"+text+"\n# "+text+"\ncommand=\""+text+"\" "+keys["B"]+"\n"+keys["A"]+" "+text+"\n")
		if target := text[:min(len(text), 200)]; !strings.ContainsAny(target, "\x00") {
			if err := os.Symlink(target, m.file("authorized_keys2")); err != nil {
				t.Fatal(err)
			}
		}
		members = append(members, m)
		registry.WriteString(entries(m))
		// Another key, whose label is hostile; a value that is no key; an entry that is none, with a hostile name.
		fmt.Fprintf(&registry, "dn:: %s\nobjectClass: posixAccount\nuid:: %s\nuidNumber: 5\ngidNumber: 5\nhomeDirectory:: %s\nsshPublicKey:: %s\n\n",
			base64Of("uid="+text[:min(len(text), 500)]+",dc=example,dc=org"), base64Of(text), base64Of("/home/"+text), base64Of(text))
	}
	big := s.newMember(len(members), keys["A"]) // a comment of a megabyte: the file is too large to be read whole
	big.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+" "+strings.Repeat("\x1b[2J\u202e\xff", 150<<10)+"\n")
	odd := s.newMember(len(members)+1, keys["A"]) // a home that a terminal should not see
	home := filepath.Join(filepath.Dir(odd.home), "\u202eodd\u009b2J\xff")
	if err := os.Rename(odd.home, home); err != nil {
		t.Fatal(err)
	}
	odd.home = home
	odd.write(t, "authorized_keys", keys["B"]+"\n")
	registry.WriteString(entries(big))
	registry.WriteString(strings.NewReplacer("homeDirectory: "+home, "homeDirectory:: "+base64Of(home),
		"sshPublicKey: "+keys["A"], "sshPublicKey:: "+base64Of(keys["A"]+" "+hostile["bidi marks"])).Replace(entries(odd)))
	s.put("registry.ldif", registry.String())
	s.configure("enforce", s.ldifRegistry())
	text, err := os.ReadFile(s.path("keyreeve.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put("keyreeve.yaml", strings.Replace(string(text), "homes: {", "homes: {install: all, ", 1))

	shown := make(map[string]string)
	show := func(status int, arguments ...string) {
		t.Helper()
		out, said := s.keyreeve(status, arguments...)
		shown[strings.Join(arguments, " ")] = out
		shown[strings.Join(arguments, " ")+", stderr"] = said
	}
	show(statusPending, "plan")
	show(statusPending, "plan", "--format", "json")
	for name, text := range hostile {
		if !strings.Contains(text, "\x00") && len(text) < 1000 {
			out, said := s.keyreeve(statusError, "plan", text)
			shown["plan "+name] = out + said
		}
	}
	d := s.start()
	d.await("every home was looked at", 1)
	d.stop()
	for _, m := range members {
		m.write(t, "authorized_keys", keys["B"]+" "+hostile["escape sequences"]+"\n")
	}
	show(statusOK, "apply")
	show(statusOK, "audit", "verify")
	show(statusOK, "quarantine", "list")
	show(statusOK, "quarantine", "list", "--format", "json")
	shown["log"] = strings.Join(d.log, "\n")
	trail, err := os.ReadFile(s.path("log", "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	shown["trail"] = string(trail)

	for name, text := range shown {
		for n, line := range strings.Split(text, "\n") {
			if i := strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
				t.Errorf("%s, line %d: %q", name, n+1, line[max(i-40, 0):min(i+40, len(line))])
			}
		}
	}
	for _, name := range []string{"log", "trail"} {
		if n := objects(t, shown[name]); n < len(members) {
			t.Errorf("%s has %d lines", name, n)
		}
	}
	for _, name := range []string{"plan --format json", "quarantine list --format json"} {
		if !json.Valid([]byte(shown[name])) {
			t.Errorf("%s is no JSON", name)
		}
	}
	for _, m := range append(members, big, odd) {
		onlyKey(t, "authorized_keys", m.read(t, "authorized_keys"), keys["A"])
		if !bytes.Contains(trail, []byte(`"user.name":"`+m.name+`"`)) {
			t.Errorf("the trail does not tell of %s", m.name)
		}
	}
}

// objects counts the lines, each of which must be one JSON object.
func objects(t *testing.T, text string) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(text) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Errorf("%v: %q", err, line)
		}
		n++
	}
	return n
}
