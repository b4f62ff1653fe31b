package pasted_test

import (
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/pasted"
)

// Whatever the text: what is called good is a line as it stands, which sshd's grammar reads as the same key; what is given back is good; and a
// private key gets nothing back.
func FuzzExamine(f *testing.F) {
	for _, s := range append(formed(f), refused(f)...) {
		if len(s.text) < 2048 {
			f.Add([]byte(s.text))
		}
	}
	for name, private := range privateKeys(f) {
		if !strings.HasPrefix(name, "RSA") {
			f.Add([]byte(private))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := pasted.Examine(text)
		check(t, d)
		if pasted.Private(text) && len(text) <= pasted.MaxSize && d.Code != pasted.PrivateKey && d.Code != pasted.PuTTY {
			t.Errorf("a private key is told as %s", d.Code)
		}
		if d.Code != pasted.Good {
			return
		}
		var entries []authkeys.Line
		for _, line := range authkeys.Parse(text) {
			switch line.Kind {
			case authkeys.Entry:
				entries = append(entries, line)
			case authkeys.Comment, authkeys.Malformed:
				if strings.Trim(line.Raw, " \t\r") != "" {
					t.Errorf("good, with the line %q", line.Raw)
				}
			case authkeys.Blank:
			}
		}
		if len(entries) != 1 || entries[0].Key != d.Line.Key || !entries[0].Options.IsZero() {
			t.Errorf("good, and sshd reads %v", entries)
		}
	})
}
