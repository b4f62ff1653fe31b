package ldapsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/registry"
)

// people are enough users for some pages, with the oddities a directory may hold.
func people() []Entry {
	entries := []Entry{
		userEntry("nokeys", 4001),
		userEntry("odd", 4002, keyText(1)+" caf\u00e9", `from="*.example.org",no-pty `+keyText(2), "ssh-rsa AAAA", keyText(1)+" twice\n"),
	}
	for i := range 25 {
		entries = append(entries, userEntry(fmt.Sprint("user", i), 3000+i, keyText(byte(i)), keyText(byte(i+1))+" spare"))
	}
	return entries
}

// config reads a slapd over its socket; the tests change the way.
func config(s *testenv.Slapd) LDAPConfig {
	return filled(LDAPConfig{URLs: []string{s.LDAPI}, External: true, Base: testenv.SlapdPeople, PageSize: 7})
}

// secured is config over TCP with TLS and a password.
func secured(s *testenv.Slapd, url string) LDAPConfig {
	c := config(s)
	c.URLs, c.External, c.CAFile, c.BindDN, c.PasswordFile = []string{url}, false, s.CAFile, s.RootDN, s.PasswordFile
	c.StartTLS = url == s.URL
	return c
}

// filled is a configuration with the defaults for what a test leaves empty.
func filled(c LDAPConfig) LDAPConfig {
	d := DefaultLDAP()
	c.Filter, c.Preset = cmp.Or(c.Filter, d.Filter), cmp.Or(c.Preset, d.Preset)
	c.PageSize, c.Timeout = cmp.Or(c.PageSize, d.PageSize), cmp.Or(c.Timeout, d.Timeout)
	c.Schema, c.Notice, c.Poll = cmp.Or(c.Schema, d.Schema), cmp.Or(c.Notice, d.Notice), cmp.Or(c.Poll, d.Poll)
	return c
}

// fetch reads a registry with a configuration.
func fetch(t *testing.T, c LDAPConfig) (*registry.Snapshot, error) {
	t.Helper()
	l, err := NewLDAP(filled(c))
	if err != nil {
		t.Fatal(err)
	}
	return l.Fetch(t.Context())
}

// The same registry comes from slapd, over each of its doors, and from LDIF.
func TestSlapd(t *testing.T) {
	text := render(people())
	s := testenv.StartSlapd(t, text)
	path := file(t, text)
	newline := secured(s, s.LDAPS)
	password, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		t.Fatal(err)
	}
	newline.PasswordFile = file(t, string(password)+"\n")
	second := config(s)
	second.URLs = []string{"ldaps://127.0.0.1:1", "ldapi:///none", s.LDAPI}
	second.External, second.CAFile, second.BindDN, second.PasswordFile = false, s.CAFile, s.RootDN, s.PasswordFile
	onePage := config(s)
	onePage.PageSize = 1000
	upper := config(s)
	upper.Base, upper.Schema = "DC=Example, dc=ORG", Schema{User: "UID", Key: "SSHPUBLICKEY", UID: "uidnumber", GID: "GidNumber", Home: "HomeDirectory"}
	for name, c := range map[string]LDAPConfig{
		"StartTLS": secured(s, s.URL), "LDAPS": secured(s, s.LDAPS), "EXTERNAL": config(s), "one page": onePage,
		"other case": upper, "the third server": second, "password with a newline": newline,
	} {
		t.Run(name, func(t *testing.T) {
			want, err := NewLDIF(path, c.layout()).Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, err := fetch(t, c)
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(users(want), users(got)); d != "" || got.Len() != 27 || got.Rejects() != 1 {
				t.Errorf("%d users, %d rejects, %s", got.Len(), got.Rejects(), d)
			}
			if source := c.URLs[len(c.URLs)-1]; got.Source() != source {
				t.Errorf("source is %q, want %q", got.Source(), source)
			}
		})
	}
}

