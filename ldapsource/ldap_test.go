package ldapsource

import (
	"strings"
	"testing"
	"time"
)

func TestNewLDAP(t *testing.T) {
	for _, c := range []LDAPConfig{
		{URLs: []string{"ldaps://ldap1.example.org", "ldaps://ldap2.example.org:1636/"}},
		{URLs: []string{"ldap://ldap.example.org"}, StartTLS: true, ServerName: "ldap"},
		{URLs: []string{"ldap://[::1]"}, StartTLS: true},
		{URLs: []string{"ldapi://%2Frun%2Fslapd%2Fldapi", "ldapi:///run/slapd/ldapi"}, External: true},
		{URLs: []string{"ldaps://h"}, External: true, ClientCert: "/c", ClientKey: "/k"},
		{URLs: []string{"ldaps://h"}, BindDN: "cn=a", PasswordFile: "$CREDENTIALS_DIRECTORY/ldap"},
		{URLs: []string{"ldaps://h"}, GSSAPI: GSSAPI{Keytab: "/k", Principal: "host/h@R", KRB5Conf: "/c"}},
		{URLs: []string{"ldaps://h"}, Referrals: []string{"ldap://ForestDnsZones.example.org/DC=ForestDnsZones,DC=example,DC=org"}},
		{SRV: "example.org", CAFile: "/ca"},
		{SRV: "Example.org", ServerName: "ldap.example.org", StartTLS: true},
		{URLs: []string{"ldaps://h"}, BindDN: "cn=reader", PasswordFile: "/etc/keyreeve/password", Filter: "(&(uid=*)(ou=x))"},
	} {
		c.Base = base
		if _, err := NewLDAP(filled(c)); err != nil {
			t.Errorf("%v: %v", c.URLs, err)
		}
	}
}

