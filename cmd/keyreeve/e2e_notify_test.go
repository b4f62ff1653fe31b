package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/notify"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// notify adds a section to the configuration.
func (s site) notify(text string) {
	s.t.Helper()
	s.configure("enforce", s.ldifRegistry()+"\nnotify: "+text)
}

// sshd passes over a note, whatever the user wrote behind the key that it tells of, and the key that may stay goes on logging in. A second look
// changes nothing, and what the user makes of the note is his.
func TestNoteLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	server, s := testenv.StartSSHD(t, ""), newSite(t)
	goodFile, good := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	alice := guest(t, good)
	alice.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", "# keyreeve: "+bad+"\n"+bad+" \r"+bad+"\n"+good+" mine\n")
	if err := server.Login(alice.name, badFile); err != nil {
		t.Fatalf("without keyreeve the unknown key must log in, or nothing is proven: %v", err)
	}
	s.put("registry.ldif", entries(alice))
	s.notify(`{note: true, text: ["Register keys at https://keys.example.org/"]}`)
	logins := func(when string) {
		t.Helper()
		if err := server.Login(alice.name, goodFile); err != nil {
			t.Errorf("%s: the registered key: %v", when, err)
		}
		if err := server.Login(alice.name, badFile); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("%s: the unknown key: got %v, want ErrRefused", when, err)
		}
	}
	s.keyreeve(statusOK, "apply")
	noted := alice.read(t, "authorized_keys")
	if !strings.HasPrefix(noted, "# keyreeve: removed on ") || !strings.HasSuffix(noted, "\n"+good+" mine\n") || strings.Count(noted, "Register keys at") != 1 {
		t.Errorf("the file is %q", noted)
	}
	logins("with a note")
	s.keyreeve(statusOK, "apply")
	if again := alice.read(t, "authorized_keys"); again != noted {
		t.Errorf("a second look made %q", again)
	}
	alice.does(t, "sed -i '2,4d; s/^# keyreeve: You/#/' .ssh/authorized_keys; echo '# keyreeve: mine' >>.ssh/authorized_keys", "")
	edited := alice.read(t, "authorized_keys")
	s.keyreeve(statusOK, "apply")
	if again := alice.read(t, "authorized_keys"); again != edited {
		t.Errorf("of an edited note was made %q", again)
	}
	logins("with half a note")
}

// clerk is an account whose programs tell users, with a directory in which they can write down what they are told.
type clerk struct {
	t         *testing.T
	name, out string
	dir       string // root's alone
}

func newClerk(t *testing.T) clerk {
	t.Helper()
	a := testenv.NewAccount(t)
	return clerk{t, a.Name, a.Home, testenv.RootDir(t)}
}

// program is a script that the clerk runs in his directory.
func (c clerk) program(name, script string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncd "+c.out+"\n"+script+"\n"), 0o755); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// read is what the clerk has written down; nothing yet is an empty text.
func (c clerk) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(c.out, name))
	return string(text)
}

