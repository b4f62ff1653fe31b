package ldapsource

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/registry"
)

// every asks for each attribute that says whether an account counts.
func every() Schema {
	s := DefaultSchema()
	s.Locked, s.Control, s.ExpiresTime, s.ExpiresFiletime = "nsAccountLock", "userAccountControl", "krbPrincipalExpiration", "accountExpires"
	return s
}

// withAlso returns an entry with one more attribute.
func withAlso(e Entry, name string, values ...string) Entry {
	e.Attributes = append(slices.Clone(e.Attributes), attribute(name, values...))
	return e
}

// Each attribute in each of its forms, from both sides; what cannot be read makes the account one that does not count.
func TestStatus(t *testing.T) {
	date := func(y, m, d, hour, minute, second, nano int) time.Time {
		return time.Date(y, time.Month(m), d, hour, minute, second, nano, time.UTC)
	}
	const (
		active, locked, disabled = registry.Active, registry.Locked, registry.Disabled
		unclear                  = registry.Status(-1) // disabled, with a reject
	)
	for _, c := range []struct {
		attribute, value string
		want             registry.Status
		until            time.Time
	}{
		{"nsAccountLock", "TRUE", locked, time.Time{}},
		{"NSACCOUNTLOCK", "true", locked, time.Time{}},
		{"nsAccountLock", "FALSE", active, time.Time{}},
		{"nsAccountLock", "yes", unclear, time.Time{}},
		{"nsAccountLock", "", unclear, time.Time{}},

		{"pwdAccountLockedTime", "000001010000Z", locked, time.Time{}},
		{"pwdAccountLockedTime", "00000101000000Z", locked, time.Time{}},
		{"pwdAccountLockedTime", "20261121120000Z", active, time.Time{}},
		{"pwdAccountLockedTime", "20261121120000.123456Z", active, time.Time{}},
		{"pwdAccountLockedTime", "now", unclear, time.Time{}},

		{"userAccountControl", "512", active, time.Time{}},
		{"userAccountControl", "514", disabled, time.Time{}},
		{"userAccountControl", "66050", disabled, time.Time{}},
		{"userAccountControl", "528", active, time.Time{}}, // ADS_UF_LOCKOUT: too many wrong passwords
		{"userAccountControl", "-2147483136", active, time.Time{}},
		{"userAccountControl", "-2147483134", disabled, time.Time{}},
		{"userAccountControl", "0x202", unclear, time.Time{}},
		{"userAccountControl", "4294967298", unclear, time.Time{}},

		{"shadowExpire", "20000", active, date(2024, 10, 4, 0, 0, 0, 0)},
		{"shadowExpire", "-1", active, time.Time{}},
		{"shadowExpire", "", active, time.Time{}},
		{"shadowExpire", "0", active, date(1970, 1, 1, 0, 0, 0, 0)},
		{"shadowExpire", "99999999", active, time.Time{}}, // after the year 9999
		{"shadowExpire", "-7", unclear, time.Time{}},
		{"shadowExpire", "never", unclear, time.Time{}},
		{"shadowExpire", "99999999999", unclear, time.Time{}},

		{"krbPrincipalExpiration", "20261231235959Z", active, date(2026, 12, 31, 23, 59, 59, 0)},
		{"krbPrincipalExpiration", "202612312359Z", active, date(2026, 12, 31, 23, 59, 0, 0)},
		{"krbPrincipalExpiration", "2026123123Z", active, date(2026, 12, 31, 23, 0, 0, 0)},
		{"krbPrincipalExpiration", "2026123123.5Z", active, date(2026, 12, 31, 23, 30, 0, 0)},
		{"krbPrincipalExpiration", "20261231235959,5Z", active, date(2026, 12, 31, 23, 59, 59, 500_000_000)},
		{"krbPrincipalExpiration", "20270101005959+0100", active, date(2026, 12, 31, 23, 59, 59, 0)},
		{"krbPrincipalExpiration", "20261231235959-01", active, date(2027, 1, 1, 0, 59, 59, 0)},
		{"krbPrincipalExpiration", "00010101000000Z", active, date(1970, 1, 1, 0, 0, 0, 0)}, // not Go's "no time"
		{"krbPrincipalExpiration", "00000101000000+0100", active, date(1970, 1, 1, 0, 0, 0, 0)},
		{"krbPrincipalExpiration", "20261231235959", unclear, time.Time{}},
		{"krbPrincipalExpiration", "20261331235959Z", unclear, time.Time{}},
		{"krbPrincipalExpiration", "20261231235959.xZ", unclear, time.Time{}},
		{"krbPrincipalExpiration", "2026-12-31T23:59:59Z", unclear, time.Time{}},
		{"krbPrincipalExpiration", "", unclear, time.Time{}},

		{"accountExpires", "0", active, time.Time{}},
		{"accountExpires", "9223372036854775807", active, time.Time{}},
		{"accountExpires", "9223372036854775806", active, time.Time{}}, // after the year 9999
		{"accountExpires", "134432352000000001", active, date(2027, 1, 1, 0, 0, 0, 100)},
		{"accountExpires", "1", active, date(1970, 1, 1, 0, 0, 0, 0)},
		{"accountExpires", "-1", unclear, time.Time{}},
		{"accountExpires", "9223372036854775808", unclear, time.Time{}},
	} {
		t.Run(c.attribute+" "+c.value, func(t *testing.T) {
			schema := every()
			if !strings.EqualFold(c.attribute, schema.Control) {
				schema.Control = ""
			}
			e := withAlso(userEntry("alice", 3001, keyText(1)), c.attribute, c.value)
			got, err := Layout{Schema: schema}.Decode([]Entry{e}, "test")
			if err != nil {
				t.Fatal(err)
			}
			u, _ := got.User("alice")
			want, rejects := c.want, 0
			if c.want == unclear {
				want, rejects = disabled, 1
			}
			if u.Status != want || !u.Until.Equal(c.until) || u.Until.IsZero() != c.until.IsZero() || len(u.Rejects) != rejects {
				t.Errorf("%v until %v, %v; want %v until %v", u.Status, u.Until, u.Rejects, c.want, c.until)
			}
			if rejects == 1 && (u.Rejects[0].Code != "account" || !strings.Contains(u.Rejects[0].Detail, "taken for disabled")) {
				t.Errorf("reject %+v", u.Rejects[0])
			}
			if len(u.Records) != 1 || u.UID != 3001 {
				t.Errorf("a locked account is still one with keys that are known: %+v", u)
			}
		})
	}
}

