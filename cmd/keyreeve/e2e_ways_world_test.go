package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// never is an end that is far away.
var never = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)

// caseKey is a key of the user ada that stands for a case of the table.
type caseKey struct {
	name    string
	options string // those that the registry demands
	line    string // without options: so it stands in her home
	file    string // the private half
	known   bool   // registered
	absent  bool   // from her home
}

// value is what the registry has of it.
func (k caseKey) value() string { return strings.TrimSpace(k.options + " " + k.line) }

// world is what stands behind the table.
type world struct {
	t       *testing.T
	s       site
	desk    desk
	ldap    *testenv.Slapd
	daemon  *child
	servers [allWays]*testenv.SSHD

	keys                               []caseKey
	tokens                             map[byte]string // sockets of agents
	askpass                            string
	ada, leaver, later, ghost, claimed member
	stranger, saved                    member // whom the registry does not know
	sessions                           [allWays]*session
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, s: newSite(t), desk: newDesk(t)}
	w.makeKeys()
	w.makePeople()
	w.startServers()
	entry := func(m member) string {
		return strings.TrimSuffix(entries(m), "\n") + "description: " + stamp(never) + "\n\n"
	}
	w.ldap = testenv.StartSlapdWith(t, entries(w.ada, w.ghost, w.claimed)+entry(w.leaver)+entry(w.later), testenv.SlapdSetup{Sync: true})
	// Any attribute with a GeneralizedTime does; krbPrincipalExpiration is in no schema of this slapd.
	w.s.configure("enforce", strings.Replace(startTLS(w.ldap, "24h"), "start_tls: true", "start_tls: true, attributes: {expires_time: description}", 1))
	w.s.more(fmt.Sprintf("answer: {dir: %s}\n", w.desk.dir))
	return w
}

func (w *world) makeKeys() {
	w.t.Helper()
	for _, k := range []caseKey{
		{name: "good", known: true},
		{name: "absent", known: true, absent: true},
		{name: "lost", known: true},
		{name: "far", known: true, options: `from="192.0.2.1"`},
		{name: "near", known: true, options: `from="127.0.0.1"`},
		{name: "restricted", known: true, options: "restrict"},
		{name: "forced", known: true, options: `command="echo forced"`},
		{name: "past", known: true, options: `expiry-time="20200101Z"`},
		{name: "future", known: true, options: expiry(never)},
		{name: "ending", known: true, options: expiry(never)},
		{name: "ending later", known: true, options: expiry(never)},
		{name: "rsa", known: true},
		{name: "short", known: true},
		{name: "sk", known: true},
		{name: "stolen"},
		{name: "strange", absent: true},
		{name: "saved", absent: true},
	} {
		switch k.name {
		case "rsa":
			k.file, k.line = longKey(w.t)
		case "short":
			k.file, k.line = shortKey(w.t)
		case "sk":
			k.file, k.line, w.tokens = newTokens(w.t)
		default:
			k.file, k.line = testenv.NewKey(w.t)
		}
		w.keys = append(w.keys, k)
	}
}

// longKey is an RSA key of 4096 bits, of the real ssh-keygen's.
func longKey(t *testing.T) (keyFile, line string) {
	t.Helper()
	keyFile = filepath.Join(t.TempDir(), "long")
	said, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "rsa", "-b", "4096", "-N", "", "-C", "", "-f", keyFile).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	text, err := os.ReadFile(keyFile + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return keyFile, strings.TrimSpace(string(text))
}

// key is that of a case.
func (w *world) key(name string) *caseKey {
	for i := range w.keys {
		if w.keys[i].name == name {
			return &w.keys[i]
		}
	}
	panic("no key " + name)
}

// makePeople makes accounts, and homes as their users left them: without an option.
func (w *world) makePeople() {
	w.t.Helper()
	good := w.key("good").line
	w.ada, w.leaver, w.later, w.stranger, w.saved, w.claimed = guest(w.t, good), guest(w.t, good), guest(w.t, good), guest(w.t, ""), guest(w.t, ""), guest(w.t, good)
	w.ada.keys = nil
	for _, k := range w.keys {
		if k.known {
			w.ada.keys = append(w.ada.keys, k.value())
		}
	}
	w.ghost = member{name: w.ada.name + "x", uid: w.ada.uid + 1000, gid: w.ada.gid, home: w.ada.home + "x", keys: []string{good}}
	w.claimed.uid++
	w.claimed.home += "x"
	for _, home := range []struct {
		of   member
		text string
	}{
		{w.ada, w.home()},
		{w.leaver, good + "\n"},
		{w.later, good + "\n"},
		{w.stranger, w.key("strange").line + "\n"},
		{w.saved, w.key("saved").line + "\n"},
	} {
		home.of.does(w.t, "mkdir .ssh; cat >.ssh/authorized_keys", home.text)
	}
}

