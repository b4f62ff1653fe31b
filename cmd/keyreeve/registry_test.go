package main

import (
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/ldapsource"
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

// What is on disk from an earlier version is that of the same registry: these texts never change. Each field of a layout counts.
func TestSourceIDOfEarlierVersions(t *testing.T) {
	fill := func(v any) {
		fields, n := reflect.ValueOf(v).Elem(), 0
		for i := range fields.NumField() {
			switch f := fields.Field(i); {
			case fields.Type().Field(i).Name == "Mail": // which decides nothing
			case f.Kind() == reflect.String:
				f.SetString(fmt.Sprint("a", n))
				n++
			case f.Kind() == reflect.Slice:
				f.Set(reflect.ValueOf([]string{"x", "y"}))
			}
		}
	}
	var r config.Registry
	fill(&r.LDAP.Schema)
	fill(&r.LDAP.Hosts)
	r.LDAP.Base, r.LDAP.Filter, r.LDIF.Path, r.LDIF.Attributes, r.LDIF.Hosts = "dc=b", "(f=*)", "/p", r.LDAP.Schema, r.LDAP.Hosts
	const layout = "{User:a0 Key:a1 Prefix:a2 UID:a3 GID:a4 Home:a5 Locked:a6 LockedTime:a7 Control:a8 ExpiresDays:a9 ExpiresTime:a10 ExpiresFiletime:a11} " +
		"{Attribute:a0 Names:[x y]}"
	if got, want := sourceID(r), `ldap "dc=b" "(f=*)" `+layout; got != want {
		t.Errorf("it was %s\nand is %s", want, got)
	}
	if r.Source = config.LDIFSource; sourceID(r) != `ldif "/p" `+layout {
		t.Errorf("of a file it is %s", sourceID(r))
	}
	if r.LDIF.Attributes.Lower = true; sourceID(r) != `ldif "/p" `+layout+" Lower" {
		t.Errorf("with names that are folded it is %s", sourceID(r))
	}
	if n := reflect.TypeFor[ldapsource.Schema]().NumField() + reflect.TypeFor[ldapsource.Hosts]().NumField(); n != 16 {
		t.Errorf("%d fields: one that is new counts too, where it is set", n)
	}
}
