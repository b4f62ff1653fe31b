package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/config"
)

func TestPrivateKeys(t *testing.T) {
	const base = "registry: {source: ldif, ldif: {path: /r.ldif}}\n"
	for text, want := range map[string]config.PrivateKeys{
		"":                              {Action: config.Report, Dirs: []string{".ssh"}},
		"private_keys: {action: off}":   {Action: config.Off, Dirs: []string{".ssh"}},
		"private_keys: {dirs: [a/b]}":   {Action: config.Report, Dirs: []string{"a/b"}},
		"private_keys: {dirs: [a, ab]}": {Action: config.Report, Dirs: []string{"a", "ab"}},
	} {
		c, err := config.Parse("f", []byte(base+text))
		if diff := cmp.Diff(want, c.PrivateKeys); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"{action: quarantine}":      "private_keys.action: \"quarantine\" is not one of report, off",
		"{dirs: []}":                "private_keys.dirs: it names no directory",
		"{dirs: [/root]}":           "private_keys.dirs[0]: \"/root\" is not the plain path",
		"{dirs: [.]}":               "private_keys.dirs[0]: \".\" is not",
		"{dirs: [a/../../b]}":       "private_keys.dirs[0]: ",
		"{dirs: [\"a\\nb\"]}":       "private_keys.dirs[0]: ",
		"{dirs: [.ssh, .ssh/keys]}": "private_keys.dirs[1]: \".ssh/keys\" is in the list already",
		"{dirs: [.ssh/keys, .ssh]}": "private_keys.dirs[1]: ",
		"{dirs: [.ssh, .ssh]}":      "private_keys.dirs[1]: ",
		"{dirs: [" + strings.Join(strings.Split(strings.Repeat("x", 17), ""), "/a,") + "]}": "17 are more than 16",
	} {
		if _, err := config.Parse("f", []byte(base+"private_keys: "+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
