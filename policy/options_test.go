package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// withOptions are rules of one key type for a host with OpenSSH 9.2.
func withOptions(allow []string, force ...policy.Force) policy.Rules {
	rules := policy.DefaultRules()
	rules.Options = policy.OptionRules{Allow: allow, Force: force}
	rules.Host = policy.Host{Names: []string{"login1", "Login1.example.org"}, SSHD: authkeys.Version{Major: 9, Minor: 2}}
	return rules
}

func on(sshd authkeys.Version, rules policy.Rules) policy.Rules {
	rules.Host.SSHD = sshd
	return rules
}

// told is what a registry's record becomes: the options of each grant, with a mark where it is free or withheld, and the codes.
func told(g *policy.Grants, user string) string {
	var words []string
	for _, grant := range g.For(user) {
		word := grant.Options.String()
		if grant.Free {
			word += "+"
		}
		if grant.Withheld != "" {
			word += " withheld"
		}
		words = append(words, "["+word+"]")
	}
	for _, d := range g.Denied(user) {
		words = append(words, string(d.Reason))
	}
	for _, d := range g.Dropped(user) {
		words = append(words, string(d.Reason))
	}
	return strings.Join(words, " ")
}

func TestOptionsOfRecords(t *testing.T) {
	old := authkeys.Version{Major: 7, Minor: 4}
	everywhere := func(text string) policy.Force { return policy.Force{Options: text} }
	here := func(text string, hosts ...string) policy.Force { return policy.Force{Hosts: hosts, Options: text} }
	for name, c := range map[string]struct {
		rules policy.Rules
		own   string
		want  string
	}{
		"no rule, no option":              {withOptions(nil), ``, `[+]`},
		"no rule":                         {withOptions(nil), `restrict,environment="A=b"`, `[restrict,environment="A=b"]`},
		"allowed":                         {withOptions([]string{"RESTRICT", "pty"}), `restrict,pty`, `[restrict,pty]`},
		"not allowed, narrows":            {withOptions([]string{"restrict"}), `restrict,from="10.0.0.1"`, `option-not-allowed`},
		"none is allowed":                 {withOptions([]string{}), `no-pty`, `option-not-allowed`},
		"not allowed, widens":             {withOptions([]string{"restrict"}), `environment="A=b",restrict,pty,no-touch-required`, `[restrict] option-dropped option-dropped option-dropped`},
		"not allowed, alone":              {withOptions([]string{"restrict"}), `tunnel="0"`, `[+] option-dropped`},
		"forced":                          {withOptions(nil, everywhere("restrict,pty")), ``, `[restrict,pty+]`},
		"forced behind own":               {withOptions(nil, everywhere("restrict")), `pty,command="ls"`, `[command="ls",restrict]`},
		"forced needs no permission":      {withOptions([]string{}, everywhere("restrict")), ``, `[restrict+]`},
		"for this host":                   {withOptions(nil, here("restrict", "node*", "login?.example.org")), ``, `[restrict+]`},
		"for its short name":              {withOptions(nil, here("restrict", "LOGIN1")), ``, `[restrict+]`},
		"for other hosts":                 {withOptions(nil, here("restrict", "login2*")), ``, `[+]`},
		"several join":                    {withOptions(nil, everywhere("restrict"), here(`from="10.0.0.0/8"`, "login*")), `from="10.1.0.0/16"`, `[restrict,from="10.1.0.0/16"]`},
		"from that cannot be":             {withOptions(nil, everywhere(`from="10.0.0.0/8"`)), `from="192.0.2.1"`, `option-conflict`},
		"from by name":                    {withOptions(nil, everywhere(`from="10.0.0.0/8"`)), `from="*.example.org"`, `option-conflict`},
		"sshd knows it":                   {withOptions(nil), `expiry-time="20990101Z"`, `[expiry-time="20990101Z"]`},
		"sshd is too old":                 {on(old, withOptions(nil)), `expiry-time="20990101"`, `[expiry-time="20990101" withheld] option-unknown-to-sshd`},
		"too old for the zone":            {on(authkeys.Version{Major: 9}, withOptions(nil)), `expiry-time="20990101Z"`, `[expiry-time="20990101Z" withheld] option-unknown-to-sshd`},
		"of several lines one is too new": {on(old, withOptions(nil)), `verify-required ` + lineA + "\n" + `no-pty`, `[verify-required] [no-pty] option-unknown-to-sshd`},
		"old enough":                      {on(old, withOptions(nil, everywhere("restrict"))), `no-pty`, `[restrict]`},
		"not known how old":               {on(authkeys.Version{}, withOptions(nil)), `verify-required`, `[verify-required]`},
		"what is dropped is not asked":    {on(old, withOptions([]string{"from"})), `no-touch-required`, `[+] option-dropped`},
	} {
		t.Run(name, func(t *testing.T) {
			g := evaluate(t, c.rules, now, user(t, "alice", strings.Split(strings.TrimSpace(c.own+" "+lineA), "\n")...))
			if got := told(g, "alice"); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// What cannot be in force is an error of the configuration, for this host or any other.
func TestOptionRulesRefused(t *testing.T) {
	for want, rules := range map[string]policy.Rules{
		`policy.options.allow[1]: "form" is no option of authorized_keys`:            withOptions([]string{"from", "form"}),
		`policy.options.allow[0]: a line with cert-authority admits any key`:         withOptions([]string{"cert-authority"}),
		`policy.options.force[0]: environment cannot be forced`:                      withOptions(nil, policy.Force{Options: `environment="A=b"`}),
		`policy.options.force[0]: malformed-options: unknown option`:                 withOptions(nil, policy.Force{Options: `nonsense`}),
		`policy.options.lift[0]: tunnel cannot be forced`:                            {Keys: policy.DefaultRules().Keys, Options: policy.OptionRules{Lift: []string{`tunnel="0"`}}},
		`policy.options.force[0]: it has no options`:                                 withOptions(nil, policy.Force{Options: ``}),
		`policy.options.force[0]: the list of hosts is empty`:                        withOptions(nil, policy.Force{Hosts: []string{}, Options: "restrict"}),
		`policy.options.force[0]: the host "[" is no pattern`:                        withOptions(nil, policy.Force{Hosts: []string{"["}, Options: "restrict"}),
		`policy.options.force[0]: permitopen cannot be forced`:                       withOptions(nil, policy.Force{Hosts: []string{"elsewhere"}, Options: `permitopen="h:1"`}),
		`policy.options.force: for this host (login1, Login1.example.org): two comm`: withOptions(nil, policy.Force{Options: `command="a"`}, policy.Force{Hosts: []string{"login*"}, Options: `command="b"`}),
		`policy.options.force: this host's sshd would ignore every line: the option verify-required needs OpenSSH 8.4, and this host's is 7.4`: on(
			authkeys.Version{Major: 7, Minor: 4}, withOptions(nil, policy.Force{Options: "restrict,verify-required"})),
	} {
		_, err := policy.Compile(rules)
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, policy.ErrSSHD) != strings.Contains(want, "sshd would") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := policy.Compile(withOptions(nil, policy.Force{Hosts: []string{"a"}, Options: `command="a"`}, policy.Force{Hosts: []string{"b"}, Options: `command="b"`})); err != nil {
		t.Errorf("two commands for different hosts: %v", err)
	}
}

// The same rules hold for exceptions, for keys that are held and for those of other programs.
func TestOptionsElsewhere(t *testing.T) {
	compile := func(rules policy.Rules) *policy.Policy {
		p, err := policy.Compile(rules)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := compile(withOptions([]string{"no-pty", "from", "verify-required"}, policy.Force{Options: `restrict,from="10.0.0.0/8"`}))
	snapshot, err := registry.New([]registry.User{user(t, "alice", lineA)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	for options, want := range map[string]string{
		``:                 `restrict,from="10.0.0.0/8"`,
		`no-pty`:           `restrict,from="10.0.0.0/8"`,
		`from="10.0.0.1"`:  `restrict,from="10.0.0.1"`,
		`from="192.0.2.1"`: ``,
		`command="ls"`:     ``,
		`permitopen="h:1"`: ``,
		`pty`:              `restrict,from="10.0.0.0/8"`,
	} {
		line := parse(t, strings.TrimSpace(options+" "+lineB))
		e := policy.Exception{
			ID: "X", User: "alice", Key: line.Key, Options: line.Options, Owner: "root", Reason: "ticket 7", Since: now, Until: now.Add(time.Hour),
		}
		g := p.Evaluate(snapshot, now, e)
		if list := g.For("alice")[1:]; want == "" && (len(list) > 0 || g.Exceptions()[0].Idle == "") || want != "" && (len(list) != 1 || list[0].Options.String() != want) {
			t.Errorf("exception with %s: %v, %q", options, list, g.Exceptions()[0].Idle)
		}
		if _, err := p.NewException(e, now); (err == nil) != (want != "") {
			t.Errorf("new exception with %s: %v", options, err)
		}
		held := p.Evaluate(snapshot, now).WithFormer([]policy.Former{{User: "alice", Grant: policy.Grant{Key: line.Key, Options: line.Options, Held: "why"}, Since: now}})
		if list := held.For("alice")[1:]; want == "" && len(list) > 0 || want != "" && (len(list) != 1 || list[0].Options.String() != want || list[0].Held != "why") {
			t.Errorf("held with %s: %v", options, list)
		}
		foreign, verdict := p.Foreign(line, now)
		if want == "" && verdict.Granted() || want != "" && foreign.Options.String() != want {
			t.Errorf("of another program with %s: %s, %v", options, foreign.Options, verdict)
		}
	}
	old := compile(on(authkeys.Version{Major: 7, Minor: 4}, withOptions(nil)))
	line := parse(t, "verify-required "+lineB)
	if _, verdict := old.Foreign(line, now); verdict.Reason != policy.ReasonSSHD {
		t.Errorf("of another program, sshd too old: %v", verdict)
	}
	with, err := registry.New([]registry.User{user(t, "alice", lineA, "verify-required "+lineB)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	g := old.Evaluate(with, now)
	if v := g.Judge("alice", line); v.Reason != policy.ReasonSSHD || !v.Stays() || v.Granted() {
		t.Errorf("a line that another host may read: %v", v)
	}
	if refused := g.Refused("alice"); !slices.Equal(refused, []authkeys.Sum{line.Key.Sum()}) {
		t.Errorf("another program may give %v", fmt.Sprint(refused))
	}
}

// What a user adds by himself is kept where it narrows, before what is forced.
func TestOwnOptions(t *testing.T) {
	rules := withOptions(nil, policy.Force{Options: `restrict,pty,from="10.0.0.0/8"`})
	rules.Options.Lift = []string{`from="192.168.0.0/16,10.9.0.0/16"`, `restrict,command="gate"`, `from="10.0.0.0/8"`}
	g := evaluate(t, rules, now, user(t, "alice", lineA))
	for own, want := range map[string]string{
		``:                               `restrict,pty,from="10.0.0.0/8"`,
		`restrict,pty,port-forwarding`:   `restrict,pty,from="10.0.0.0/8"`,
		`no-pty,environment="A=b"`:       `restrict,from="10.0.0.0/8"`,
		`command="ls",tunnel="0"`:        `command="ls",restrict,pty,from="10.0.0.0/8"`,
		`from="10.1.2.3"`:                `restrict,pty,from="10.1.2.3"`,
		`from="*.example.org"`:           `restrict,pty,from="10.0.0.0/8"`,
		`restrict,pty,from="10.0.0.0/8"`: `restrict,pty,from="10.0.0.0/8"`,
		`no-user-rc,from="192.168.0.0/16,10.9.0.0/16"`: `restrict,pty,from="10.0.0.0/8"`,
		`verify-required,restrict,command="gate"`:      `verify-required,restrict,pty,from="10.0.0.0/8"`,
		`command="gate",from="10.9.0.0/16"`:            `command="gate",restrict,pty,from="10.9.0.0/16"`, // nothing that was forced
		`verify-required,permitopen="h:1"`:             `verify-required,permitopen="h:1",restrict,pty,from="10.0.0.0/8"`,
	} {
		options, err := authkeys.ParseOptions(own)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := g.Own(options); err != nil || got.String() != want {
			t.Errorf("%s becomes %s, %v; want %s", own, got, err, want)
		}
	}
}
