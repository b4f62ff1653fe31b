package enforcer_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

const vectors = "../authkeys/testdata/vectors"

// pieces are what files are put together from: keys registered and not, in every dress that sshd takes.
func pieces() []string {
	return []string{
		"", "#", "# a comment", " \t", "\r", "# \x1b[0m", "hello", "\x00", "ssh-ed25519 AAAA",
		lineA, lineB, lineD, lineA + " me", lineB + " you", lineA + "\x00" + lineB, lineA + "\r", " " + lineA, strings.Replace(lineA, " ", "\t", 1),
		"restrict " + lineA, "restrict,pty " + lineA, `from="10.0.0.1" ` + lineA, `environment="A=b" ` + lineA, "cert-authority " + lineA,
		"restrict " + lineB, `command="ls \"x\"" ` + lineB, "no-touch-required " + lineB, "PTY,,restrict, " + lineB, "nonsense " + lineA,
		strings.Replace(lineA, "NzaC1", "Nz\vaC1", 1), "\ufeff" + lineA, lineA + " \u202e\u00e9t\u00e9", strings.ToUpper(lineA),
	}
}

// checkLaws holds a plan to what may never fail, whatever the file is.
func checkLaws(t interface {
	Helper()
	Fatalf(string, ...any)
}, in enforcer.Input,
) {
	t.Helper()
	p := enforcer.MakePlan(in)
	if !bytes.Equal(enforcer.MakePlan(in).After, p.After) {
		t.Fatalf("equal inputs gave different bytes")
	}
	granted, registered := make(map[authkeys.Key][]policy.Grant), make(map[authkeys.Key]bool)
	for _, g := range in.Grants.For(in.Account.Name) {
		granted[g.Key] = append(granted[g.Key], g)
		registered[g.Key] = registered[g.Key] || g.Held == "" && g.Withheld == ""
	}
	kept := onlyGranted(t, p.After, granted)
	for _, line := range authkeys.Parse(in.File.Data) {
		if line.Kind == authkeys.Entry && !line.Options.CertAuthority() && granted[line.Key] != nil && !kept[line.Key] {
			t.Fatalf("the granted key of line %q is lost", line.Raw)
		}
	}
	for key, is := range registered {
		if in.Install && is && !kept[key] {
			t.Fatalf("the granted key %v is not in the file", key)
		}
		if !is && kept[key] && !slices.ContainsFunc(authkeys.Parse(in.File.Data), func(l authkeys.Line) bool { return l.Key == key }) {
			t.Fatalf("the held key %v comes from nowhere", key)
		}
	}
	if n := len(p.Keep) + len(p.Rewrite) + len(p.Remove); n != len(authkeys.Parse(in.File.Data)) {
		t.Fatalf("%d lines have a reason", n)
	}
	for _, d := range slices.Concat(p.Keep, p.Rewrite, p.Remove) {
		if d.Reason == "" {
			t.Fatalf("line %q has no reason", d.Line.Raw)
		}
	}
	in.File = regular(string(p.After))
	if again := enforcer.MakePlan(in); again.Change {
		t.Fatalf("the plan of the plan is not empty: %q becomes %q", p.After, again.After)
	}
}

// onlyGranted reads a planned file with a parser that is not ours and finds nothing but granted keys in it, each with
// no more rights than its grant.
func onlyGranted(t interface {
	Helper()
	Fatalf(string, ...any)
}, after []byte, granted map[authkeys.Key][]policy.Grant,
) map[authkeys.Key]bool {
	t.Helper()
	kept := make(map[authkeys.Key]bool)
	for text := range strings.Lines(string(after)) {
		body, found := strings.CutSuffix(text, "\n")
		if !found || strings.ContainsAny(body, "\x00\r\v\f") {
			t.Fatalf("line %q is not plain", text)
		}
		if text := strings.TrimLeft(body, " \t"); text == "" || text[0] == '#' {
			continue
		}
		public, _, options, _, err := ssh.ParseAuthorizedKey([]byte(text))
		if err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		key, err := authkeys.ParseBlob(public.Marshal())
		if err != nil || granted[key] == nil {
			t.Fatalf("line %q has a key that is not granted (%v)", text, err)
		}
		kept[key] = true
		joined := strings.Join(options, ",")
		bound := len(granted[key]) > 1 || !granted[key][0].Free
		if bound && !slices.ContainsFunc(granted[key], func(g policy.Grant) bool { return g.Options.String() == joined }) {
			t.Fatalf("line %q has other options than those demanded, %v", text, granted[key])
		}
		if !bound {
			forced(t, text, options, granted[key][0].Options)
		}
		for _, word := range []string{"cert-authority", "principals", "environment", "tunnel", "no-touch-required", "no-verify-required"} {
			if !bound && strings.Contains(joined, word) {
				t.Fatalf("line %q has an option that widens", text)
			}
		}
	}
	return kept
}

