package ldapsource

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Schema names the attributes of a user's entry. Names are compared without regard to case (RFC 4512 section 1.4).
//
// The attributes below Mail say whether the account counts, each in a form of its own, and an empty name asks for none.
// Most of them are operational, so that a server gives them only to who asks for them by name and may read them.
type Schema struct {
	// User has one value: the account's name.
	User string `yaml:"user"`
	// Lower folds names to small letters, as the name service does of directories to which JSmith and jsmith are one name: in sssd that is the
	// default for Active Directory (case_sensitive in sssd.conf(5)), and winbind always does. Two entries whose names differ in that alone
	// contest one name.
	Lower bool `yaml:"lower"`
	// Key has any number of values: one line of authorized_keys each, or the bare key blob that FreeIPA also stores.
	Key string `yaml:"key"`
	// Prefix stands before those values of Key that are keys, in any case; the others are somebody else's and nothing is said
	// of them. Empty: all are keys.
	Prefix string `yaml:"prefix"`
	// UID and GID have one value each: a decimal number.
	UID string `yaml:"uid"`
	GID string `yaml:"gid"`
	// Home has one value: an absolute path.
	Home string `yaml:"home"`
	// Mail has any number of values: addresses, of which the first in the order of their bytes counts. Empty: none is asked for.
	Mail string `yaml:"mail"`
	// Locked is TRUE or FALSE, as nsAccountLock is in 389 Directory Server and FreeIPA. It may be computed from a role.
	Locked string `yaml:"locked"`
	// LockedTime is the pwdAccountLockedTime of slapo-ppolicy(5). See lockedTime.
	LockedTime string `yaml:"locked_time"`
	// Control is the userAccountControl of Active Directory.
	Control string `yaml:"account_control"`
	// ExpiresDays is the shadowExpire of RFC 2307: days since 1970-01-01.
	ExpiresDays string `yaml:"expires_days"`
	// ExpiresTime is a GeneralizedTime (RFC 4517 section 3.3.13), such as krbPrincipalExpiration.
	ExpiresTime string `yaml:"expires_time"`
	// ExpiresFiletime is the accountExpires of Active Directory.
	ExpiresFiletime string `yaml:"expires_filetime"`
}

// The names of schemas.
const (
	// OpenSSHLPK is posixAccount (RFC 2307) with the object class ldapPublicKey of openssh-lpk, as in OpenLDAP.
	OpenSSHLPK = "openssh-lpk"
	// FreeIPA keeps keys in ipaSshPubKey.
	FreeIPA = "freeipa"
	// DirectoryServer is 389 Directory Server with its own nsSshPublicKey (30ns-common.ldif).
	DirectoryServer = "389ds"
	// ActiveDirectory has no attribute for keys: a site names its own.
	ActiveDirectory = "ad"
)

// Presets lists the names of schemas.
func Presets() []string { return []string{OpenSSHLPK, FreeIPA, DirectoryServer, ActiveDirectory} }

// Preset gives a named schema and the filter (RFC 4515) of its users.
//
// No filter looks at locks, and only one at the object class of keys: whom a filter leaves out is no user of the registry, and
// the file of one whom nobody knows is left alone, with all of its keys.
func Preset(name string) (schema Schema, filter string, known bool) {
	posix := Schema{User: "uid", UID: "uidNumber", GID: "gidNumber", Home: "homeDirectory", Mail: "mail"}
	switch name {
	case OpenSSHLPK:
		posix.Key, posix.LockedTime, posix.ExpiresDays = "sshPublicKey", "pwdAccountLockedTime", "shadowExpire"
		return posix, "(&(objectClass=posixAccount)(objectClass=ldapPublicKey))", true
	case FreeIPA:
		posix.Key, posix.Locked, posix.ExpiresTime = "ipaSshPubKey", "nsAccountLock", "krbPrincipalExpiration"
		return posix, "(objectClass=posixAccount)", true
	case DirectoryServer:
		posix.Key, posix.Locked = "nsSshPublicKey", "nsAccountLock"
		return posix, "(objectClass=posixAccount)", true
	case ActiveDirectory:
		return Schema{
			User: "sAMAccountName", Lower: true, UID: "uidNumber", GID: "gidNumber", Home: "unixHomeDirectory", Mail: "mail",
			Control: "userAccountControl", ExpiresFiletime: "accountExpires",
		}, "(&(objectCategory=person)(objectClass=user)(uidNumber=*))", true
	}
	return Schema{}, "", false
}

// DefaultSchema is that of OpenSSHLPK.
func DefaultSchema() Schema {
	schema, _, _ := Preset(OpenSSHLPK)
	return schema
}

// checkPreset refuses a name that is not one of Presets.
func checkPreset(name string) error {
	if slices.Contains(Presets(), name) {
		return nil
	}
	return fmt.Errorf("schema %q is not one of %s", name, strings.Join(Presets(), ", "))
}

// fold is the name of an account as the name service gives it. Letters outside of ASCII stay, since some become one of ASCII (U+212A).
func (s Schema) fold(name string) string {
	if !s.Lower {
		return name
	}
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, name)
}

// Check reports the names that cannot be those of attributes, all of them.
func (s Schema) Check() error {
	var errs []error
	for _, needed := range [][2]string{{"user", s.User}, {"key", s.Key}, {"uid", s.UID}, {"gid", s.GID}, {"home", s.Home}} {
		if needed[1] == "" {
			errs = append(errs, fmt.Errorf("%s: no attribute is named", needed[0]))
		}
	}
	for _, name := range s.names() {
		errs = append(errs, checkDescription(name))
	}
	return errors.Join(errs...)
}

// names lists the attributes to ask a server for.
func (s Schema) names() []string {
	all := []string{s.User, s.Key, s.UID, s.GID, s.Home, s.Mail, s.Locked, s.LockedTime, s.Control, s.ExpiresDays, s.ExpiresTime, s.ExpiresFiletime}
	return slices.DeleteFunc(all, func(name string) bool { return name == "" })
}

// Hosts says which users count on this host, by an attribute that names hosts (host, RFC 4524 section 2.8). The zero Hosts are
// all users.
type Hosts struct {
	// Attribute has any number of values: a name, "*" for every host, or "!name" for every host but that one.
	Attribute string `yaml:"attribute"`
	// Names are those of this host, and of the groups of hosts to which it belongs.
	Names []string `yaml:"names"`
}

// Check finds an attribute without names, names without an attribute, and names that are none.
func (h Hosts) Check() error {
	switch {
	case h.Attribute == "" && len(h.Names) == 0:
		return nil
	case h.Attribute == "":
		return errors.New("names without an attribute")
	case len(h.Names) == 0:
		return errors.New("an attribute without names, which would make every account one of other hosts")
	}
	errs := []error{checkDescription(h.Attribute)}
	for _, name := range h.Names {
		if name == "" || strings.TrimSpace(name) != name || strings.ContainsAny(name, "!*") {
			errs = append(errs, fmt.Errorf("%q is not the name of a host", name))
		}
	}
	return errors.Join(errs...)
}

// admit says whether the values of the attribute let the user in here. As for SSSD's ldap_user_authorized_host
// (sssd-ldap(5)), a host that is excluded stays so whatever else is said, and no value means no host.
func (h Hosts) admit(values [][]byte) bool {
	admitted := false
	for _, value := range values {
		name, excluded := strings.CutPrefix(strings.TrimSpace(string(value)), "!")
		if name != "*" && !slices.ContainsFunc(h.Names, func(own string) bool { return strings.EqualFold(own, name) }) {
			continue
		}
		if excluded {
			return false
		}
		admitted = true
	}
	return admitted
}
