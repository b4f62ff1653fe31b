package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// What is recommended is accepted, needs no device where that can be helped, and is as large as the rule wants.
func TestRecommended(t *testing.T) {
	ed, sk, rsa := policy.Rule{Type: "ed25519"}, policy.Rule{Type: "sk-ed25519"}, policy.Rule{Type: "rsa", MinBits: 3072}
	coming, ending, over := ed, rsa, sk
	coming.From, ending.Until, over.Until = "2027-01-01", "2026-12-31", "2026-01-31"
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		rules   []policy.Rule
		command string
		file    string
	}{
		{[]policy.Rule{ed}, "ssh-keygen -t ed25519", "~/.ssh/id_ed25519.pub"},
		{[]policy.Rule{rsa, sk, ed}, "ssh-keygen -t ed25519", "~/.ssh/id_ed25519.pub"},
		{[]policy.Rule{sk, rsa}, "ssh-keygen -t rsa -b 3072", "~/.ssh/id_rsa.pub"},
		{[]policy.Rule{sk}, "ssh-keygen -t ed25519-sk", "~/.ssh/id_ed25519_sk.pub"},
		{[]policy.Rule{coming, ending}, "ssh-keygen -t rsa -b 3072", "~/.ssh/id_rsa.pub"},
		{[]policy.Rule{coming}, "ssh-keygen -t ed25519", "~/.ssh/id_ed25519.pub"},
	} {
		r := policy.Rules{Keys: c.rules}
		if got := r.Recommended(now); got.Command != c.command || got.File != c.file {
			t.Errorf("%v: %+v", c.rules, got)
		}
		var types []string
		for _, recipe := range r.Recipes(now) {
			types = append(types, recipe.Type)
		}
		want := make([]string, len(c.rules))
		for i, rule := range c.rules {
			want[i] = rule.Type
		}
		if diff := cmp.Diff(want, types); diff != "" {
			t.Error(diff)
		}
	}
	if list := (policy.Rules{Keys: []policy.Rule{over, coming}}).Recipes(now); len(list) != 1 || list[0].InForce || list[0].Name != "ed25519 from 2027-01-01" {
		t.Errorf("%+v", list)
	}
}

// What somebody is told of options in front of his key is what becomes of them: what is said to go is not in the lines that are granted, and
// the rest is.
func TestCheckOptions(t *testing.T) {
	force := func(text string) policy.Force { return policy.Force{Options: text} }
	lifting := withOptions(nil)
	lifting.Options.Lift = []string{"no-pty"}
	for name, c := range map[string]struct {
		rules      policy.Rules
		own        string
		registered string // the reason, and what is left out
		inFile     string
	}{
		"no rule":       {withOptions(nil), `from="10.0.0.1",environment="A=b",pty`, "granted []", "granted [environment]"},
		"left out":      {withOptions([]string{"from"}), `from="10.0.0.1",environment="A=b"`, "granted [environment]", "granted [environment]"},
		"not allowed":   {withOptions([]string{"from"}), `command="ls"`, "option-not-allowed []", "granted []"},
		"forced":        {withOptions(nil, force("restrict")), `pty,no-user-rc`, "granted [pty]", "granted [pty]"},
		"conflict":      {withOptions(nil, force(`from="10.0.0.0/8"`)), `from="192.0.2.1"`, "option-conflict []", "granted []"},
		"lifted":        {lifting, `from="10.0.0.1",no-pty`, "granted []", "granted [no-pty]"},
		"of others":     {withOptions(nil), `principals="x",cert-authority`, "cert-authority []", "cert-authority []"},
		"once is told":  {withOptions(nil), `environment="A=b",environment="B=c"`, "granted []", "granted [environment]"},
		"not elsewhere": {withOptions(nil, policy.Force{Hosts: []string{"node*"}, Options: "restrict"}), `pty`, "granted []", "granted []"},
	} {
		options, err := authkeys.ParseOptions(c.own)
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Compile(c.rules)
		if err != nil {
			t.Fatal(err)
		}
		a := p.CheckOptions(options)
		if got := fmt.Sprint(a.Registered.Reason, " ", a.Dropped); got != c.registered {
			t.Errorf("%s: registered: %s, want %s", name, got, c.registered)
		}
		if got := fmt.Sprint(a.Own.Reason, " ", a.Gone); got != c.inFile {
			t.Errorf("%s: in a file: %s, want %s", name, got, c.inFile)
		}
		agrees(t, name, p, options, a)
	}
}

// agrees holds advice to the decision.
func agrees(t *testing.T, name string, p *policy.Policy, options authkeys.Options, a policy.OptionAdvice) {
	t.Helper()
	line, err := authkeys.ParseValue([]byte(lineA))
	if err != nil {
		t.Fatal(err)
	}
	grants := func(of authkeys.Options) []policy.Grant {
		snapshot, err := registry.New([]registry.User{{Name: "ann", UID: 1, Home: "/h", Records: []registry.Record{{Key: line.Key, Options: of}}}}, "test")
		if err != nil {
			t.Fatal(err)
		}
		return p.Evaluate(snapshot, time.Now()).For("ann")
	}
	if registered := grants(options); (len(registered) == 1) != a.Registered.Granted() {
		t.Errorf("%s: %d lines are granted, and the verdict is %s", name, len(registered), a.Registered.Reason)
	} else if len(registered) == 1 {
		for _, gone := range a.Dropped {
			if registered[0].Options.Has(gone) {
				t.Errorf("%s: %s is left out, and in %s", name, gone, registered[0].Options)
			}
		}
	}
}
