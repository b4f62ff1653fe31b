package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/policy"
)

func TestParsePolicy(t *testing.T) {
	want := policy.DefaultRules()
	want.Keys = []policy.Rule{{Type: "rsa", MinBits: 4096, Until: "2026-12-31"}, {Type: "ed25519"}}
	const keys = "{keys: [{type: rsa, min_bits: 4096, until: 2026-12-31}, {type: ed25519}]}\n"
	for name, text := range map[string]string{
		"the section alone":              keys,
		"in a configuration":             small + "policy: " + keys,
		"in a file without a registry":   "policy: " + keys,
		"in one that is wrong elsewhere": "mode: enforcing\npolicy: " + keys,
	} {
		got, err := config.ParsePolicy("p.yaml", []byte(text))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, %s", name, err, diff)
		}
	}
	for text, want := range map[string]string{
		"":                                  "p.yaml: the file is empty",
		"- a":                               "p.yaml:1: what stands here is no group of keys",
		"key: []":                           "p.yaml:1: unknown key key (did you mean keys?)",
		small:                               "p.yaml: it has no section policy",
		"policy: {key: []}":                 "p.yaml:1: unknown key policy.key (did you mean keys?)",
		"policy:":                           "p.yaml:1: policy has no value",
		"polic: {}\npolicy: {}":             "p.yaml:1: unknown key polic (did you mean policy?)",
		"keys: []":                          "p.yaml: policy.keys: the list is empty",
		"keys: [{type: ed25519}]\nwarn: 90": "p.yaml:2: ",
		"blocklist: list":                   "p.yaml: policy.blocklist: \"list\" is not a plain absolute path",
		"keys: [{type: rsa, min_bits: 4096, until: 2026-12-32}]": "p.yaml:1: ",
	} {
		if got, err := config.ParsePolicy("p.yaml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) || len(got.Keys) > 0 {
			t.Errorf("%q: %v, %v; want %q", text, got, err, want)
		}
	}
}
