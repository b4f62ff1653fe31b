package plain_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/internal/plain"
)

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"me@host":               "me@host",
		`"-rf"`:                 `"-rf"`,
		`a\b`:                   `a\\b`,
		`\"`:                    `\\"`,
		"\x1b[2J\n\u202e\u009b": `\x1b[2J\n\u202e\u009b`,
		"\xff\x00":              `\xff\x00`,
		"é":                     `\u00e9`,
	} {
		if got := plain.Text(text); got != want {
			t.Errorf("Text(%q) = %s, want %s", text, got, want)
		}
	}
	if got := plain.Cut("abcdef", 3) + " " + plain.Cut("abc", 3); got != "abc... abc" {
		t.Errorf("Cut: %s", got)
	}
}

// The text is printable ASCII, and says what it was made from.
func TestTextProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`["\\a\n]*`)).Draw(t, "text")
		got := plain.Text(text)
		for _, r := range got {
			if r < ' ' || r > '~' {
				t.Fatalf("%q holds %q", got, r)
			}
		}
		back, err := strconv.Unquote(`"` + requote(got) + `"`)
		if err != nil || back != text {
			t.Fatalf("%q became %s, which says %q (%v)", text, got, back, err)
		}
	})
}

// requote puts the backslashes before quotation marks back that Text leaves out.
func requote(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '"' {
			out.WriteByte('\\')
		}
		out.WriteByte(text[i])
		if text[i] == '\\' {
			i++
			out.WriteByte(text[i])
		}
	}
	return out.String()
}

// The text stays the same JSON, and is printable ASCII.
func TestJSONProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "text") + "\u009b\u202e\U0001f511\x7f"
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got := plain.JSON(text)
		for _, c := range got {
			if c < ' ' || c > '~' {
				t.Fatalf("%q holds %q", got, c)
			}
		}
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != want {
			t.Fatalf("%q became %s, which says %q (%v)", want, got, back, err)
		}
	})
}
