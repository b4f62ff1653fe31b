package notify_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/notify"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// loss is a loss with a comment.
func loss(comment string) notify.Loss {
	return notify.Loss{
		File: "/home/alice/.ssh/authorized_keys", Reason: "unregistered", Detail: "the key registry does not list this key for the user",
		Type: "ssh-ed25519", Fingerprint: "SHA256:8O248R5MYQAJpvyalKqVsiVm3TSeFzqEb7VKVZ1CYVA", Comment: comment,
	}.Plain()
}

// lost is what alice lost.
func lost(losses ...notify.Loss) notify.Event {
	return notify.Event{Version: 1, User: "alice", UID: 2001, Host: "login1", First: noon, Last: noon, Changes: 1, Removed: losses, Text: []string{}}
}

const plainMail = `From: keys@example.org
To: alice@example.org
Subject: SSH keys were removed from your account on login1
Date: Thu, 26 Nov 2026 12:00:00 +0000
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Hello,

in your account alice on login1 the following was removed:

* /home/alice/.ssh/authorized_keys
  ssh-ed25519 SHA256:8O248R5MYQAJpvyalKqVsiVm3TSeFzqEb7VKVZ1CYVA
  anna@laptop
  unregistered: the key registry does not list this key for the user

* /home/alice/.ssh/authorized_keys2
  symlink: the whole file was replaced

and 3 more.

Neue Schl=C3=BCssel: https://keys.example.org/

If these keys are not yours, please tell the administrators.
`

func TestLetter(t *testing.T) {
	l, err := notify.NewLetter("keys@example.org", "")
	if err != nil {
		t.Fatal(err)
	}
	e := lost(loss("anna@laptop"), notify.Loss{File: "/home/alice/.ssh/authorized_keys2", Reason: "symlink", Detail: "the whole file was replaced"})
	e.Mail, e.More, e.Text = "alice@example.org", 3, []string{"Neue Schlüssel: https://keys.example.org/"}
	text, to, err := l.Make(e, noon)
	if diff := cmp.Diff(plainMail, string(text)); err != nil || to != "alice@example.org" || diff != "" {
		t.Errorf("%v, to %q: %s", err, to, diff)
	}
	e.Mail = ""
	if text, to, err := l.Make(e, noon); err != nil || to != "alice" || !bytes.Contains(text, []byte("\nTo: alice\n")) {
		t.Errorf("without an address: %v, to %q", err, to)
	}
	e.User = "alice@elsewhere.example"
	if _, _, err := l.Make(e, noon); !errors.Is(err, notify.ErrNobody) {
		t.Errorf("a name that would be an address: %v", err)
	}
}

// A template of the centre's takes the built-in one's place; one that cannot be used is an error when it is read.
func TestLetterTemplates(t *testing.T) {
	l, err := notify.NewLetter("", "{{define \"subject\"}}Schlüssel\nBcc: eve@example.org{{end}}{{.User}}: {{range .Removed}}{{.Comment}}{{end}}\n.\n")
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := l.Make(lost(loss("x")), noon)
	want := "To: alice\nSubject: =?utf-8?q?Schl=C3=BCssel_Bcc:_eve@example.org?=\n"
	if err != nil || !strings.HasPrefix(string(text), want) || !strings.HasSuffix(string(text), "\n\nalice: x\n.\n") {
		t.Errorf("%v: %q", err, text)
	}
	if l, err = notify.NewLetter("", "only a body"); err != nil {
		t.Fatal(err)
	}
	if text, _, _ = l.Make(lost(), noon); !strings.Contains(string(text), "Subject: SSH keys were removed") || !strings.HasSuffix(string(text), "\n\nonly a body") {
		t.Errorf("%q", text)
	}
	for text, want := range map[string]string{
		"{{.Nothing}}":                        "can't evaluate field Nothing",
		"{{":                                  "unclosed action",
		"{{printf \"%70000d\" 1}}":            "makes more than 65536 bytes",
		`{{template "none"}}`:                 `template "none" not defined`,
		`{{define "subject"}}{{.Key}}{{end}}`: "can't evaluate field Key",
	} {
		if _, err := notify.NewLetter("", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Whatever users and templates write, a mail has the headers that it is to have and no other, goes to whom it is to go, is 7-bit with short lines, and says
// what the template said.
func TestLetterProperties(t *testing.T) {
	words := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"\n", "\rÀ\n", "\x1b[2J\u009b", "\r\n", "\n\n.\n", "\nBcc: eve@example.org\n", "=?utf-8?q?=0ABcc:?=", strings.Repeat("long ", 60), strings.Repeat("x", 300), "\xff", "é\u202e"}))
	rapid.Check(t, func(rt *rapid.T) {
		subject, body := words.Draw(rt, "subject"), words.Draw(rt, "body")
		quote := func(s string) string { return "{{" + "\"" + escape(s) + "\"" + "}}" }
		l, err := notify.NewLetter("keys@example.org", `{{define "subject"}}`+quote(subject)+"{{end}}"+quote(body)+"{{range .Removed}}{{.Comment}}{{end}}\n")
		if err != nil {
			rt.Fatal(err)
		}
		e := lost(loss(words.Draw(rt, "comment")))
		text, to, err := l.Make(e, noon)
		if err != nil || to != "alice" {
			rt.Fatal(to, err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			if line := lines.Text(); len(line) > 76 && !strings.HasPrefix(line, "Subject: ") && !strings.HasPrefix(line, " ") || len(line) > 998 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
				rt.Fatalf("line %q", line)
			}
		}
		message, err := mail.ReadMessage(bytes.NewReader(text))
		if err != nil || len(message.Header) != 8 || message.Header.Get("To") != "alice" || message.Header.Get("Bcc") != "" {
			rt.Fatalf("%v, %v", message.Header, err)
		}
		if decoded, err := new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil || strings.ContainsFunc(decoded, func(r rune) bool { return !unicode.IsPrint(r) }) {
			rt.Fatalf("the subject is %q, %v", decoded, err)
		}
		got, err := io.ReadAll(quotedprintable.NewReader(message.Body))
		want := strings.ToValidUTF8(body+e.Removed[0].Comment+"\n", "\uFFFD")
		lines := strings.NewReplacer("\r\n", "\n", "\r", "\n")
		if err != nil || lines.Replace(string(got)) != lines.Replace(want) {
			rt.Fatalf("the body is %q, want %q, %v", got, want, err)
		}
	})
}

// escape is a text in a string of a template.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteString(`\x` + string("0123456789abcdef"[s[i]>>4]) + string("0123456789abcdef"[s[i]&15]))
	}
	return b.String()
}
