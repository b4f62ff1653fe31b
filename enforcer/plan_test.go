package enforcer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// The keys A, B and D of the vectors.
const (
	lineA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnxoe+mmuhR7yxmTmqCw1YYMfdhbsay07eRJlF1T1ve"
	lineB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF/mOT2dE99uYPAVIKz6rTw6OyI7MT/39JTmbBdleO+P"
	lineD = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOaDP9pi5OsroJc7HP+0fTNkwQ+CXpzMeYr1L5itL7dD"
)

var alice = homes.Account{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}

// grants registers lines for alice, and something for another user, so that the registry is never empty.
func grants(tb testing.TB, lines ...string) *policy.Grants {
	tb.Helper()
	return excepting(tb, nil, lines...)
}

// excepting is grants with exceptions.
func excepting(tb testing.TB, exceptions []policy.Exception, lines ...string) *policy.Grants {
	tb.Helper()
	return judging(tb, policy.DefaultRules(), exceptions, lines...)
}

// rules force options, if they are not "", on a host with an OpenSSH of this major version; 0: it is not known.
func rules(forced string, sshd int) policy.Rules {
	r := policy.DefaultRules()
	if forced != "" {
		r.Options.Force = []policy.Force{{Options: forced}}
	}
	if sshd != 0 {
		r.Host.SSHD = authkeys.Version{Major: sshd, Minor: 7}
	}
	return r
}

// judging is excepting by other rules.
func judging(tb testing.TB, rules policy.Rules, exceptions []policy.Exception, lines ...string) *policy.Grants {
	tb.Helper()
	user := registry.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}
	other := registry.User{Name: "zoe"}
	for _, text := range append(lines, lineD) {
		line, err := authkeys.ParseValue([]byte(text))
		if err != nil {
			tb.Fatalf("%q: %v", text, err)
		}
		record := registry.Record{Key: line.Key, Options: line.Options, Label: line.Comment}
		if len(user.Records) < len(lines) {
			user.Records = append(user.Records, record)
		} else {
			other.Records = append(other.Records, record)
		}
	}
	snapshot, err := registry.New([]registry.User{user, other}, "test")
	if err != nil {
		tb.Fatal(err)
	}
	p, err := policy.Compile(rules)
	if err != nil {
		tb.Fatal(err)
	}
	return p.Evaluate(snapshot, time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), exceptions...)
}

func regular(text string) homes.File {
	return homes.File{State: homes.Regular, Data: []byte(text), Tidy: true}
}

// reasons tells what a plan does to each line, in the lines' order.
func reasons(p enforcer.Plan) []string {
	var list []string
	n := len(p.Keep) + len(p.Rewrite) + len(p.Remove)
	for i := 1; i <= n; i++ {
		for sign, part := range map[string][]enforcer.Decision{"=": p.Keep, "~": p.Rewrite, "-": p.Remove} {
			for _, d := range part {
				if d.Line.N == i {
					list = append(list, sign+string(d.Reason))
				}
			}
		}
	}
	return list
}

