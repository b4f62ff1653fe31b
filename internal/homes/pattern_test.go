package homes

import (
	"math/rand/v2"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// The cases are those of openbsd-compat/glob.c with no flags.
func TestPattern(t *testing.T) {
	for pattern, c := range map[string]struct{ yes, no, name string }{
		`keys*`:        {"keys keys2 keys.d keys~ keys*", "key xkeys .keys", "keys"},
		`*`:            {"a a.b authorized_keys", ".a .", "authorized_keys"},
		`*.pub`:        {"a.pub a.b.pub .x.pub:no", "pub apub .pub", "authorized_keys.pub"},
		`?`:            {"a *", "ab .", "a"},
		`a**b*c`:       {"abc axbxc abbcc", "ab acb", "abc"},
		`k[abc]`:       {"ka kc", "kd k ka1", "ka"},
		`k[!abc]`:      {"kd k^ k!", "ka", "kd"},
		`k[^a]`:        {"ka k^", "kb", "ka"},
		`k[a-c-]`:      {"kb k-", "kd", "ka"},
		`k[]a]`:        {"k] ka", "k k]a", "ka"},
		`k[!]a]`:       {"kb", "k] ka", "kb"},
		`k[]-a]`:       {"k] k^ k_ k` ka", "k- kb", "ka"},
		`k[\]a]`:       {"k] ka", `k\`, "ka"},
		`k[c-a]*[z]`:   {"", "kbz kz", ""},
		`k\*`:          {"k*", `kk k\k`, "k*"},
		`k\`:           {`k\`, "k", `k\`},
		`k[`:           {"k[", "k", "k["},
		`k[]`:          {"k[]", "k", "k[]"},
		`k[!`:          {"k[!", "k", "k[!"},
		`k]`:           {"k]", "k", "k]"},
		`\.k`:          {".k", "k", ".k"},
		`[.k]x`:        {"kx", ".x", "kx"},
		`[!k]x`:        {"ax", ".x kx", "ax"},
		"k\u00e9?":     {"k\u00e9a", "k\u00e9", "-"},
		`a{b,c}~`:      {"a{b,c}~", "ab~", "a{b,c}~"},
		`[[:alpha:]]`:  {"", "", "error"},
		`.*`:           {"", "", "error"},
		`.keyreeve-*`:  {"", "", "error"},
		`\.auth?`:      {"", "", "error"},
		`[\*\[]`:       {"", "", "error"},
		`[.]`:          {"", "", "error"},
		`authorized_*`: {"authorized_keys2 authorized_keys.d", ".authorized_keys.keyreeve-full", "authorized_"},
	} {
		p, err := ParsePattern(pattern)
		if err != nil || c.name == "error" || c.name == "" {
			if (err != nil) != (c.name == "error" || c.name == "") {
				t.Errorf("%s: %v", pattern, err)
			}
			continue
		}
		for name := range strings.FieldsSeq(c.yes) {
			if name, no := strings.CutSuffix(name, ":no"); p.Match(name) == no {
				t.Errorf("%s: %q: %v", pattern, name, no)
			}
		}
		for name := range strings.FieldsSeq(c.no) {
			if p.Match(name) {
				t.Errorf("%s matches %q", pattern, name)
			}
		}
		if name := p.Name(); c.name != "-" && name != c.name {
			t.Errorf("%s: its name is %q, not %q", pattern, name, c.name)
		}
	}
}

// Where path.Match says the same as glob(3) it says what Match says, but for the dot.
func TestPatternIsThatOfGo(t *testing.T) {
	pick := func(alphabet string, n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(alphabet[rand.IntN(len(alphabet))])
		}
		return b.String()
	}
	for range 20000 {
		pattern, name := pick("ab*?.", 1+rand.IntN(6)), pick("ab.", 1+rand.IntN(7))
		p, err := ParsePattern(pattern)
		if err != nil {
			continue
		}
		want, err := path.Match(pattern, name)
		if err != nil {
			t.Fatal(err)
		}
		if name[0] == '.' && pattern[0] != '.' {
			want = false
		}
		if p.Match(name) != want {
			t.Errorf("%q, %q: want %v", pattern, name, want)
		}
	}
}

// So does the shell, POSIX's "[!" and the end of a set included.
func TestPatternIsThatOfTheShell(t *testing.T) {
	names := []string{"a", "b", "ab", "a-b", "a]b", "a[b", "a!b", "a^b", ".a", "abc", "a.c", "a*b"}
	for _, pattern := range []string{"*", "a*", "?b", "a[]-]b", "a[!]]b", "a[!a-z]b", "[ab]", `a\*b`, "a?[bc]", "*b*", "a[-x]b", "?a", "[!x]a"} {
		p, err := ParsePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		touch := exec.CommandContext(t.Context(), "touch", append([]string{"--"}, names...)...)
		touch.Dir = dir
		if out, err := touch.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		shell := exec.CommandContext(t.Context(), "sh", "-c", "for f in "+pattern+`; do [ -e "$f" ] && echo "$f"; done; true`)
		shell.Dir, shell.Env = dir, []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
		out, err := shell.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if want := strings.Contains("\n"+string(out), "\n"+name+"\n"); p.Match(name) != want {
				t.Errorf("%s, %s: want %v", pattern, name, want)
			}
		}
	}
}
