package pasted_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/pasted"
)

var ascii = regexp.MustCompile(`^[ -~]*$`)

// check holds what is promised of every diagnosis.
func check(t *testing.T, d pasted.Diagnosis) {
	t.Helper()
	if !d.Options.IsZero() && d.Code != pasted.Options {
		t.Errorf("%s: there are options", d.Code)
	}
	if d.Code == "" || d.Says == "" || !ascii.MatchString(d.Says) || strings.ContainsAny(d.Says, "{}") {
		t.Errorf("says %q for %q", d.Says, d.Code)
	}
	if !d.HasKey() {
		if !d.Line.Key.IsZero() {
			t.Errorf("%s: a key without a line", d.Code)
		}
		return
	}
	line := string(d.Line.AppendTo(nil))
	if !ascii.MatchString(strings.TrimSuffix(line, "\n")) {
		t.Errorf("%s: the line %q", d.Code, line)
	}
	again, err := authkeys.ParseValue([]byte(line))
	if err != nil || again.Key != d.Line.Key || !again.Options.IsZero() {
		t.Errorf("%s: the line %q is read as %v, %v", d.Code, line, again, err)
	}
	if next := pasted.Examine([]byte(line)); next.Code != pasted.Good || next.Line.Key != d.Line.Key {
		t.Errorf("%s: what was mended is %s", d.Code, next.Code)
	}
}

func TestExamine(t *testing.T) {
	all := keys(t)
	for _, s := range append(formed(t), refused(t)...) {
		t.Run(s.name, func(t *testing.T) {
			d := pasted.Examine([]byte(s.text))
			if d.Code != s.code {
				t.Errorf("it is %q, want %q", d.Code, s.code)
			}
			var want string
			if s.key != "" {
				want = all[s.key]
			}
			if got := d.Line.Key.String(); got != want {
				t.Errorf("the key is\n%s, want\n%s", got, want)
			}
			check(t, d)
		})
	}
}

// A cut key says how much is missing, where that is certain.
func TestCutSaysHowMuch(t *testing.T) {
	a := keys(t)["A"]
	for n, want := range map[int]string{1: "1 character is missing", 9: "9 characters are missing"} {
		if d := pasted.Examine([]byte(a[:len(a)-n])); !strings.Contains(d.Says, want) {
			t.Errorf("%d: %s", n, d.Says)
		}
	}
	if d := pasted.Examine([]byte(a[:len(a)-9] + " ann@x")); strings.Contains(d.Says, "character is") || !strings.Contains(d.Says, "some characters are") {
		t.Error(d.Says)
	}
}

// A comment is not taken for the end of a key that was cut, although its letters are those of base64 and as many as are missing.
func TestCommentIsNotTheEnd(t *testing.T) {
	for name, line := range keys(t) {
		for n := 13; n < 30; n++ { // a long word behind a short one
			comment := "my " + strings.Repeat("annmiller", 4)[:n-2]
			if d := pasted.Examine([]byte(line[:len(line)-n] + " " + comment)); d.HasKey() && d.Code != pasted.Certificate {
				t.Errorf("%s: %d missing, %q: %s", name, n, comment, d.Code)
			}
		}
		for n := 1; n < 10; n++ {
			for _, comment := range []string{"annmiller"[:n], "annmiller"[:n-1], "annmiller"[:n-1] + " b", "annmiller"[:n] + "@laptop"} {
				if d := pasted.Examine([]byte(line[:len(line)-n] + " " + comment)); d.HasKey() && d.Line.Key.String() != line && d.Code != pasted.Certificate {
					t.Errorf("%s: %d missing, %q: %s", name, n, comment, d.Code)
				}
			}
		}
	}
}

// One wrong character of an ed25519 key is noticed for every second one: the other half are keys of nobody. In an ECDSA key all are.
func TestOneWrongCharacter(t *testing.T) {
	all := keys(t)
	for name, least := range map[string]int{"A": 35, "E256": 100} {
		line := all[name]
		noticed, tried := 0, 0
		for i := len(line) - 42; i < len(line)-2; i++ {
			changed := []byte(line)
			if changed[i] = 'x'; line[i] == 'x' {
				changed[i] = 'y'
			}
			tried++
			if d := pasted.Examine(changed); d.Code == pasted.Damaged {
				noticed++
			} else if d.Code != pasted.Good {
				t.Errorf("%s: %s", changed, d.Code)
			}
		}
		if noticed*100 < least*tried {
			t.Errorf("%s: %d of %d", name, noticed, tried)
		}
	}
}

func ExampleExamine() {
	d := pasted.Examine([]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICg5Od9aRQ5t\nsgWAhEqcJnHPHy+MCJwRsXhVCEqhPuGD user@localhost"))
	fmt.Println(d.Code)
	fmt.Print(string(d.Line.AppendTo(nil)))
	// Output:
	// wrapped
	// ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICg5Od9aRQ5tsgWAhEqcJnHPHy+MCJwRsXhVCEqhPuGD user@localhost
}