// Of several words the worst counts, and of several ends the earliest; two values of one attribute are no word at all.
func TestStatusOfSeveral(t *testing.T) {
	alice := withAlso(withAlso(userEntry("alice", 3001, keyText(1)), "userAccountControl", "512"), "nsAccountLock", "FALSE")
	for name, c := range map[string]struct {
		entry Entry
		want  registry.Status
		until int
	}{
		"one of two locks": {with(alice, "userAccountControl", "514"), registry.Disabled, 0},
		"both locks":       {with(with(alice, "nsAccountLock", "TRUE"), "userAccountControl", "514"), registry.Locked, 0},
		"two ends":         {withAlso(withAlso(alice, "krbPrincipalExpiration", "20290101000000Z"), "shadowExpire", "20820"), registry.Active, 2027},
		"two ends, other":  {withAlso(withAlso(alice, "krbPrincipalExpiration", "20260101000000Z"), "shadowExpire", "20820"), registry.Active, 2026},
		"an end and none":  {withAlso(withAlso(alice, "krbPrincipalExpiration", "20290101000000Z"), "accountExpires", "0"), registry.Active, 2029},
		"two values":       {with(alice, "nsAccountLock", "FALSE", "TRUE"), registry.Disabled, 0},
		"a lock, an end":   {withAlso(with(alice, "nsAccountLock", "TRUE"), "shadowExpire", "20820"), registry.Locked, 2027},
		"hidden":           {with(alice, "userAccountControl"), registry.Disabled, 0}, // every account has it
		"none of the rest": {with(alice, "nsAccountLock"), registry.Active, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bob := withAlso(userEntry("bob", 3002, keyText(2)), "userAccountControl", "512")
			got, err := Layout{Schema: every()}.Decode([]Entry{c.entry, bob}, "test")
			if err != nil {
				t.Fatal(err)
			}
			u, _ := got.User("alice")
			if u.Status != c.want || u.Until.IsZero() != (c.until == 0) || c.until != 0 && u.Until.Year() != c.until {
				t.Errorf("%v until %v", u.Status, u.Until)
			}
			if b, _ := got.User("bob"); b.Status != registry.Active || len(b.Rejects) != 0 {
				t.Errorf("bob is %+v", b)
			}
		})
	}
	_, err := Layout{Schema: every()}.Decode([]Entry{userEntry("alice", 3001, keyText(1))}, "test")
	wantError(t, nil, err, "none of 1 entries has the attribute userAccountControl")
}