func TestPlanOfLines(t *testing.T) {
	for name, c := range map[string]struct {
		registered []string
		file       string
		after      string
		reasons    string
	}{
		"empty":            {[]string{lineA}, "", "", ""},
		"right":            {[]string{lineA}, "# mine\n\n" + lineA + " me@host\n", "# mine\n\n" + lineA + " me@host\n", "=granted =granted =granted"},
		"unknown goes":     {[]string{lineA}, lineB + "\n" + lineA + "\n", lineA + "\n", "-unregistered =granted"},
		"nothing granted":  {nil, "# x\n" + lineA + "\n", "# x\n", "=granted -unregistered"},
		"no end of line":   {[]string{lineA}, lineA, lineA + "\n", "~form"},
		"CRLF":             {[]string{lineA}, "# c\r\n" + lineA + "\r\n", "# c\n" + lineA + "\n", "~form ~form"},
		"blanks":           {[]string{lineA}, "  \n\t" + strings.Replace(lineA, " ", "\t ", 1) + "  me \n", "\n" + lineA + " me\n", "~form ~form"},
		"vertical tab":     {[]string{lineA}, strings.Replace(lineA, "NzaC1", "Nz\vaC1", 1) + "\n", lineA + "\n", "~form"},
		"behind a NUL":     {[]string{lineA}, lineB + "\x00 " + lineA + "\n", "", "-unregistered"},
		"comment, escape":  {[]string{lineA}, "# \x1b[2J\n" + lineA + " \x1b[2Jme\n", lineA + " [2Jme\n", "-not-plain-text ~form"},
		"malformed":        {[]string{lineA}, "ssh-ed25519 AAAA\n" + lineA + "\n", lineA + "\n", "-malformed-key =granted"},
		"authority":        {[]string{lineA}, "cert-authority " + lineA + "\n", "", "-cert-authority"},
		"both":             {[]string{lineA}, "cert-authority " + lineA + "\n" + lineA + "\n", lineA + "\n", "-cert-authority =granted"},
		"duplicate":        {[]string{lineA}, lineA + " one\n" + lineA + " two\n", lineA + " one\n", "=granted -duplicate"},
		"own narrowing":    {[]string{lineA}, "from=\"10.0.0.0/8\",no-pty " + lineA + "\n" + lineA + "\n", "from=\"10.0.0.0/8\",no-pty " + lineA + "\n" + lineA + "\n", "=granted =granted"},
		"own widening":     {[]string{lineA}, "environment=\"LD_PRELOAD=/tmp/x\",no-pty " + lineA + "\n", "no-pty " + lineA + "\n", "~options"},
		"tunnel alone":     {[]string{lineA}, "tunnel=\"0\" " + lineA + "\n", lineA + "\n", "~options"},
		"demanded":         {[]string{"restrict " + lineA}, lineA + " me\n", "restrict " + lineA + " me\n", "~options"},
		"demanded, there":  {[]string{"restrict " + lineA}, "restrict " + lineA + " me\n", "restrict " + lineA + " me\n", "=granted"},
		"demanded, more":   {[]string{"restrict " + lineA}, "restrict,pty " + lineA + "\n" + lineA + "\n", "restrict " + lineA + "\n", "~options -duplicate"},
		"two sets":         {[]string{"restrict " + lineA + " r", `from="10.0.0.1" ` + lineA + " f"}, lineA + " me\n" + lineB + "\n", "restrict " + lineA + " me\nfrom=\"10.0.0.1\" " + lineA + " me\n", "~options -unregistered"},
		"two sets, there":  {[]string{"restrict " + lineA, `from="10.0.0.1" ` + lineA}, "restrict " + lineA + " x\nfrom=\"10.0.0.1\" " + lineA + " y\n", "restrict " + lineA + " x\nfrom=\"10.0.0.1\" " + lineA + " y\n", "=granted =granted"},
		"two sets, turned": {[]string{"restrict " + lineA, `from="10.0.0.1" ` + lineA}, "from=\"10.0.0.1\" " + lineA + " y\n# c\nrestrict " + lineA + " x\n", "restrict " + lineA + " x\nfrom=\"10.0.0.1\" " + lineA + " y\n# c\n", "=granted =granted =granted"},
		"two sets, CRLF":   {[]string{"restrict " + lineA, lineA}, "restrict " + lineA + "\r\n" + lineA + "\r\n", "restrict " + lineA + "\n" + lineA + "\n", "~form -duplicate"},
	} {
		t.Run(name, func(t *testing.T) {
			in := enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: regular(c.file), Grants: grants(t, c.registered...)}
			p := enforcer.MakePlan(in)
			if diff := cmp.Diff(c.after, string(p.After)); diff != "" {
				t.Error(diff)
			}
			if got := strings.Join(reasons(p), " "); got != c.reasons {
				t.Errorf("reasons %s, want %s", got, c.reasons)
			}
			if p.Change != (c.after != c.file) {
				t.Errorf("Change = %v", p.Change)
			}
			in.File = regular(string(p.After))
			if again := enforcer.MakePlan(in); again.Change {
				t.Errorf("the plan of the planned file has a change: %s", again.Summary())
			}
		})
	}
}

func TestPlanInstalls(t *testing.T) {
	g := grants(t, lineA+" a", "restrict "+lineB+" b")
	missing := homes.File{State: homes.Missing}
	for name, c := range map[string]struct {
		file    homes.File
		install bool
		after   string
		change  bool
		add     int
	}{
		"missing, present": {missing, false, "", false, 0},
		"missing, all":     {missing, true, lineA + " a\nrestrict " + lineB + " b\n", true, 2},
		"dangling, all":    {homes.File{State: homes.Missing, Detail: "a dangling link"}, true, "", false, 0},
		"one there":        {regular(lineA + " x\n"), true, lineA + " x\nrestrict " + lineB + " b\n", true, 1},
		"all there":        {regular("restrict " + lineB + "\n" + lineA + "\n"), true, "restrict " + lineB + "\n" + lineA + "\n", false, 0},
		"as authority":     {regular("cert-authority " + lineA + "\nrestrict " + lineB + "\n"), true, "restrict " + lineB + "\n" + lineA + " a\n", true, 1},
		"fifo, present":    {homes.File{State: homes.Irregular, Detail: "a FIFO"}, false, "", false, 0},
		"fifo, all":        {homes.File{State: homes.Irregular, Detail: "a FIFO"}, true, lineA + " a\nrestrict " + lineB + " b\n", true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: c.file, Grants: g, Install: c.install})
			if diff := cmp.Diff(c.after, string(p.After)); diff != "" || p.Change != c.change || len(p.Add) != c.add {
				t.Errorf("change %v, %d added: %s", p.Change, len(p.Add), diff)
			}
		})
	}
}

