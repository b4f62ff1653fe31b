package ldapsource

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/registry"
)

// Canary is a key that every whole reading of the registry holds. A directory that answers well and lacks it, such as a replica
// that is not filled yet, an access list or a filter that changed, says nothing about anybody. The zero value asks for none.
type Canary struct {
	// User is a name in the registry, Fingerprint one of that user's keys as ssh-keygen -l shows it ("SHA256:...").
	User        string `yaml:"user"`
	Fingerprint string `yaml:"fingerprint"`
	// Locked is a name in the registry whose account is locked or disabled for ever: where it does not show so, the reader may not see
	// what locks accounts, and whoever is locked would have keys.
	Locked string `yaml:"locked"`
}

// Check reports what cannot be a canary.
func (c Canary) Check() error {
	if c.User == "" && c.Fingerprint == "" {
		return nil
	}
	if c.User == "" || c.Fingerprint == "" {
		return errors.New("a user and a fingerprint need each other")
	}
	digest, found := strings.CutPrefix(c.Fingerprint, "SHA256:")
	if raw, err := base64.RawStdEncoding.Strict().DecodeString(digest); !found || err != nil || len(raw) != 32 {
		return fmt.Errorf("%q is not a fingerprint as ssh-keygen shows it", c.Fingerprint)
	}
	return nil
}

// folded is the canary with its names as a schema has those of users.
func (c Canary) folded(s Schema) Canary {
	c.User, c.Locked = s.fold(c.User), s.fold(c.Locked)
	return c
}

// proven passes on a reading that holds the canary. Whether the policy would grant its key does not matter.
func (c Canary) proven(s *registry.Snapshot, err error) (*registry.Snapshot, error) {
	if err != nil {
		return nil, err
	}
	barred := func(u registry.User) bool { return u.Status == registry.Locked || u.Status == registry.Disabled }
	if c.Locked != "" && !slices.ContainsFunc(s.Claims(c.Locked), barred) {
		return nil, because(NoCanary, fmt.Errorf("%s: the canary %q is not there as a locked account: the reader may not see what locks accounts", s.Source(), c.Locked))
	}
	if c.User == "" {
		return s, nil
	}
	users := s.Claims(c.User) // somebody else may have taken its name
	if len(users) == 0 {
		return nil, because(NoCanary, fmt.Errorf("%s: the canary %q is not among its %d users", s.Source(), c.User, s.Len()))
	}
	keys := 0
	for _, user := range users {
		for _, r := range user.Records {
			if r.Key.Fingerprint() == c.Fingerprint {
				return s, nil
			}
			keys++
		}
	}
	return nil, because(NoCanary, fmt.Errorf("%s: the canary %q has %d keys, and none is %s", s.Source(), c.User, keys, c.Fingerprint))
}
