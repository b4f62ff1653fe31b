package config_test

import (
	"testing"

	"github.com/keyreeve/keyreeve/internal/config"
)

func TestModeOf(t *testing.T) {
	const report, warn, enforce = config.Report, config.Warn, config.Enforce
	type groups map[string]bool // what is known of the user: in it, or not
	c := func(mode string, pairs ...string) config.Config {
		c := config.Config{Mode: mode, Users: []config.UserMode{{User: "root", Mode: warn}, {User: "carol", Mode: enforce}}}
		for i := 0; i < len(pairs); i += 2 {
			c.Groups = append(c.Groups, config.GroupMode{Group: pairs[i], Mode: pairs[i+1]})
		}
		return c
	}
	for name, test := range map[string]struct {
		c    config.Config
		user string
		in   groups
		want string
	}{
		"the mode of all":             {c(enforce), "alice", groups{}, enforce},
		"a user's own":                {c(report, "a", report), "carol", groups{"a": true}, enforce},
		"a user's own, milder":        {c(enforce, "a", enforce), "root", groups{"a": true}, warn},
		"a user's own, groups silent": {c(report, "a", report), "carol", groups{}, enforce},
		"a group's":                   {c(report, "a", enforce), "alice", groups{"a": true}, enforce},
		"not in the group":            {c(report, "a", enforce), "alice", groups{"a": false}, report},
		"the first group":             {c(report, "a", warn, "b", enforce), "alice", groups{"a": true, "b": true}, warn},
		"the second group":            {c(report, "a", warn, "b", enforce), "alice", groups{"a": false, "b": true}, enforce},
		"not known, enforce for some": {c(report, "a", enforce), "alice", groups{}, report},
		"not known, report for some":  {c(enforce, "a", report), "alice", groups{}, report},
		"not known, then in one":      {c(report, "a", warn, "b", enforce), "alice", groups{"b": true}, warn},
		"in one, the next not known":  {c(report, "a", enforce, "b", report), "alice", groups{"a": true}, enforce},
		"not known, but it is equal":  {c(enforce, "a", enforce), "alice", groups{}, enforce},
	} {
		got := test.c.ModeOf(test.user, func(group string) (bool, bool) {
			is, known := test.in[group]
			return is, known
		})
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestEnforces(t *testing.T) {
	for want, list := range map[bool][]config.Config{
		true: {
			{Mode: config.Enforce},
			{Mode: config.Report, Groups: []config.GroupMode{{Group: "a", Mode: config.Enforce}}},
			{Mode: config.Warn, Users: []config.UserMode{{User: "a", Mode: config.Enforce}}},
		},
		false: {{Mode: config.Warn}, {Mode: config.Report, Groups: []config.GroupMode{{Group: "a", Mode: config.Warn}}}},
	} {
		for _, c := range list {
			if c.Enforces() != want {
				t.Errorf("%+v: %v", c, !want)
			}
		}
	}
}
