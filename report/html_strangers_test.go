package report_test

import (
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/report"
)

// lineShort is an RSA key of 1024 bits, which the default policy refuses.
const lineShort = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDJgcv/x+wsZKjdEMP9Jq515jCnb8/Gdliezry5k7QDsSvkuRaaxMT3IihQ5ALVrJRSEpTi23msKzk6slLWHwSFSe2ueEWJP5m0/evZRBZ4473YH/RLj1MCBAJWjHnbD9cPnVNdhVhW1xG4echme96Cd1vbR+0RGokhs80JTcseYQ=="

// A key that nobody has registered is one whatever else is wrong with it or with its line, and what nobody has seen is not said to hold none.
func TestHTMLCountsEveryStranger(t *testing.T) {
	grants := grantsFor(t, "alice")
	long := `environment="A=` + strings.Repeat("x", 5000) + `" `
	refused := report.Denied{User: "alice", Denial: policy.Denial{Key: key(t, lineShort), Verdict: policy.Verdict{Reason: policy.ReasonRSAShort}}}
	for name, c := range map[string]struct {
		file   homes.File
		denied []report.Denied
		want   string
	}{
		"unregistered":            {regular(lineB + "\n"), nil, "1 unregistered keys log in today in the files of 1 people"},
		"and short":               {regular(lineShort + "\n"), nil, "1 unregistered keys"},
		"and an authority":        {regular("cert-authority " + lineB + "\n"), nil, "1 unregistered keys"},
		"his own as an authority": {regular("cert-authority " + lineA + "\n"), nil, "1 unregistered keys"},
		"behind long options":     {regular(long + lineB + "\n"), nil, "1 unregistered keys"},
		"behind odd options":      {regular("environment=\"A=\x01\" " + lineB + "\n"), nil, "1 unregistered keys"},
		"behind bad options":      {regular("nonsense " + lineB + "\n"), nil, "0 unregistered keys"}, // sshd takes no such line
		"registered, and refused": {regular(lineShort + "\n"), []report.Denied{refused}, "0 unregistered keys"},
		"twice":                   {regular(lineA + "\n" + lineA + "\n"), nil, "0 unregistered keys log in today in the files of 0 people 0"},
		"behind a link":           {homes.File{State: homes.Symlink, Data: []byte(lineB + "\n")}, nil, "1 unregistered keys log in today in the files of 1 people 0"},
		"behind a link, not seen": {homes.File{State: homes.Symlink}, nil, "in the files of 0 people; what else is in 1 files nobody has seen"},
		"too much":                {homes.File{State: homes.Oversize, Data: []byte("# x\n")}, nil, "what else is in 1 files nobody has seen"},
		"too many lines":          {regular(strings.Repeat("#\n", 5000) + lineB + "\n"), nil, "what else is in 1 files nobody has seen"},
	} {
		r := report.Report{Results: []enforcer.Result{result(planOf(grants, "alice", first, c.file))}, Denied: c.denied}
		page := printHTML(t, r)
		cards := words(between(t, page, `<ul class="cards">`, "</ul>"))
		if !strings.Contains(cards, c.want) {
			t.Errorf("%s: %q is not in %s", name, c.want, cards)
		}
		if good := strings.Contains(between(t, page, `<ul class="cards">`, "</ul>"), `<li class="good"><a href="#findings">`); good != strings.HasPrefix(c.want, "0 ") {
			t.Errorf("%s: the card is good: %v", name, good)
		}
	}
}

// Who has his only key behind what is not read loses access by it.
func TestLockoutOfWhatIsNotSeen(t *testing.T) {
	grants := grantsFor(t, "alice")
	for name, c := range map[string]struct {
		file homes.File
		want int
	}{
		"long options":   {regular(`environment="A=` + strings.Repeat("x", 5000) + `" ` + lineB + "\n"), 1},
		"bad options":    {regular("nonsense " + lineB + "\n"), 0},
		"a large file":   {homes.File{State: homes.Oversize, Data: []byte("# x\n")}, 1},
		"many lines":     {regular(strings.Repeat("#\n", 5000) + lineB + "\n"), 1},
		"a link to none": {homes.File{State: homes.Symlink}, 0},
	} {
		d := report.Report{Results: []enforcer.Result{result(planOf(grants, "bob", first, c.file))}}.Digest()
		if len(d.Lockouts) != c.want {
			t.Errorf("%s: %+v", name, d.Lockouts)
		}
	}
}