// home is ada's file before keyreeve has seen it.
func (w *world) home() string {
	var text strings.Builder
	for _, k := range w.keys {
		if !k.absent {
			text.WriteString(k.line + "\n")
		}
	}
	return text.String()
}

// startServers starts one for each way, and proves that a password would do where one is asked for.
func (w *world) startServers() {
	w.t.Helper()
	strong := w.desk.dropIn(w.t, "10-keyreeve-strong.conf")
	broken := strings.Replace(strong, "Match User root", "Match User root,"+w.saved.name, 1)
	if broken == strong {
		w.t.Fatal("the drop-in has no break-glass")
	}
	for way, config := range [allWays]string{byHomes: "", byBoth: w.desk.dropIn(w.t, "10-keyreeve-both.conf"), byAnswers: broken} {
		w.servers[way] = testenv.StartSSHD(w.t, config)
	}
	w.askpass = filepath.Join(w.t.TempDir(), "askpass")
	if err := os.WriteFile(w.askpass, []byte("#!/bin/sh\necho correct horse\n"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	program, err := testenv.Program("chpasswd")
	if err != nil {
		w.t.Fatal(err)
	}
	chpasswd := exec.CommandContext(w.t.Context(), program, "-c", "SHA512")
	chpasswd.Stdin = strings.NewReader(w.ada.name + ":correct horse\n")
	if said, err := chpasswd.CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, said)
	}
	lax := testenv.StartSSHD(w.t, "Match all\nPasswordAuthentication yes")
	cmd, err := lax.PasswordCommand(w.t.Context(), w.ada.name, w.askpass, "true")
	if err == nil {
		err = testenv.Refusal(cmd)
	}
	if err != nil {
		w.t.Fatalf("where passwords are taken this one must do, or nothing is proven: %v", err)
	}
}

func stamp(at time.Time) string  { return at.UTC().Format("20060102150405Z") }
func expiry(at time.Time) string { return `expiry-time="` + stamp(at) + `"` }

// answered is what sshd is told of somebody's key, ended or not.
func (w *world) answered(of member, key string) (found answer.Key, ok bool) {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.desk.dir, answer.Name))
	if errors.Is(err, os.ErrNotExist) {
		return answer.Key{}, false
	}
	user, _, err2 := answer.Find(bytes.NewReader(data), int64(len(data)), of.name, time.Unix(0, 0))
	if err := errors.Join(err, err2); err != nil {
		w.t.Fatal(err)
	}
	for _, k := range user.Keys {
		if strings.Contains(k.Line, w.key(key).line) {
			return k, true
		}
	}
	return answer.Key{}, false
}

// modify changes an entry of the directory.
func (w *world) modify(of member, changes ...string) {
	w.t.Helper()
	w.ldap.Modify(fmt.Sprintf("dn: uid=%s,ou=people,dc=example,dc=org\nchangetype: modify\n%s\n", of.name, strings.Join(changes, "\n-\n")))
}

// registrationEnds gives a key of ada's another end, and returns when file and answer have it: from then on it is sshd that compares.
func (w *world) registrationEnds(key string, at time.Time) {
	w.t.Helper()
	k := w.key(key)
	old := k.value()
	k.options = expiry(at)
	w.modify(w.ada, "delete: sshPublicKey\nsshPublicKey: "+old, "add: sshPublicKey\nsshPublicKey: "+k.value())
	eventually(w.t, "the end of the registration is in file and answer", func() bool {
		told, _ := w.answered(w.ada, key)
		return strings.Contains(told.Line, k.value()) && strings.Contains(w.ada.read(w.t, "authorized_keys"), k.value())
	})
}

// passed waits until a moment is past for sshd too, which still takes a key in the second of its end (auth_authorise_keyopts in OpenSSH's auth.c).
func (w *world) passed(at time.Time) {
	w.t.Helper()
	eventually(w.t, "the end is past", func() bool { return time.Now().After(at.Add(time.Second)) })
}

// soon is an end that is to pass between two logins.
func soon(ahead time.Duration) time.Time { return time.Now().Add(ahead).Truncate(time.Second) }

// kill ends the daemon as a crash does.
func (w *world) kill() {
	w.t.Helper()
	w.daemon.signal(syscall.SIGKILL)
	<-w.daemon.ended
}

// plant writes a key that nobody has registered into ada's home.
func (w *world) plant() {
	w.t.Helper()
	w.ada.append(w.t, "authorized_keys", w.key("stolen").line+" planted\n")
}

// cleaned waits until it is gone.
func (w *world) cleaned() { w.t.Helper(); w.ada.loses(w.t, "authorized_keys", w.key("stolen").line) }
