package config

import (
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Notify says how users are told of what was removed from their files.
type Notify struct {
	// Note asks for a comment at the top of the file, Text is what it says beside what went, and Keep how long it stays.
	Note bool     `yaml:"note"`
	Text []string `yaml:"text"`
	Keep Age      `yaml:"keep"`
	// Exec is a program of root's and its arguments; none: there is none. User is whose rights it and Mail's have.
	Exec []string `yaml:"exec"`
	Mail Mail     `yaml:"mail"`
	User string   `yaml:"user"`
	// Every is the time between two words to one user, Timeout that in which a program has to end.
	Every   time.Duration `yaml:"every"`
	Timeout time.Duration `yaml:"timeout"`
}

// Mail says how users get mail.
type Mail struct {
	// Program takes mail as sendmail(8) does; empty: there is no mail.
	Program string `yaml:"program"`
	// From is the address of the sender; empty: the program has one.
	From string `yaml:"from"`
	// Template is the path of a text/template; empty: the built-in one.
	Template string `yaml:"template"`
}

func defaultNotify() Notify {
	return Notify{Text: []string{}, Keep: Age(30 * day), Exec: []string{}, User: "_keyreeve-notify", Every: time.Hour, Timeout: 10 * time.Second}
}

// The bounds of the text. Lines of a note have 76 characters, of which its mark takes 12.
const (
	maxText    = 6
	maxColumns = 64
)

func (n Notify) check() error {
	list := []error{between("notify.every", n.Every, time.Minute, 7*24*time.Hour), between("notify.timeout", n.Timeout, time.Second, time.Minute)}
	if n.Keep < Age(day) {
		list = append(list, fmt.Errorf("notify.keep: %v is less than 1d", n.Keep))
	}
	if len(n.Text) > maxText {
		list = append(list, fmt.Errorf("notify.text: %d lines are more than %d", len(n.Text), maxText))
	}
	for i, line := range n.Text {
		if plain := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) < 0; !plain || !utf8.ValidString(line) || strings.TrimSpace(line) == "" {
			list = append(list, fmt.Errorf("notify.text[%d]: %+q is no line of printable text", i, line))
		} else if long := utf8.RuneCountInString(line); long > maxColumns {
			list = append(list, fmt.Errorf("notify.text[%d]: %d characters are more than %d", i, long, maxColumns))
		}
	}
	if len(n.Exec) > 0 {
		list = append(list, absolute("notify.exec[0]", n.Exec[0]))
	}
	if strings.ContainsRune(strings.Join(n.Exec, ""), 0) {
		list = append(list, errors.New("notify.exec: an argument has a NUL byte"))
	}
	if n.User == "" || n.User == "root" {
		list = append(list, fmt.Errorf("notify.user: %q cannot be the user: what is told comes from users' files, so root does not run it", n.User))
	}
	return errors.Join(append(list, n.Mail.check())...)
}

func (m Mail) check() error {
	if m.Program == "" {
		if m.From != "" || m.Template != "" {
			return errors.New("notify.mail: there is no mail: notify.mail.program is empty")
		}
		return nil
	}
	list := []error{absolute("notify.mail.program", m.Program)}
	if m.Template != "" {
		list = append(list, absolute("notify.mail.template", m.Template))
	}
	if m.From != "" {
		if a, err := mail.ParseAddress(m.From); err != nil || a.Address != m.From || strings.HasPrefix(m.From, "-") || strings.ContainsFunc(m.From, func(r rune) bool { return r <= ' ' || r > '~' }) {
			list = append(list, fmt.Errorf("notify.mail.from: %+q is no plain address such as keys@example.org", m.From))
		}
	}
	return errors.Join(list...)
}
