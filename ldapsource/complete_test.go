package ldapsource

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
)

// A search continuation is passed over where the configuration names its URL, letter by letter, and only there.
func TestReferrals(t *testing.T) {
	config := hostile(t, func(s search) ([]byte, bool) {
		return append(referenceMessage(s.id), honest(s)...), true
	})
	const place = "ldap://elsewhere.example.org/dc=x"
	config.Referrals = []string{"ldap://other.example.org/dc=x", place}
	if got, err := fetch(t, config); err != nil || got.Len() != 4 {
		t.Errorf("with the place on the list: %v", err)
	}
	for _, near := range []string{place + "??sub", "ldap://elsewhere.example.org/", "ldap://ELSEWHERE.example.org/dc=x"} {
		config.Referrals = []string{near}
		got, err := fetch(t, config)
		wantError(t, got, err, "another place", place)
		wantFault(t, err, Referred)
	}
}

func fingerprint(t *testing.T, n byte) string {
	t.Helper()
	line, err := authkeys.ParseValue([]byte(keyText(n)))
	if err != nil {
		t.Fatal(err)
	}
	return line.Key.Fingerprint()
}

// The canary must be there with its key, in the directory and in a file alike; a server without it is left for the next.
func TestCanary(t *testing.T) {
	reply := func(s search) ([]byte, bool) { return honest(s), true }
	config := hostile(t, reply)
	path := file(t, render(crew()))
	for _, c := range []struct {
		name   string
		canary Canary
		want   string
	}{
		{"there", Canary{User: "u2", Fingerprint: fingerprint(t, 2)}, ""},
		{"with another key", Canary{User: "u2", Fingerprint: fingerprint(t, 3)}, `the canary "u2" has 1 keys, and none is SHA256:`},
		{"not there", Canary{User: "u5", Fingerprint: fingerprint(t, 2)}, `the canary "u5" is not among its 4 users`},
		{"in other case", Canary{User: "U2", Fingerprint: fingerprint(t, 2)}, `the canary "U2" is not among`},
	} {
		t.Run(c.name, func(t *testing.T) {
			directory, err := NewLDAP(filled(config))
			if err != nil {
				t.Fatal(err)
			}
			directory.Canary = c.canary
			ldif := NewLDIF(path, posix())
			ldif.Canary = c.canary
			got, err := directory.Fetch(t.Context())
			again, errAgain := ldif.Fetch(t.Context())
			if c.want == "" {
				if err != nil || errAgain != nil {
					t.Error(err, errAgain)
				}
				return
			}
			wantError(t, got, err, config.URLs[0], c.want)
			wantFault(t, err, NoCanary)
			wantError(t, again, errAgain, path, c.want)
			wantFault(t, errAgain, NoCanary)
		})
	}
}

func TestCanaryOfTheNextServer(t *testing.T) {
	empty := hostile(t, func(s search) ([]byte, bool) { // a replica that is not filled yet
		return append(entryMessage(s.id, crew()[0]), pageMessage(s.id, "")...), true
	})
	full := hostile(t, func(s search) ([]byte, bool) { return honest(s), true })
	l := both(t, empty, full)
	l.Canary = Canary{User: "u3", Fingerprint: fingerprint(t, 3)}
	if got, err := l.Fetch(t.Context()); err != nil || got.Source() != full.URLs[0] {
		t.Error(got, err)
	}
}

// Where the reader may not see locks, the locked canary looks like anybody, and nothing is decided.
func TestLockedCanary(t *testing.T) {
	hidden := []Entry{userEntry("alice", 3001, keyText(1)), userEntry("locked", 3002, keyText(2))}
	seen := []Entry{hidden[0], withAlso(hidden[1], "pwdAccountLockedTime", "000001010000Z")}
	for _, c := range []struct {
		entries []Entry
		name    string
		want    string
	}{
		{seen, "locked", ""},
		{hidden, "", ""},
		{hidden, "locked", `the canary "locked" is not there as a locked account`},
		{seen, "alice", `the canary "alice" is not there as a locked account`},
		{seen, "nobody", `the canary "nobody" is not there as a locked account`},
	} {
		ldif := NewLDIF(file(t, render(c.entries)), posix())
		ldif.Canary = Canary{Locked: c.name}
		got, err := ldif.Fetch(t.Context())
		if c.want == "" {
			if err != nil || got.Len() != 2 {
				t.Error(err)
			}
			continue
		}
		wantError(t, got, err, c.want)
		wantFault(t, err, NoCanary)
	}
}

