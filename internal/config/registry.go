package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/keyreeve/keyreeve/ldapsource"
)

// Registry says where the centre's key registry is.
type Registry struct {
	// Source is LDAPSource or LDIFSource.
	Source string                `yaml:"source"`
	LDAP   ldapsource.LDAPConfig `yaml:"ldap"`
	LDIF   LDIF                  `yaml:"ldif"`
	// Canary must be in every reading, whatever the source.
	Canary  ldapsource.Canary `yaml:"canary"`
	Refresh time.Duration     `yaml:"refresh"`
	// MaxStale is how old the last good reading may become before Stale counts: Serve or Refuse, for the answer to sshd.
	MaxStale Age    `yaml:"max_stale"`
	Stale    string `yaml:"stale"`
	Hold     Hold   `yaml:"hold"`
}

// Hold says how many people a reading of the registry may take something from before it is held.
type Hold struct {
	// Percent is their share of those who could lose it.
	Percent int `yaml:"percent"`
	// Least is how many always may.
	Least int `yaml:"least"`
}

// The bounds of Hold: it can be made wide, but not be turned off.
const (
	mostPercent = 50
	mostLeast   = 100
)

func (h Hold) check() error {
	var list []error
	if h.Percent < 0 || h.Percent > mostPercent {
		list = append(list, fmt.Errorf("registry.hold.percent: %d is not between 0 and %d", h.Percent, mostPercent))
	}
	if h.Least < 0 || h.Least > mostLeast {
		list = append(list, fmt.Errorf("registry.hold.least: %d is not between 0 and %d", h.Least, mostLeast))
	}
	return errors.Join(list...)
}

// LDIF is a registry in a file.
type LDIF struct {
	Path string `yaml:"path"`
	// Preset, Attributes and Hosts are what they are for LDAP.
	Preset     string            `yaml:"schema"`
	Attributes ldapsource.Schema `yaml:"attributes"`
	Hosts      ldapsource.Hosts  `yaml:"hosts"`
}

// Layout is how the file's entries are read.
func (l LDIF) Layout() ldapsource.Layout {
	return ldapsource.Layout{Schema: l.Attributes, Hosts: l.Hosts}
}

// defaults is Default with the attributes and the filter of the schemas that a file names: whatever else it says stands above
// them. A schema that is none leaves the usual ones; check tells of it.
func (r Registry) defaults() Config {
	c := Default()
	if schema, filter, known := ldapsource.Preset(r.LDAP.Preset); known {
		c.Registry.LDAP.Schema, c.Registry.LDAP.Filter = schema, filter
	}
	if schema, _, known := ldapsource.Preset(r.LDIF.Preset); known {
		c.Registry.LDIF.Attributes = schema
	}
	return c
}

func (r Registry) check() error {
	list := []error{
		oneOf("registry.source", r.Source, LDAPSource, LDIFSource),
		between("registry.refresh", r.Refresh, time.Second, 24*time.Hour),
		within("registry.canary", r.Canary.Check()),
		oneOf("registry.stale", r.Stale, Serve, Refuse),
		r.Hold.check(),
	}
	if r.MaxStale < Age(r.Refresh) {
		list = append(list, fmt.Errorf("registry.max_stale: %v is less than registry.refresh, %v", r.MaxStale, r.Refresh))
	} else if r.Stale == Refuse && r.MaxStale < 2*Age(r.Refresh) {
		list = append(list, fmt.Errorf("registry.max_stale: with \"stale: refuse\", %v is less than two of registry.refresh, %v: sshd would refuse everybody while a reading is under way",
			r.MaxStale, r.Refresh))
	}
	switch r.Source {
	case LDAPSource:
		_, err := ldapsource.NewLDAP(r.LDAP)
		list = append(list, within("registry.ldap", err))
	case LDIFSource:
		list = append(list, absolute("registry.ldif.path", r.LDIF.Path), oneOf("registry.ldif.schema", r.LDIF.Preset, ldapsource.Presets()...),
			within("registry.ldif", r.LDIF.Layout().Check()))
	}
	return errors.Join(list...)
}
