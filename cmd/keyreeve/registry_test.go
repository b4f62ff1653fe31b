package main

import (
	"os"
	"testing"

	"github.com/keyreeve/keyreeve/internal/config"
)

// The identity of a source is on disk, so it must be the same for every reading of one configuration, and another one for another
// registry.
func TestSourceID(t *testing.T) {
	text, err := os.ReadFile("../../configs/keyreeve.yaml")
	if err != nil {
		t.Fatal(err)
	}
	id := func(change func(*config.Registry)) string {
		c, err := config.Parse("keyreeve.yaml", text)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(&c.Registry)
		}
		return sourceID(c.Registry)
	}
	one := id(nil)
	if again := id(func(r *config.Registry) { r.LDAP.Timeout, r.LDAP.PageSize, r.Refresh = 1, 1, 1 }); again != one {
		t.Errorf("the same registry is %q and %q", one, again)
	}
	if again := id(func(r *config.Registry) {
		r.LDAP.URLs, r.LDAP.CAFile, r.LDAP.BindDN = []string{"ldaps://other"}, "/new", "cn=other"
	}); again != one {
		t.Errorf("by another server it is %q and %q", one, again)
	}
	for name, change := range map[string]func(*config.Registry){
		"base":   func(r *config.Registry) { r.LDAP.Base = "dc=other" },
		"filter": func(r *config.Registry) { r.LDAP.Filter = "(uid=a*)" },
		"source": func(r *config.Registry) { r.Source = config.LDIFSource },
	} {
		if id(change) == one {
			t.Errorf("%s: another registry has the same identity", name)
		}
	}
}
