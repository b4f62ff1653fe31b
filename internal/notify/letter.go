package notify

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"text/template"
	"time"
	"unicode"
)

const (
	// maxLetter bounds what a template may make, maxSubject its subject, in bytes.
	maxLetter, maxSubject = 64 << 10, 200
	// foldAt is the length of a header line that is not exceeded without need (RFC 5322, section 2.1.1).
	foldAt = 76
)

// builtin is what users get where the centre has no template of its own.
const builtin = `{{define "subject"}}SSH keys were removed from your account on {{.Host}}{{end -}}
Hello,

in your account {{.User}} on {{.Host}} the following was removed{{if gt .Changes 1}}, in {{.Changes}} changes{{end}}:
{{range .Removed}}
* {{.File}}
{{- if .Fingerprint}}
  {{.Type}} {{.Fingerprint}}{{if .Comment}}
  {{.Comment}}{{end}}{{end}}
  {{.Reason}}{{if .Detail}}: {{.Detail}}{{end}}
{{end}}{{if .More}}
and {{.More}} more.
{{end}}{{if .Text}}
{{range .Text}}{{.}}
{{end}}{{end}}
If these keys are not yours, please tell the administrators.
`

// Letter makes mails of events.
type Letter struct {
	from string // an address, fit for a header; empty: who sends it has one
	body *template.Template
}

// NewLetter reads a template (text/template) of an Event; empty: the built-in one. What it defines as "subject" is the subject. It is tried, so that a field
// that is not there is an error now.
func NewLetter(from, text string) (*Letter, error) {
	body := template.Must(template.New("mail").Option("missingkey=error").Parse(builtin))
	if text != "" {
		// The name stays "mail", whose text is replaced, and "subject" is the built-in one unless it is defined anew.
		if _, err := body.Parse(text); err != nil {
			return nil, err
		}
	}
	l := &Letter{from, body}
	loss := Loss{File: "/home/user/.ssh/authorized_keys", Reason: "unregistered", Type: "ssh-ed25519", Fingerprint: "SHA256:", Comment: "comment"}
	sample := Event{Version: 1, User: "user", Host: "host", Changes: 2, Removed: []Loss{loss}, More: 1, Text: []string{"text"}}
	_, _, err := l.Make(sample, time.Unix(0, 0))
	return l, err
}

// ErrNobody says that it is not known where to send a mail: an account whose name has an "@" would be an address of somebody's.
var ErrNobody = errors.New("the registry has no address, and the name of the account is none of this host's")

// Make makes the mail of an event, and says to whom it goes. It is 7-bit text with lines of at most 76 characters, whatever the template gives (RFC 2045,
// 2047); date and identifier of the message but for the date are the sending program's to add.
func (l *Letter) Make(e Event, now time.Time) (text []byte, to string, err error) {
	if to = e.Mail; to == "" {
		if to = e.User; strings.ContainsRune(to, '@') {
			return nil, "", ErrNobody
		}
	}
	subject, err := l.part("subject", e)
	if err != nil {
		return nil, "", err
	}
	body, err := l.part("mail", e)
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	if l.from != "" {
		fmt.Fprintf(&b, "From: %s\n", l.from)
	}
	fmt.Fprintf(&b, "To: %s\nSubject: %s\nDate: %s\n", to, header(subject), now.Format(time.RFC1123Z))
	// RFC 3834, section 5: nobody's vacation program is to answer.
	b.WriteString("Auto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n")
	quoted := quotedprintable.NewWriter(&b)
	// A CR of its own would spoil what follows it (mime/quotedprintable takes it for an end of line, and swallows the next one).
	_, err = quoted.Write([]byte(strings.ToValidUTF8(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(body), "\uFFFD")))
	if err = errors.Join(err, quoted.Close()); err != nil {
		return nil, "", err
	}
	// sendmail takes lines as the system has them.
	return bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n")), to, nil
}

// part executes one of the templates.
func (l *Letter) part(name string, e Event) (string, error) {
	var b limited
	if err := l.body.ExecuteTemplate(&b, name, e); err != nil {
		return "", err
	}
	return b.String(), nil
}

// limited is a buffer that takes no more than a letter may have.
type limited struct{ strings.Builder }

func (b *limited) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxLetter {
		return 0, fmt.Errorf("the template makes more than %d bytes", maxLetter)
	}
	return b.Builder.Write(p)
}

// header makes a text fit for a header: one line, encoded where it is no plain ASCII, folded where it is long.
func header(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), maxSubject)], ""))
	text = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "=?", "= ?") // it would be decoded, by whoever reads it (RFC 2047)
	encoded := mime.QEncoding.Encode("utf-8", text)
	if encoded == text && len(text) > foldAt-len("Subject: ") {
		encoded = fold(text)
	}
	return strings.ReplaceAll(encoded, "\r\n", "\n")
}

// fold puts words on lines of their own where one would be too long (RFC 5322, section 2.2.3).
func fold(text string) string {
	var b strings.Builder
	at := len("Subject: ")
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case at+1+len(word) > foldAt:
			b.WriteString("\n ")
			at = 0
		default:
			b.WriteByte(' ')
		}
		b.WriteString(word)
		at += 1 + len(word)
	}
	return b.String()
}