// The daemon with the unit's capabilities tells a user by a program and by mail of what it removed, once within an hour however often he puts it back,
// and of the rest when it ends.
func TestDaemonTells(t *testing.T) {
	c, s := newClerk(t), newSite(t)
	_, keys := vectors(t)
	alice := s.newMember(1, keys["A"])
	s.put("registry.ldif", strings.TrimSuffix(entries(alice), "\n")+"mail: alice@example.org\n\n")
	if err := os.WriteFile(filepath.Join(c.dir, "template"), []byte("{{define \"subject\"}}Gone{{end}}{{range .Removed}}{{.Fingerprint}} {{.Comment}}\n{{end}}.\n{{range .Text}}{{.}}{{end}}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	told, mail := c.program("exec", `{ printf '%s ' "$@"; cat; } >>words`), c.program("sendmail", `{ printf '%s\n' "$@"; cat; } >>mail`)
	s.notify(fmt.Sprintf(`{exec: [%s, an argument], mail: {program: %s, from: keys@example.org, template: %s}, user: %s, text: ["Wohin? Zu äöü."]}`, told, mail, filepath.Join(c.dir, "template"), c.name))
	alice.write(t, "authorized_keys", keys["A"]+"\n"+keys["B"]+" bad\x1b; $(reboot)\n")
	d := s.startBy(func(cmd *exec.Cmd) error {
		return testenv.Confined(cmd.Start, testenv.UnitCapabilities(t, "../../systemd/keyreeve.service")...)
	})
	alice.loses(t, "authorized_keys", keys["B"])
	eventually(t, "the user is told by a program and by mail", func() bool {
		return strings.HasSuffix(c.read("words"), "\n") && strings.Contains(c.read("mail"), "=C3=BC.\n")
	})
	for i := range 5 {
		alice.append(t, "authorized_keys", fmt.Sprintf("%s again %d\n", keys["B"], i))
		d.await("file changed", 2+i) // what is written while it is being changed may go aside without a look
	}
	mailed := c.read("mail")
	d.stop()
	words := strings.Split(strings.TrimSuffix(c.read("words"), "\n"), "\n")
	if len(words) != 2 {
		t.Fatalf("the program was told %q", words)
	}
	var e notify.Event
	text, found := strings.CutPrefix(words[0], "an argument ")
	if err := json.Unmarshal([]byte(text), &e); err != nil || !found {
		t.Fatalf("%v: %q", err, words[0])
	}
	if e.User != alice.name || e.UID != alice.uid || e.Mail != "alice@example.org" || e.Changes != 1 || len(e.Removed) != 1 || e.More != 0 || e.Text[0] != "Wohin? Zu äöü." ||
		e.Removed[0].File != alice.file("authorized_keys") || e.Removed[0].Reason != "unregistered" || e.Removed[0].Comment != "bad ; $(reboot)" {
		t.Errorf("the program was told %+v", e)
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(words[1], "an argument ")), &e); err != nil || e.Changes != 5 || len(e.Removed) != 5 {
		t.Errorf("at the end the program was told %v %+v", err, e)
	}
	want := "-i\n-f\nkeys@example.org\n--\nalice@example.org\nFrom: keys@example.org\nTo: alice@example.org\nSubject: Gone\nDate: "
	body := "\n\n" + e.Removed[0].Fingerprint + " bad ; $(reboot)\n.\nWohin? Zu =C3=A4=C3=B6=C3=BC.\n"
	if !strings.HasPrefix(mailed, want) || !strings.HasSuffix(mailed, body) || strings.Count(c.read("mail"), "Subject: ") != 2 {
		t.Errorf("the mail is %q", mailed)
	}
	if d.said(`"level":"error"`) != 0 || strings.Contains(alice.read(t, "authorized_keys"), "keyreeve") {
		t.Error("the daemon had errors, or wrote a note that nobody wants")
	}
}

// A program that hangs and one that fails hold up no removal and no end of the daemon; that nobody is told is told once. A configuration with which nobody
// could be told is not taken.
func TestDaemonTellsInVain(t *testing.T) {
	c, s := newClerk(t), newSite(t)
	_, keys := vectors(t)
	var members []member
	for i := range 10 {
		members = append(members, s.newMember(i, keys["A"]))
		members[i].write(t, "authorized_keys", keys["A"]+"\n")
	}
	s.put("registry.ldif", entries(members...))
	told, mail := c.program("exec", ": >begun; exec sleep 600"), c.program("sendmail", "echo 'no \033[1m' >&2; exit 75")
	config := func(program string) {
		t.Helper()
		s.notify(fmt.Sprintf(`{note: true, exec: [%s], mail: {program: %s}, user: %s, timeout: 1m}`, program, mail, c.name))
	}
	config(told)
	d := s.start()
	d.await("every home was looked at", 1)
	loses := func(m member) {
		t.Helper()
		m.append(t, "authorized_keys", keys["B"]+"\n")
		m.loses(t, "authorized_keys", keys["B"])
	}
	loses(members[0])
	eventually(t, "the program has begun", func() bool { _, err := os.Stat(filepath.Join(c.out, "begun")); return err == nil })
	d.await("users are not told of what was removed", 1)
	for _, m := range members {
		loses(m)
		if text := m.read(t, "authorized_keys"); strings.Count(text, "# keyreeve: removed on ") != 1 || !strings.HasPrefix(text, "# keyreeve: ") {
			t.Errorf("no note, or two: %q", text)
		}
	}
	if err := os.Chmod(told, 0o775); err != nil {
		t.Fatal(err)
	}
	if _, stderr := s.keyreeve(statusError, "config", "check"); !strings.Contains(stderr, "notify.exec: "+told+": somebody other than root could change "+told) {
		t.Errorf("config check: %s", stderr)
	}
	config(told) // the same, and yet
	d.signal(syscall.SIGHUP)
	d.await("configuration not taken; the old one stays in force", 1)
	begun := time.Now()
	d.stop()
	if took := time.Since(begun); took < time.Second {
		t.Errorf("it ended after %v: nobody was being told", took)
	}
	if d.said(`exit status 75: no \\x1b[1m`) == 0 || d.said("since the daemon ends") != 1 || d.said("users are not told of what was removed; the trail has it") > 2 {
		t.Error("the daemon did not say whom it did not tell, or too often")
	}
}