// forced holds a line of a user's own to what is forced: each switch stands in it, with nothing behind that undoes it.
func forced(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string, has []string, demand authkeys.Options,
) {
	t.Helper()
	from := 0
	if at := slices.Index(has, "restrict"); demand.Has("restrict") {
		if from = at; at < 0 {
			t.Fatalf("line %q lacks the forced restrict", text)
		}
	}
	for _, option := range has[from:] {
		name, _, _ := strings.Cut(option, "=")
		if authkeys.Widening(name) && demand.Has("restrict") && !demand.Has(name) {
			t.Fatalf("line %q undoes the forced restrict by %s", text, name)
		}
	}
	for _, name := range []string{"from", "command", "expiry-time", "no-agent-forwarding"} {
		if demand.Has(name) && !slices.ContainsFunc(has, func(o string) bool { return o == name || strings.HasPrefix(o, name+"=") }) {
			t.Fatalf("line %q lacks the forced %s", text, name)
		}
	}
}

// demands are options that a centre may force.
func demands() []string {
	return []string{"", "restrict", "restrict,pty", "no-agent-forwarding", `from="10.0.0.0/8"`, `restrict,from="10.0.0.1"`, `command="gate"`, `expiry-time="20990101"`}
}

func TestLaws(t *testing.T) {
	registered := []string{"verify-required " + lineB, lineA, lineA + " label", "restrict " + lineA, `from="10.0.0.1" ` + lineA, lineB, "no-pty " + lineB}
	rapid.Check(t, func(rt *rapid.T) {
		by := rules(rapid.SampledFrom(demands()).Draw(rt, "forced"), rapid.SampledFrom([]int{0, 7, 10}).Draw(rt, "sshd"))
		by.Options.Lift = rapid.SampledFrom([][]string{nil, {"restrict", `from="10.0.0.1"`}}).Draw(rt, "lifted")
		lines := rapid.SliceOfN(rapid.SampledFrom(pieces()), 0, 12).Draw(rt, "lines")
		text := strings.Join(lines, "\n") + rapid.SampledFrom([]string{"", "\n", "\r\n"}).Draw(rt, "end")
		reg := rapid.SliceOfNDistinct(rapid.SampledFrom(registered), 0, 4, func(s string) string { return s }).Draw(rt, "registered")
		var except []policy.Exception
		for _, line := range rapid.SliceOfN(rapid.SampledFrom(registered), 0, 3).Draw(rt, "exceptions") {
			except = append(except, exception(t, rapid.SampledFrom([]string{"alice", "zoe"}).Draw(rt, "whose"), line))
		}
		var former []policy.Former
		for _, line := range rapid.SliceOfN(rapid.SampledFrom(registered), 0, 3).Draw(rt, "former") {
			f := authkeys.Parse([]byte(line))[0]
			former = append(former, policy.Former{
				User: "alice", Grant: policy.Grant{Key: f.Key, Options: f.Options, Held: rapid.SampledFrom([]string{"", "held"}).Draw(rt, "held")},
			})
		}
		checkLaws(rt, enforcer.Input{
			Account: alice, Name: rapid.SampledFrom(enforcer.FileNames()).Draw(rt, "name"), File: regular(text),
			Grants: judging(t, by, except, reg...).WithFormer(former), Install: rapid.Bool().Draw(rt, "install"),
		})
	})
}

func FuzzMakePlan(f *testing.F) {
	for _, piece := range pieces() {
		f.Add([]byte(piece+"\n"), uint8(0))
	}
	f.Add([]byte(strings.Join(pieces(), "\n")), uint8(7))
	sets := [][]string{nil, {lineA}, {"restrict " + lineA, lineB}, {"restrict " + lineA, `from="10.0.0.1" ` + lineA}}
	f.Fuzz(func(t *testing.T, data []byte, choice uint8) {
		if len(data) > 8192 {
			return // longer files hold nothing new
		}
		checkLaws(t, enforcer.Input{
			Account: alice, Name: ".ssh/authorized_keys", File: regular(string(data)),
			Grants: judging(t, rules(demands()[int(choice>>3)%len(demands())], 0), nil, sets[int(choice)%len(sets)]...), Install: choice&4 != 0,
		})
	})
}

// For every file of the vectors: whatever a real sshd would accept of it as an unregistered key is not in the planned file.
// The registered key is A.
func TestVectors(t *testing.T) {
	var manifest struct {
		Vectors []struct {
			File string `json:"file"`
			Name string `json:"name"`
		} `json:"vectors"`
	}
	data, err := os.ReadFile(filepath.Join(vectors, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(data, &manifest)
	}
	if err != nil || len(manifest.Vectors) < 285 {
		t.Fatalf("%d vectors, %v", len(manifest.Vectors), err)
	}
	for _, v := range manifest.Vectors {
		text, err := os.ReadFile(filepath.Join(vectors, v.File))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(v.File, func(t *testing.T) {
			for _, install := range []bool{false, true} {
				checkLaws(t, enforcer.Input{
					Account: alice, Name: ".ssh/authorized_keys", File: homes.File{State: homes.Regular, Data: text, Tidy: true},
					Grants: grants(t, lineA), Install: install,
				})
			}
		})
	}
}