func TestNewLDAPRefuses(t *testing.T) {
	url := func(text string) func(*LDAPConfig) { return func(c *LDAPConfig) { c.URLs = []string{text} } }
	for _, c := range []struct {
		name   string
		change func(*LDAPConfig)
		want   string
	}{
		{"no server", func(c *LDAPConfig) { c.URLs = nil }, "no server's URL"},
		{"a server and a domain", func(c *LDAPConfig) { c.SRV, c.CAFile = "example.org", "/ca" }, "exclude each other"},
		{"a domain and anybody's authority", func(c *LDAPConfig) { c.URLs, c.SRV = nil, "example.org" }, "need a CA file or a server name"},
		{"no domain", func(c *LDAPConfig) { c.URLs, c.SRV, c.CAFile = nil, "_ldap._tcp.example.org", "/ca" }, "is not the name of a domain"},
		{"EXTERNAL by SRV without a certificate", func(c *LDAPConfig) { c.URLs, c.SRV, c.CAFile, c.External = nil, "example.org", "/ca", true }, "SASL EXTERNAL needs"},
		{"no referral", func(c *LDAPConfig) { c.Referrals = []string{"dc=example"} }, `referral "dc=example"`},
		{"a certificate without a key", func(c *LDAPConfig) { c.ClientCert = "/c" }, "need each other"},
		{"a relative password", func(c *LDAPConfig) { c.BindDN, c.PasswordFile = "cn=a", "password" }, "neither an absolute path"},
		{"a password beside the credentials", func(c *LDAPConfig) { c.BindDN, c.PasswordFile = "cn=a", "$CREDENTIALS_DIRECTORY/.." }, "not the name of a credential"},
		{"a keytab without a principal", func(c *LDAPConfig) { c.GSSAPI.Keytab = "/k" }, "need each other"},
		{"no principal", func(c *LDAPConfig) { c.GSSAPI = GSSAPI{Keytab: "/k", Principal: "a@", KRB5Conf: "/c"} }, `principal "a@"`},
		{"no krb5.conf", func(c *LDAPConfig) { c.GSSAPI = GSSAPI{Keytab: "/k", Principal: "a"} }, `krb5_conf ""`},
		{"GSSAPI over ldapi", func(c *LDAPConfig) {
			c.URLs, c.GSSAPI = []string{"ldapi:///s"}, GSSAPI{Keytab: "/k", Principal: "a", KRB5Conf: "/c"}
		}, "GSSAPI is for ldaps"},
		{"GSSAPI and a DN", func(c *LDAPConfig) {
			c.BindDN, c.PasswordFile, c.GSSAPI = "cn=a", "/p", GSSAPI{Keytab: "/k", Principal: "a", KRB5Conf: "/c"}
		}, "exclude each other"},
		{"plain", url("ldap://ldap.example.org"), "plain ldap is not safe"},
		{"plain to loopback", url("ldap://127.0.0.1"), "plain ldap is not safe"},
		{"no filter", func(c *LDAPConfig) { c.Filter = "" }, `filter ""`},
		{"no attribute", func(c *LDAPConfig) { c.Schema.Home = "" }, `home: no attribute is named`},
		{"another schema", func(c *LDAPConfig) { c.Preset = "nis" }, `schema "nis" is not one of openssh-lpk, freeipa, 389ds, ad`},
		{"hosts without names", func(c *LDAPConfig) { c.Hosts.Attribute = "host" }, "hosts: an attribute without names"},
		{"a lock that is no attribute", func(c *LDAPConfig) { c.Schema.Locked = "ns account" }, `"ns account" is not the name`},
		{"no page", func(c *LDAPConfig) { c.PageSize = 0 }, "page size 0"},
		{"a notice of another kind", func(c *LDAPConfig) { c.Notice = "on" }, `notice "on" is neither auto nor off`},
		{"polls without end", func(c *LDAPConfig) { c.Poll = time.Second }, "poll 1s is not between 2s and 5m0s"},
		{"polls of an hour", func(c *LDAPConfig) { c.Poll = time.Hour }, "poll 1h0m0s is not"},
		{"no time", func(c *LDAPConfig) { c.Timeout = 0 }, "timeout 0s"},
		{"plain to a host named like loopback", url("ldap://127.0.0.1.example.org"), "plain ldap is not safe"},
		{"one plain of two", func(c *LDAPConfig) { c.URLs = append(c.URLs, "ldap://b") }, `server "ldap://b": plain`},
		{"http", url("https://ldap.example.org"), "none of ldap, ldaps, ldapi"},
		{"no scheme", url("ldap.example.org"), "none of ldap, ldaps, ldapi"},
		{"no host", url("ldaps://"), "no host"},
		{"a path", url("ldaps://h/dc=x"), "more than a scheme"},
		{"a password", url("ldaps://a:b@h"), "more than a scheme"},
		{"a relative socket", url("ldapi://run"), "absolute path"},
		{"no socket", url("ldapi://"), "absolute path"},
		{"a broken escape", url("ldapi://%zz"), "invalid URL escape"},
		{"EXTERNAL over TCP", func(c *LDAPConfig) { c.External = true }, "SASL EXTERNAL needs ldapi"},
		{"EXTERNAL and a DN", func(c *LDAPConfig) { c.External, c.BindDN, c.PasswordFile = true, "cn=a", "/p" }, "exclude each other"},
		{"no password", func(c *LDAPConfig) { c.BindDN = "cn=a" }, "need each other"},
		{"no DN", func(c *LDAPConfig) { c.PasswordFile = "/p" }, "need each other"},
		{"no base", func(c *LDAPConfig) { c.Base = "" }, `base "" is not`},
		{"a bad base", func(c *LDAPConfig) { c.Base = "people" }, `base "people" is not`},
		{"a bad filter", func(c *LDAPConfig) { c.Filter = "(uid=*" }, `filter "(uid=*"`},
		{"a bad attribute", func(c *LDAPConfig) { c.Schema.Key = "ssh key" }, `"ssh key" is not the name`},
		{"a page of less than nothing", func(c *LDAPConfig) { c.PageSize = -1 }, "page size -1"},
		{"a huge page", func(c *LDAPConfig) { c.PageSize = 1e6 }, "page size 1000000"},
		{"a negative timeout", func(c *LDAPConfig) { c.Timeout = -time.Second }, "timeout -1s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := filled(LDAPConfig{URLs: []string{"ldaps://h"}, Base: base})
			c.change(&config)
			l, err := NewLDAP(config)
			if l != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want an error with %q", l, err, c.want)
			}
		})
	}
}
