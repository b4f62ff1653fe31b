package config

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v4"

	"github.com/keyreeve/keyreeve/policy"
)

// ParsePolicy reads a policy alone: the section "policy" of a configuration, of which nothing else counts, or a file that holds what such a
// section does. What it leaves out has its default, as in a configuration. Name is the file's name in errors.
func ParsePolicy(name string, data []byte) (policy.Rules, error) {
	var sections map[string]yaml.Node
	c := Default()
	err := yaml.Load(data, &sections)
	_, section := sections["policy"]
	_, whole := sections["registry"] // each configuration has it
	switch {
	case err != nil || section:
		err = decode(name, data, &c)
	case whole:
		err = fmt.Errorf("%s: it has no section policy", name)
	default:
		err = decode(name, data, &c.Policy)
	}
	if err != nil {
		return policy.Rules{}, err
	}
	if err := checkPolicy(c.Policy); err != nil {
		return policy.Rules{}, prefix(name, err)
	}
	return c.Policy, nil
}

func checkPolicy(rules policy.Rules) error {
	_, err := policy.Compile(rules)
	if rules.Blocklist != "" {
		err = errors.Join(err, absolute("policy.blocklist", rules.Blocklist))
	}
	return err
}
