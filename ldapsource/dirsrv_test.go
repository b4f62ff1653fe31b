package ldapsource

import (
	"fmt"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/registry"
)

// account is an entry as 389 Directory Server's own tools make it.
func account(name string, uid int, keys ...string) Entry {
	return Entry{DN: userDN(name), Attributes: []Attribute{
		attribute("objectClass", "nsPerson", "nsAccount", "nsOrgPerson", "posixAccount"),
		attribute("uid", name), attribute("cn", name), attribute("displayName", name),
		attribute("uidNumber", fmt.Sprint(uid)), attribute("gidNumber", fmt.Sprint(uid)), attribute("homeDirectory", "/home/"+name),
		attribute("nsSshPublicKey", keys...),
	}}
}

// A real 389 Directory Server says success, and nobody, to a reader whose ACI was lost, and shows users without their keys to one who may
// not see them: neither is a registry. Who is locked is so by nsAccountLock.
func TestDirsrv(t *testing.T) {
	locked := withAlso(account("bob", 3002, keyText(3)), "nsAccountLock", "true")
	reader := func(name string, more ...string) Entry {
		e := Entry{DN: "cn=" + name + "," + base, Attributes: []Attribute{
			attribute("objectClass", "person"), attribute("cn", name), attribute("sn", name), attribute("userPassword", testenv.DirsrvPassword),
		}}
		for i := 0; i < len(more); i += 2 {
			e = withAlso(e, more[i], more[i+1])
		}
		return e
	}
	aci := func(name, targets string) string {
		return fmt.Sprintf(`(targetattr="%s")(version 3.0; acl "%s"; allow(read,search,compare) userdn="ldap:///cn=%s,%s";)`, targets, name, name, base)
	}
	s := testenv.StartDirsrv(t, render([]Entry{
		{DN: base, Attributes: []Attribute{
			attribute("objectClass", "domain"), attribute("dc", "example"),
			attribute("aci", aci("reader", "*"), aci("limited", "*"), aci("blind", "objectClass || uid || uidNumber || gidNumber || homeDirectory")),
		}},
		{DN: testenv.SlapdPeople, Attributes: []Attribute{attribute("objectClass", "organizationalUnit"), attribute("ou", "people")}},
		reader("reader"), reader("limited", "nsSizeLimit", "2"), reader("blind"), reader("stranger"),
		account("alice", 3001, keyText(1), keyText(2)), locked, account("carol", 3003, keyText(4)),
	}))
	schema, filter, _ := Preset(DirectoryServer)
	as := func(name string) (*registry.Snapshot, error) {
		return fetch(t, LDAPConfig{
			URLs: []string{s.LDAPI}, BindDN: "cn=" + name + "," + base, PasswordFile: s.PasswordFile, Base: base, PageSize: 2,
			Preset: DirectoryServer, Schema: schema, Filter: filter,
		})
	}
	got, err := as("reader")
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]int{"alice": 2, "bob": 1, "carol": 1} {
		want := registry.Active
		if name == "bob" {
			want = registry.Locked
		}
		if u, _ := got.User(name); len(u.Records) != keys || u.Status != want {
			t.Errorf("%s has %d keys and is %v, want %d, %v", name, len(u.Records), u.Status, keys, want)
		}
	}
	for _, c := range []struct {
		reader, text string
		fault        Fault
	}{
		{"stranger", "none of 0 entries", Hidden},
		{"blind", "none of 3 entries has the attribute nsSshPublicKey", Hidden},
		{"limited", "Size Limit Exceeded", Refused},
	} {
		got, err := as(c.reader)
		wantError(t, got, err, c.text)
		wantFault(t, err, c.fault)
	}
}
