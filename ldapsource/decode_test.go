package ldapsource

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/registry"
)

func encode(value []byte) string { return base64.StdEncoding.EncodeToString(value) }

func TestDecode(t *testing.T) {
	withOptions := `from="192.0.2.0/24" ` + keyText(2) + " laptop"
	folder := Entry{DN: "ou=people," + base, Attributes: []Attribute{attribute("ou", "people")}}
	got, err := posix().Decode([]Entry{
		folder,
		userEntry("bob", 3002, withOptions, keyText(1)+" a", keyText(1)+" b\n", "nonsense"),
		userEntry("alice", 3001, keyText(3)),
		userEntry("carol", 3003),
	}, "test")
	if err != nil {
		t.Fatal(err)
	}
	bob := []registry.Record{record(t, "bob", keyText(1)+" a"), record(t, "bob", withOptions)}
	slices.SortFunc(bob, func(a, b registry.Record) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	want := []registry.User{
		{Name: "alice", UID: 3001, GID: 3002, Home: "/home/alice", Records: []registry.Record{record(t, "alice", keyText(3))}},
		{Name: "bob", UID: 3002, GID: 3003, Home: "/home/bob", Records: bob, Rejects: []registry.Reject{
			{Origin: userDN("bob"), Code: "unparsable", Detail: "sshPublicKey, a value of 8 bytes with the SHA-256 999aaa8645bb...: fewer fields than a key type and a key"},
		}, Remarks: []registry.Reject{
			{Origin: userDN("bob"), Code: "crlf", Detail: record(t, "bob", keyText(1)).Key.Fingerprint() + ": the value ends with a line break, which makes it another value to the directory than without"},
		}},
		{Name: "carol", UID: 3003, GID: 3004, Home: "/home/carol"},
	}
	if d := diff(want, users(got)); d != "" {
		t.Error(d)
	}
	if got.Source() != "test" || got.Keys() != 3 || got.Rejects() != 1 {
		t.Errorf("source %q, %d keys, %d rejects", got.Source(), got.Keys(), got.Rejects())
	}
}

// TestDecodeAccount shows what a broken account costs: the account, and nothing else.
func TestDecodeAccount(t *testing.T) {
	good := userEntry("alice", 3001, keyText(1))
	for _, c := range []struct {
		name   string
		entry  Entry
		reject string
		gid    int
		home   string
	}{
		{"no uid", with(good, "uidNumber"), "uidNumber: no value", 3002, "/home/alice"},
		{"two uids", with(good, "uidNumber", "1", "2"), "uidNumber: 2 values, where one is needed", 3002, "/home/alice"},
		{"a name for a uid", with(good, "uidNumber", "alice"), `uidNumber: "alice" is not the number of an account`, 3002, "/home/alice"},
		{"a negative uid", with(good, "uidNumber", "-1"), `uidNumber: "-1" is not the number of an account`, 3002, "/home/alice"},
		{"a uid with a plus", with(good, "uidNumber", "+7"), `uidNumber: "+7" is not the number of an account`, 3002, "/home/alice"},
		{"a uid with a nought before", with(good, "uidNumber", "07"), `uidNumber: "07" is not the number of an account`, 3002, "/home/alice"},
		{"nobody's uid", with(good, "uidNumber", "4294967295"), `uidNumber: "4294967295" is not the number of an account`, 3002, "/home/alice"},
		{"a uid past 32 bits", with(good, "uidNumber", "4294967296"), `uidNumber: "4294967296" is not the number of an account`, 3002, "/home/alice"},
		{"no gid", with(good, "gidNumber"), "gidNumber: no value", -1, "/home/alice"},
		{"two homes", with(good, "homeDirectory", "/a", "/b"), "homeDirectory: 2 values, where one is needed", 3002, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := posix().Decode([]Entry{c.entry}, "test")
			if err != nil {
				t.Fatal(err)
			}
			want := []registry.User{{
				Name: "alice", UID: -1, GID: c.gid, Home: c.home,
				Records: []registry.Record{record(t, "alice", keyText(1))},
				Rejects: []registry.Reject{{Origin: good.DN, Code: "account", Detail: c.reject}},
			}}
			if d := diff(want, users(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestDecodeName shows that an entry without one usable user name stays visible and grants nothing.
func TestDecodeName(t *testing.T) {
	good, odd := userEntry("alice", 3001, keyText(1)), userEntry("mallory", 3002, keyText(2))
	for _, c := range []struct {
		name   string
		entry  Entry
		reject string
	}{
		{"none", with(odd, "uid"), "uid: no value"},
		{"two", with(odd, "uid", "mallory", "root"), "uid: 2 values, where one is needed"},
		{"empty", with(odd, "uid", ""), "uid: an empty value"},
		{"a newline", with(odd, "uid", "mal\nlory"), `uid: "mal\nlory" holds control bytes`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := posix().Decode([]Entry{good, c.entry}, "test")
			if err != nil {
				t.Fatal(err)
			}
			u, ok := got.User(`entry "uid=mallory,ou=people,dc=example,dc=org"`)
			want := registry.User{Name: u.Name, UID: -1, GID: -1, Rejects: []registry.Reject{{Origin: odd.DN, Code: "account", Detail: c.reject}}}
			if d := diff([]registry.User{want}, []registry.User{u}); !ok || d != "" {
				t.Error(ok, d)
			}
			if got.Len() != 2 || got.Keys() != 1 {
				t.Errorf("%d users with %d keys, want 2 with 1", got.Len(), got.Keys())
			}
		})
	}
}

func TestDecodeAttributeNames(t *testing.T) {
	e := userEntry("alice", 3001)
	for i := range e.Attributes {
		e.Attributes[i].Name = strings.ToUpper(e.Attributes[i].Name)
	}
	for _, name := range []string{"SSHPUBLICKEY", "sshPublicKey;binary", "sshpublickey;x-site;binary", "sshPublicKey;range=0-*"} {
		keyed := e
		keyed.Attributes = append(slices.Clone(e.Attributes), attribute(name, keyText(1)))
		got, err := posix().Decode([]Entry{keyed}, "test")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if u, ok := got.User("alice"); !ok || u.UID != 3001 || len(u.Records) != 1 || len(u.Rejects) != 0 {
			t.Errorf("%s: %+v", name, u)
		}
	}
	other := Schema{User: "sAMAccountName", Key: "altSecurityIdentities", UID: "u", GID: "g", Home: "unixHomeDirectory"}
	got, err := Layout{Schema: other}.Decode([]Entry{{DN: "cn=A", Attributes: []Attribute{
		attribute("samaccountname", "alice"), attribute("U", "7"), attribute("g", "8"), attribute("unixHomeDirectory", "/h"),
		attribute("altSecurityIdentities", keyText(1)), attribute("sshPublicKey", keyText(2)),
	}}}, "test")
	if err != nil || got.Keys() != 1 || got.Rejects() != 0 {
		t.Error(got, err)
	}
}

func TestDecodeBlob(t *testing.T) {
	want := record(t, "alice", keyText(1))
	got, err := posix().Decode([]Entry{userEntry("alice", 3001, string(want.Key.Wire()))}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if u, _ := got.User("alice"); len(u.Records) != 1 || u.Records[0] != want {
		t.Errorf("got %+v, want %+v", u.Records, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	alice := userEntry("alice", 3001, keyText(1))
	ranged := userEntry("bob", 3002)
	ranged.Attributes = append(ranged.Attributes, attribute("sshPublicKey;range=0-1499", keyText(2)))
	for _, c := range []struct {
		name    string
		entries []Entry
		want    string
	}{
		{"nothing", nil, "none of 0 entries has the attribute sshPublicKey"},
		{"no key attribute", []Entry{userEntry("alice", 3001), userEntry("bob", 3002)}, "none of 2 entries has the attribute sshPublicKey"},
		{"no usable key", []Entry{userEntry("alice", 3001, "nonsense")}, "none of its 1 users has a usable key"},
		{"names hidden", []Entry{with(alice, "uid")}, "none of its 1 users has a usable key"},
		{"a part of the values", []Entry{alice, ranged}, "a part of its keys only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := posix().Decode(c.entries, "ldaps://server")
			wantError(t, got, err, "ldaps://server: ", c.want)
		})
	}
}

func TestLabel(t *testing.T) {
	for in, want := range map[string]string{
		"laptop, 2026":                 "laptop, 2026",
		"a\tb\x1b[31m":                 "a?b?[31m",
		"evil\u202egnp":                "evil?gnp",
		"\xff":                         "\ufffd",
		strings.Repeat("é", 200):       strings.Repeat("é", 128),
		"x" + strings.Repeat("é", 200): "x" + strings.Repeat("é", 127),
	} {
		if got := label(in); got != want {
			t.Errorf("label(%q) = %q, want %q", in, got, want)
		}
	}
}

// A directory keeps neither entries nor values in order, so that the order must not matter.
func TestDecodeOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var entries []Entry
		for i := range rapid.IntRange(1, 4).Draw(t, "users") {
			keys := rapid.SliceOfN(rapid.SampledFrom([]string{
				keyText(1), keyText(1) + " a", keyText(1) + " b", "restrict " + keyText(1), keyText(2), "bad", "worse", "",
			}), 0, 6).Draw(t, "keys")
			entries = append(entries, userEntry(fmt.Sprint("u", i), 3000+i, append(keys, keyText(9))...))
		}
		first, err := posix().Decode(entries, "test")
		if err != nil {
			t.Fatal(err)
		}
		shuffled := rapid.Permutation(entries).Draw(t, "order")
		for i, e := range shuffled {
			for _, a := range e.Attributes {
				if a.Name == "sshPublicKey" {
					values := rapid.Permutation(a.Values).Draw(t, "values")
					shuffled[i].Attributes = append(with(e, a.Name).Attributes, Attribute{Name: a.Name, Values: values})
				}
			}
		}
		second, err := posix().Decode(shuffled, "test")
		if err != nil {
			t.Fatal(err)
		}
		if d := diff(users(first), users(second)); d != "" {
			t.Error(d)
		}
	})
}

// FuzzDecode: one user's strange values never cost another user anything, nothing that is shown is raw, and an
// account ends at a moment that can be written down.
func FuzzDecode(f *testing.F) {
	f.Add("bob", "3002", "/home/bob", []byte(keyText(2)), "sshPublicKey", "nsAccountLock", "TRUE")
	f.Add("alice", "x", "", []byte("\x00\x00\x00\x0bssh-ed25519"), "sshPublicKey;range=0-1", "userAccountControl", "514")
	f.Add("", "-1", "/", []byte(`command="x" ssh-rsa AAAA`), "SSHPUBLICKEY;binary", "shadowExpire", "-2")
	f.Add("a\x00b", "4294967295", "/home/\xff", []byte("\xff\n\n"), ";", "KRBPRINCIPALEXPIRATION", "2026010100.5+0130")
	f.Add("bob", "3002", "/home/bob", []byte("-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3BlbnNzaC1rZXktdjEA"), "sshPublicKey", "accountExpires", "9223372036854775807")
	f.Add("bob", "3002", "/home/bob", []byte(keyText(2)+"\r\n\x00"), "sshPublicKey", "pwdAccountLockedTime", "000001010000Z")
	f.Add("bob", "3002", "/home/bob", []byte(keyText(2)), "sshPublicKey", "host", "!here")
	schema := every()
	schema.Control = ""
	layout := Layout{Schema: schema}
	alice := userEntry("alice", 3001, keyText(1))
	f.Fuzz(func(t *testing.T, name, uid, home string, key []byte, keyName, lock, value string) {
		odd := with(with(with(userEntry("bob", 3002), "uid", name), "uidNumber", uid), "homeDirectory", home)
		odd.Attributes = append(odd.Attributes, Attribute{Name: keyName, Values: [][]byte{key}})
		odd = withAlso(odd, lock, value)
		got, err := layout.Decode([]Entry{odd, alice}, "test")
		if err != nil {
			if name != "alice" && !strings.Contains(strings.ToLower(keyName+lock), "range=") && !strings.EqualFold(keyName, "uid") && !strings.EqualFold(lock, "uid") {
				t.Fatalf("the whole registry fell: %v", err)
			}
			return
		}
		if u, _ := got.User("alice"); u.UID != 3001 || len(u.Records) != 1 || len(u.Rejects) != 0 || u.Status != registry.Active {
			t.Errorf("alice is now %+v", u)
		}
		for u := range got.Users() {
			for _, r := range u.Records {
				if r.Key.IsZero() {
					t.Errorf("%q has a record without a key", u.Name)
				}
			}
			if y := u.Until.Year(); y != 1 && (y < 1970 || y > 9999) || y == 1 && !u.Until.IsZero() {
				t.Errorf("%q ends in %v", u.Name, u.Until)
			}
			for _, r := range slices.Concat(u.Rejects, u.Remarks) {
				if r.Code == "" || len(r.Detail) > 1024 || strings.ContainsFunc(r.Detail, func(c rune) bool { return c < ' ' || c > '~' }) {
					t.Errorf("reject %q is not short plain ASCII", r.Detail)
				}
			}
		}
	})
}