func TestHosts(t *testing.T) {
	own := Hosts{Attribute: "host", Names: []string{"login1.example.org", "head-nodes"}}
	for values, want := range map[string]registry.Status{
		"login1.example.org":                   registry.Active,
		"LOGIN1.Example.ORG":                   registry.Active,
		" head-nodes ":                         registry.Active,
		"login2|head-nodes":                    registry.Active,
		"*":                                    registry.Active,
		"*|!login2":                            registry.Active,
		"*|!head-nodes":                        registry.Elsewhere,
		"!head-nodes|head-nodes":               registry.Elsewhere,
		"login1.example.org|!HEAD-NODES":       registry.Elsewhere,
		"!*|login1.example.org":                registry.Elsewhere,
		"!login2":                              registry.Elsewhere,
		"login1":                               registry.Elsewhere,
		"login1.example.org.evil.example":      registry.Elsewhere,
		"":                                     registry.Elsewhere,
		"login1.example.org\x00|*.example.org": registry.Elsewhere,
	} {
		alice := withAlso(userEntry("alice", 3001, keyText(1)), "Host", strings.Split(values, "|")...)
		none := userEntry("none", 3002, keyText(2))
		off := withAlso(withAlso(userEntry("off", 3003, keyText(3)), "host", "login2"), "pwdAccountLockedTime", "000001010000Z")
		got, err := Layout{Schema: DefaultSchema(), Hosts: own}.Decode([]Entry{alice, none, off}, "test")
		if err != nil {
			t.Fatal(err)
		}
		a, _ := got.User("alice")
		n, _ := got.User("none")
		o, _ := got.User("off")
		if a.Status != want || n.Status != registry.Elsewhere || o.Status != registry.Locked {
			t.Errorf("%q: %v, without the attribute %v, locked elsewhere %v", values, a.Status, n.Status, o.Status)
		}
	}
	// An attribute that nobody has may be one that the reader may not see: nobody is somewhere else because of it.
	_, err := Layout{Schema: DefaultSchema(), Hosts: own}.Decode([]Entry{userEntry("alice", 3001, keyText(1))}, "test")
	wantError(t, nil, err, "none of 1 entries has the attribute host")
}

func TestHostsCheck(t *testing.T) {
	for want, h := range map[string]Hosts{
		"":                        {Attribute: "host", Names: []string{"a", "b.c"}},
		"names without":           {Names: []string{"a"}},
		"without names":           {Attribute: "host"},
		`"*" is not the name`:     {Attribute: "host", Names: []string{"a", "*"}},
		`"!a" is not the name`:    {Attribute: "host", Names: []string{"!a"}},
		`" a" is not the name`:    {Attribute: "host", Names: []string{" a"}},
		`"" is not the name of a`: {Attribute: "host", Names: []string{""}},
		`"x y" is not the name`:   {Attribute: "x y", Names: []string{"a"}},
	} {
		if err := h.Check(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", h, err, want)
		}
	}
	if err := (Hosts{}).Check(); err != nil {
		t.Error(err)
	}
}