// What cannot be read must let nobody in and lock nobody out.
func TestPlanOfWhatCannotBeRead(t *testing.T) {
	g := grants(t, lineA)
	for state, reason := range map[homes.State]policy.Reason{
		homes.Symlink: enforcer.ReasonSymlink, homes.Oversize: enforcer.ReasonOversize,
		homes.Unreadable: enforcer.ReasonUnreadable, homes.BadDir: enforcer.ReasonBadDir,
	} {
		for i, name := range enforcer.FileNames() {
			t.Run(state.String()+" "+name, func(t *testing.T) {
				p := enforcer.MakePlan(enforcer.Input{Account: alice, Name: name, File: homes.File{State: state, Data: []byte(lineB)}, Grants: g, Second: i == 1})
				if state == homes.BadDir && i == 1 {
					if p.Change {
						t.Error("the directory is put right by the first file's plan")
					}
					return
				}
				if !p.Change || string(p.After) != lineA+"\n" || p.Whole.Reason != reason {
					t.Errorf("change %v to %q because of %s", p.Change, p.After, p.Whole.Reason)
				}
			})
		}
	}
	oversize := homes.File{State: homes.Oversize, Data: []byte(lineB + "\ncommand=\"x\" " + lineA + "\nssh-ed2")}
	kept := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: oversize, Grants: grants(t, lineA, lineD)})
	if string(kept.After) != "command=\"x\" "+lineA+"\n"+lineD+"\n" || len(kept.Remove) != 1 || len(kept.Add) != 1 {
		t.Errorf("of what could be read the narrowing options stay, and the unknown key is told: %q, %v", kept.After, reasons(kept))
	}
	many := regular(strings.Repeat("\n", 5000) + lineB + "\n")
	if p := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: many, Grants: g}); string(p.After) != lineA+"\n" || p.Whole.Reason != enforcer.ReasonOversize {
		t.Errorf("5,000 lines: %v to %q", p.Whole, p.After)
	}
	p := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: homes.File{State: homes.Irregular, Detail: "a FIFO"}, Grants: g})
	if p.Change || p.Unresolved != "a FIFO" {
		t.Errorf("sshd reads nothing from a FIFO, so it stays and is reported: %+v", p)
	}
}

func TestPlanOfAnUntidyFile(t *testing.T) {
	file := regular(lineA + "\n")
	file.Tidy, file.Detail = false, "mode 0666"
	p := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: file, Grants: grants(t, lineA)})
	if !p.Change || string(p.After) != lineA+"\n" || p.Whole.Reason != enforcer.ReasonUntidy {
		t.Errorf("change %v to %q because of %v", p.Change, p.After, p.Whole)
	}
}

// A file that grows over the bound by what is added would be refused at the next look, and written again, for ever.
func TestPlanStaysReadable(t *testing.T) {
	g := grants(t, lineA, lineB)
	file := regular(lineA + "\n" + strings.Repeat("# "+strings.Repeat("x", 997)+"\n", (homes.MaxSize-len(lineA)-1)/1000))
	file.Data = append(file.Data, strings.Repeat("\n", homes.MaxSize-len(file.Data))...)
	in := enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: file, Grants: g, Install: true}
	p := enforcer.MakePlan(in)
	if len(p.After) > homes.MaxSize || string(p.After) != lineA+"\n"+lineB+"\n" {
		t.Errorf("%d bytes are planned, beginning %.200q", len(p.After), p.After)
	}

	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf(`command="%d%s" %s`, i, strings.Repeat("x", 300), lineA))
	}
	in.Grants, in.File = grants(t, many...), homes.File{State: homes.Missing}
	if p := enforcer.MakePlan(in); !p.Change || len(p.After) > homes.MaxSize || !strings.Contains(p.Whole.Detail, "of the user's 1000 granted keys only") {
		t.Errorf("grants that fit into no file: change %v, %d bytes, %q", p.Change, len(p.After), p.Whole.Detail)
	}
}

// What cannot be changed is not planned, but shown: nobody is to believe that the keys are not there.
func TestPlanOfWhatIsBarred(t *testing.T) {
	in := enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: regular(lineB + "\n" + lineA + "\n"), Grants: grants(t, lineA)}
	in.File.Barred = homes.Immutable
	p := enforcer.MakePlan(in)
	if p.Change || !p.Pressing() || len(p.Remove) != 1 || len(p.Keep) != 1 || !strings.Contains(p.Unresolved, "immutable") {
		t.Errorf("change %v, %q: %d removed, %d kept", p.Change, p.Unresolved, len(p.Remove), len(p.Keep))
	}
	in.File = regular(lineA + "\n")
	in.File.Barred = homes.ReadOnly
	if p := enforcer.MakePlan(in); p.Change || p.Unresolved != "" || p.Pressing() {
		t.Errorf("nothing is to be changed: %v %q", p.Change, p.Unresolved)
	}
	in.File = homes.File{State: homes.Irregular, Detail: "a FIFO", Barred: homes.Immutable}
	if p := enforcer.MakePlan(in); p.Unresolved != "a FIFO" || p.Pressing() {
		t.Errorf("nobody gets in by a FIFO: %q", p.Unresolved)
	}
	in.Install = true
	if p := enforcer.MakePlan(in); p.Change || !p.Pressing() {
		t.Errorf("the granted keys cannot be installed: %q", p.Unresolved)
	}
}
