package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/policy"
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
