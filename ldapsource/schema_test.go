package ldapsource

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/keyreeve/keyreeve/registry"
)

// crowd gives, for each schema, entries as its directory has them: alice counts, bob is locked, carol's account has ended.
func crowd(preset string) string {
	blob := strings.Fields(keyText(3))[1]
	return map[string]string{
		OpenSSHLPK: render([]Entry{
			userEntry("alice", 3001, keyText(1)),
			withAlso(userEntry("bob", 3002, keyText(2)), "pwdAccountLockedTime", "000001010000Z"),
			withAlso(userEntry("carol", 3003, keyText(3)), "shadowExpire", "15000"),
		}),
		FreeIPA: `
dn: uid=alice,cn=users,cn=accounts,dc=example,dc=org
uid: alice
uidNumber: 3001
gidNumber: 3001
homeDirectory: /home/alice
ipaSshPubKey: ` + keyText(1) + ` alice@pc
nsAccountLock: FALSE
krbPrincipalExpiration: 20990101000000Z

dn: uid=bob,cn=users,cn=accounts,dc=example,dc=org
uid: bob
uidNumber: 3002
gidNumber: 3002
homeDirectory: /home/bob
ipasshpubkey: ` + keyText(2) + `
nsaccountlock: TRUE

dn: uid=carol,cn=users,cn=accounts,dc=example,dc=org
uid: carol
uidNumber: 3003
gidNumber: 3003
homeDirectory: /home/carol
ipaSshPubKey:: ` + blob + `
krbPrincipalExpiration: 20110101000000Z
`,
		DirectoryServer: `
dn: uid=alice,ou=people,dc=example,dc=org
uid: alice
uidNumber: 3001
gidNumber: 3001
homeDirectory: /home/alice
nsSshPublicKey: ` + keyText(1) + `

dn: uid=bob,ou=people,dc=example,dc=org
uid: bob
uidNumber: 3002
gidNumber: 3002
homeDirectory: /home/bob
nsSshPublicKey: ` + keyText(2) + `
nsAccountLock: true
`,
		ActiveDirectory: `
dn: CN=Alice,OU=Staff,DC=example,DC=org
sAMAccountName: alice
uidNumber: 3001
gidNumber: 3001
unixHomeDirectory: /home/alice
userAccountControl: 512
accountExpires: 9223372036854775807
lockoutTime: 134432352000000000
altSecurityIdentities: X509:<I>DC=org,CN=CA<S>CN=Alice
altSecurityIdentities: Kerberos:alice@EXAMPLE.ORG
altSecurityIdentities: SSHKey:` + keyText(1) + `
altSecurityIdentities: sshkey: ` + keyText(4) + ` second
altSecurityIdentities: SSHKey:nonsense

dn: CN=Bob,OU=Staff,DC=example,DC=org
sAMAccountName: bob
uidNumber: 3002
gidNumber: 3002
unixHomeDirectory: /home/bob
userAccountControl: 514
altSecurityIdentities: SSHKey:` + keyText(2) + `

dn: CN=Carol,OU=Staff,DC=example,DC=org
sAMAccountName: carol
uidNumber: 3003
gidNumber: 3003
unixHomeDirectory: /home/carol
userAccountControl: 512
accountExpires: 129383136000000000
altSecurityIdentities: SSHKey:` + keyText(3) + `
`,
	}[preset]
}

func TestPresets(t *testing.T) {
	for _, preset := range Presets() {
		t.Run(preset, func(t *testing.T) {
			schema, filter, known := Preset(preset)
			if _, err := ldap.CompileFilter(filter); err != nil || !known {
				t.Fatalf("filter %s: %v", filter, err)
			}
			keys := 1
			if preset == ActiveDirectory {
				if err := schema.Check(); err == nil || !strings.Contains(err.Error(), "key: no attribute is named") {
					t.Errorf("a directory that has no attribute for keys has one by default: %v", err)
				}
				schema.Key, schema.Prefix, keys = "altSecurityIdentities", "SSHKey:", 2
			}
			if err := schema.Check(); err != nil {
				t.Fatal(err)
			}
			got, err := NewLDIF(file(t, crowd(preset)), Layout{Schema: schema}).Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			alice, _ := got.User("alice")
			if alice.Status != registry.Active || len(alice.Records) != keys || alice.UID != 3001 || alice.Home != "/home/alice" {
				t.Errorf("alice is %+v", alice)
			}
			if len(alice.Rejects) != keys-1 { // of altSecurityIdentities only what should be a key is one that is not
				t.Errorf("alice's rejects are %+v", alice.Rejects)
			}
			bob, _ := got.User("bob")
			if bob.Status == registry.Active || len(bob.Records) != 1 || bob.UID != 3002 || len(bob.Rejects) != 0 {
				t.Errorf("bob is %+v", bob)
			}
			if carol, there := got.User("carol"); there != (preset != DirectoryServer) || there && (carol.Until.Year() != 2011 || len(carol.Records) != 1) {
				t.Errorf("carol is %+v", carol)
			}
		})
	}
	if _, _, known := Preset("nis"); known {
		t.Error("nis is a schema")
	}
}

// Only the values with the prefix are keys; where no value has it, that is a wrong prefix and not an empty registry.
func TestPrefix(t *testing.T) {
	schema := DefaultSchema()
	schema.Prefix = "SSH:"
	got, err := Layout{Schema: schema}.Decode([]Entry{userEntry("alice", 3001, "ssh:"+keyText(1), keyText(2), "SSH:", "SS"), userEntry("bob", 3002, keyText(3))}, "test")
	if err != nil {
		t.Fatal(err)
	}
	alice, _ := got.User("alice")
	bob, _ := got.User("bob")
	if len(alice.Records) != 1 || alice.Records[0] != record(t, "alice", keyText(1)) || len(alice.Rejects) != 1 || len(bob.Records)+len(bob.Rejects) != 0 {
		t.Errorf("alice is %+v, bob %+v", alice, bob)
	}
	_, err = Layout{Schema: schema}.Decode([]Entry{userEntry("alice", 3001, keyText(2))}, "test")
	wantError(t, nil, err, `no value of sshPublicKey begins with "SSH:"`)
}

// Operational attributes come only to who asks for them by name; no name is asked for that is none.
func TestNames(t *testing.T) {
	for preset, want := range map[string]string{
		OpenSSHLPK:      "uid sshPublicKey uidNumber gidNumber homeDirectory mail pwdAccountLockedTime shadowExpire host",
		FreeIPA:         "uid ipaSshPubKey uidNumber gidNumber homeDirectory mail nsAccountLock krbPrincipalExpiration host",
		DirectoryServer: "uid nsSshPublicKey uidNumber gidNumber homeDirectory mail nsAccountLock host",
		ActiveDirectory: "sAMAccountName uidNumber gidNumber unixHomeDirectory mail userAccountControl accountExpires host",
	} {
		schema, _, _ := Preset(preset)
		if got := strings.Join(Layout{Schema: schema, Hosts: Hosts{Attribute: "host"}}.names(), " "); got != want {
			t.Errorf("%s asks for %s", preset, got)
		}
	}
}