func TestSlapdRefuses(t *testing.T) {
	s := testenv.StartSlapd(t, render(people()))
	for _, c := range []struct {
		name   string
		url    string
		change func(*LDAPConfig)
		want   []string
	}{
		// slapd answers an anonymous reader with success and nothing: no proof of an empty registry.
		{"anonymous", s.LDAPS, func(c *LDAPConfig) { c.BindDN, c.PasswordFile = "", "" }, []string{s.LDAPS, "page 1"}},
		{"wrong password", s.URL, func(c *LDAPConfig) { c.PasswordFile = file(t, "wrong") }, []string{s.URL, "bind", "Invalid Credentials"}},
		{"empty password", s.URL, func(c *LDAPConfig) { c.PasswordFile = file(t, "\n") }, []string{"holds no password"}},
		{"no password file", s.URL, func(c *LDAPConfig) { c.PasswordFile = "/none" }, []string{"/none", "no such file"}},
		{"foreign CA", s.LDAPS, func(c *LDAPConfig) { c.CAFile = testenv.NewCertificate(t).CAFile }, []string{s.LDAPS, "TLS: the certificate of", "no authority of"}},
		{"foreign CA, StartTLS", s.URL, func(c *LDAPConfig) { c.CAFile = testenv.NewCertificate(t).CAFile }, []string{s.URL, "StartTLS: the certificate of", "no authority of"}},
		{"the system's CAs", s.LDAPS, func(c *LDAPConfig) { c.CAFile = "" }, []string{"no authority of the system"}},
		{"no CA file", s.LDAPS, func(c *LDAPConfig) { c.CAFile = "/none" }, []string{"/none", "no such file"}},
		{"no CA in the file", s.LDAPS, func(c *LDAPConfig) { c.CAFile = file(t, "x") }, []string{"holds no certificate"}},
		{"other name", s.LDAPS, func(c *LDAPConfig) { c.ServerName = "ldap.example.org" }, []string{`is for "localhost, 127.0.0.1", where "ldap.example.org" is expected`}},
		{"other name, StartTLS", s.URL, func(c *LDAPConfig) { c.ServerName = "ldap.example.org" }, []string{`is for "localhost, 127.0.0.1", where "ldap.example.org" is expected`}},
		{"no such base", s.LDAPS, func(c *LDAPConfig) { c.Base = "ou=none," + base }, []string{"page 1", "No Such Object"}},
		{"a filter for nobody", s.LDAPS, func(c *LDAPConfig) { c.Filter = "(uid=nobody)" }, []string{s.LDAPS, "none of 0 entries"}},
		{"a wrong key attribute", s.LDAPS, func(c *LDAPConfig) { c.Schema.Key = "description" }, []string{"none of 27 entries has the attribute description"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := secured(s, c.url)
			c.change(&config)
			got, err := fetch(t, config)
			wantError(t, got, err, c.want...)
		})
	}
	s.Stop()
	got, err := fetch(t, secured(s, s.LDAPS))
	wantError(t, got, err, s.LDAPS, "connection refused")
}

// A subtree that is elsewhere makes the search an error, until the configuration lists the place as the server writes it: slapd adds
// the scope to the URL of the entry.
func TestSlapdReferral(t *testing.T) {
	s := testenv.StartSlapd(t, render(append(people(), Entry{DN: "ou=elsewhere," + testenv.SlapdPeople, Attributes: []Attribute{
		attribute("objectClass", "referral", "extensibleObject"), attribute("ou", "elsewhere"),
		attribute("ref", "ldap://elsewhere.example.org/ou=people,dc=example,dc=com"),
	}})))
	const place = "ldap://elsewhere.example.org/ou=people,dc=example,dc=com??sub"
	got, err := fetch(t, config(s))
	wantError(t, got, err, "another place", place)
	wantFault(t, err, Referred)
	c := config(s)
	c.Referrals = []string{place}
	if got, err := fetch(t, c); err != nil || got.Len() != 27 {
		t.Error(got, err)
	}
}

// A reader with a limit of size gets a part of the entries, and a result code that says so.
func TestSlapdSizeLimit(t *testing.T) {
	s := testenv.StartSlapdWith(t, render(people()), testenv.SlapdSetup{Database: "sizelimit 5\n"})
	s.Modify("dn: cn=limited," + testenv.SlapdPeople + "\nchangetype: add\nobjectClass: person\ncn: limited\nsn: limited\nuserPassword: correct horse\n")
	for _, page := range []int{3, 100} {
		c := secured(s, s.LDAPS)
		c.BindDN, c.PageSize = "cn=limited,"+testenv.SlapdPeople, page
		got, err := fetch(t, c)
		wantError(t, got, err, "Size Limit Exceeded")
		wantFault(t, err, Refused)
	}
}