func TestCanaryCheck(t *testing.T) {
	good := fingerprint(t, 1)
	for _, c := range []Canary{{}, {User: "u1", Fingerprint: good}} {
		if err := c.Check(); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
	for _, c := range []Canary{{User: "u1", Fingerprint: ""}, {User: "", Fingerprint: good}, {User: "u1", Fingerprint: "MD5:00:11"}, {User: "u1", Fingerprint: good + "="}, {User: "u1", Fingerprint: good[:40]}, {User: "u1", Fingerprint: "sha256:" + good[7:]}} {
		if c.Check() == nil {
			t.Errorf("%v is taken for a canary", c)
		}
	}
}

// ranged is a server like Active Directory: it gives at most limit values of the key attribute at once. odd may change what it says.
func ranged(entries []Entry, limit int, odd func(s search, low int, e Entry) Entry) answer {
	return func(s search) ([]byte, bool) {
		if s.base == base {
			var reply []byte
			for _, e := range entries {
				reply = append(reply, entryMessage(s.id, part(e, 0, limit))...)
			}
			return append(reply, pageMessage(s.id, "")...), true
		}
		low := 0
		_, _ = fmt.Sscanf(s.attributes[0], "sshPublicKey;range=%d-*", &low)
		for _, e := range entries {
			if e.DN == s.base {
				e = part(e, low, limit)
				e.Attributes = append(e.Attributes, attribute(usn, "7"))
				if odd != nil {
					e = odd(s, low, e)
				}
				return append(entryMessage(s.id, e), doneMessage(s.id, 0)...), true
			}
		}
		return doneMessage(s.id, 32), true
	}
}

// part is an entry as Active Directory shows it: limit values from low on, beside the bare name without values.
func part(e Entry, low, limit int) Entry {
	var keys [][]byte
	for _, a := range e.Attributes {
		if a.Name == "sshPublicKey" {
			keys = a.Values
		}
	}
	if len(keys) <= limit {
		return e
	}
	name, end := fmt.Sprintf("sshPublicKey;range=%d-%d", low, low+limit-1), low+limit
	if end >= len(keys) {
		name, end = fmt.Sprintf("sshPublicKey;range=%d-*", low), len(keys)
	}
	e = with(e, "sshPublicKey")
	e.Attributes = append(e.Attributes, attribute("sshPublicKey"), Attribute{Name: name, Values: keys[low:end]})
	return e
}

func manyKeys(n int) []string {
	var keys []string
	for i := range n {
		keys = append(keys, keyText(byte(i)))
	}
	return keys
}

// Values that come in ranges are all there, whatever the size of the ranges.
func TestRanges(t *testing.T) {
	entries := []Entry{userEntry("few", 1, keyText(200)), userEntry("many", 2, manyKeys(20)...), userEntry("more", 3, manyKeys(31)...)}
	want, err := posix().Decode(entries, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 7, 10, 19, 20, 30, 31} {
		got, err := fetch(t, hostile(t, ranged(entries, limit, nil)))
		if err != nil {
			t.Fatalf("%d values at once: %v", limit, err)
		}
		if d := diff(users(want), users(got)); d != "" {
			t.Errorf("%d values at once: %s", limit, d)
		}
	}
}

// Ranges that do not fit together are an error, never a user with a part of his keys.
func TestRangesThatDoNotFit(t *testing.T) {
	entries := []Entry{userEntry("few", 1, keyText(200)), userEntry("many", 2, manyKeys(20)...)}
	rename := func(low int, name string) func(search, int, Entry) Entry {
		return func(_ search, at int, e Entry) Entry {
			for i := range e.Attributes {
				if at == low && strings.Contains(e.Attributes[i].Name, ";range=") {
					e.Attributes[i].Name = name
				}
			}
			return e
		}
	}
	for _, c := range []struct {
		name  string
		odd   func(search, int, Entry) Entry
		fault Fault
		want  string
	}{
		{"a gap", rename(7, "sshPublicKey;range=8-14"), Incomplete, `"sshPublicKey;range=7-*" was asked for`},
		{"a gap before the last", rename(14, "sshPublicKey;range=15-*"), Incomplete, `"sshPublicKey;range=14-*" was asked for`},
		{"too few", rename(7, "sshPublicKey;range=7-14"), Incomplete, "7 came as"},
		{"no range", rename(7, "sshPublicKey"), Incomplete, "none came"},
		{"another attribute", rename(7, "cn;range=7-13"), Incomplete, "none came"},
		{"no number", rename(7, "sshPublicKey;range=x-13"), Malformed, "no range of values"},
		{"backwards", rename(7, "sshPublicKey;range=7-6"), Malformed, "no range of values"},
		{"another entry", func(_ search, low int, e Entry) Entry {
			if low == 7 {
				e.DN = userDN("few")
			}
			return e
		}, Incomplete, "where that one was asked for"},
		{"a change meanwhile", func(_ search, low int, e Entry) Entry {
			if low == 14 {
				e = with(e, usn, "8")
			}
			return e
		}, Incomplete, "changed while it was read"},
		{"a value that moved", func(_ search, low int, e Entry) Entry {
			if low == 14 {
				last := &e.Attributes[len(e.Attributes)-2]
				last.Values = append([][]byte{[]byte(keyText(3))}, last.Values[1:]...)
			}
			return e
		}, Incomplete, "came twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := fetch(t, hostile(t, ranged(entries, 7, c.odd)))
			wantError(t, got, err, userDN("many"), "the values of sshPublicKey", c.want)
			wantFault(t, err, c.fault)
		})
	}
	got, err := fetch(t, hostile(t, func(s search) ([]byte, bool) {
		e := part(entries[1], 7, 7)
		return bytes.Join([][]byte{entryMessage(s.id, e), pageMessage(s.id, "")}, nil), true
	}))
	wantError(t, got, err, "begins in the middle")
	got, err = fetch(t, hostile(t, func(s search) ([]byte, bool) { // a part, and no more
		if s.base != base {
			return doneMessage(s.id, 50), true
		}
		return append(entryMessage(s.id, part(entries[1], 0, 7)), pageMessage(s.id, "")...), true
	}))
	wantError(t, got, err, "Insufficient Access Rights")
	wantFault(t, err, Refused)
}