// What changes in the directory is in the next registry, and who takes another's name, which his DN does not have, gets nothing.
func TestSlapdChanges(t *testing.T) {
	s := testenv.StartSlapd(t, render(people()))
	s.Modify(fmt.Sprintf("dn: %s\nchangetype: delete\n\ndn: %s\nchangetype: modify\nadd: sshPublicKey\nsshPublicKey: %s\n",
		userDN("odd"), userDN("nokeys"), keyText(77)))
	got, err := fetch(t, config(s))
	if err != nil {
		t.Fatal(err)
	}
	if _, there := got.User("odd"); there {
		t.Error("a deleted user is still there")
	}
	if u, _ := got.User("nokeys"); len(u.Records) != 1 || u.Records[0] != record(t, "nokeys", keyText(77)) {
		t.Errorf("the new key is not there: %+v", u)
	}
	twin := userEntry("user1", 5000)
	twin.DN = "cn=user1," + testenv.SlapdPeople
	_, addition, _ := strings.Cut(strings.Replace(render([]Entry{twin}), "\nobjectClass", "\nchangetype: add\nobjectClass", 1), "\n\n")
	s.Modify(addition)
	got, err = fetch(t, config(s))
	if err != nil {
		t.Fatal(err)
	}
	if u, _ := got.User("user1"); u.UID != 3001 || len(u.Records) != 2 || len(u.Rejects) != 0 {
		t.Errorf("the user whose name was taken is %+v", u)
	}
	if u, there := got.User(fmt.Sprintf("entry %q", twin.DN)); !there || u.UID != -1 || len(u.Records) != 0 || u.Rejects[0].Code != "name-taken" {
		t.Errorf("who has taken it is %+v", u)
	}
}

func TestSlapdContext(t *testing.T) {
	s := testenv.StartSlapd(t, render(people()))
	l, err := NewLDAP(config(s))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := l.Fetch(ctx); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done: %v, %v", got, err)
	}
}

// What a real directory says of accounts and of hosts is asked for by name, and one that hides it from the reader is found out where
// it can be. The class extensibleObject lets an entry have any attribute that the server knows.
func TestSlapdAccounts(t *testing.T) {
	entry := func(name string, uid int, attributes ...string) Entry {
		e := userEntry(name, uid, keyText(byte(uid)))
		e.Attributes[0] = attribute("objectClass", "inetOrgPerson", "posixAccount", "ldapPublicKey", "extensibleObject")
		for i := 0; i < len(attributes); i += 2 {
			e = withAlso(e, attributes[i], attributes[i+1])
		}
		return e
	}
	s := testenv.StartSlapd(t, render([]Entry{
		entry("here", 3001, "host", "login1"), entry("elsewhere", 3002, "host", "login2"), entry("ended", 3003, "host", "*", "shadowExpire", "15000"),
		entry("locked", 3004, "host", "*", "pwdAccountLockedTime", "000001010000Z"),
		entry("noise", 3005, "host", "*", "pwdAccountLockedTime", "20261121120000Z"),
	}))
	c := config(s)
	c.Hosts = Hosts{Attribute: "HOST", Names: []string{"login1"}}
	got, err := fetch(t, c)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for name, want := range map[string]registry.Status{
		"here": registry.Active, "elsewhere": registry.Elsewhere, "ended": registry.Active, "locked": registry.Locked, "noise": registry.Active,
	} {
		if u, _ := got.User(name); u.Status != want || u.Active(now) != (want == registry.Active && name != "ended") || len(u.Records) != 1 {
			t.Errorf("%s is %v until %v, %v", name, u.Status, u.Until, u.Rejects)
		}
	}
	c.Hosts.Attribute = "l" // known to the server, and nobody's
	got, err = fetch(t, c)
	wantError(t, got, err, "none of 5 entries has the attribute l")
	c.Hosts, c.Schema.Control = Hosts{}, "userAccountControl" // unknown to the server
	got, err = fetch(t, c)
	wantError(t, got, err, "none of 5 entries has the attribute userAccountControl")
}
