package ldapsource

import (
	"slices"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/registry"
)

// A name that several entries have is the one's whose DN has it, and else is to be decided by who had it before.
func TestContested(t *testing.T) {
	alice, zoe := userEntry("alice", 3001, keyText(1)), userEntry("zoe", 3009, keyText(9))
	named := func(dn string, e Entry) Entry { e.DN = dn; return e }
	mallory := named("cn=mallory,"+base, with(userEntry("mallory", 3002, keyText(2)), "uid", "alice"))
	plain := named("cn=alice,"+base, alice)
	for name, c := range map[string]struct {
		entries []Entry
		claims  int
		uid     int
	}{
		"taken":                   {[]Entry{mallory, alice}, 1, 3001},
		"taken twice":             {[]Entry{mallory, alice, named("cn=m2,"+base, mallory)}, 1, 3001},
		"of two parts":            {[]Entry{mallory, named("cn=a+UID=alice,"+base, alice)}, 1, 3001},
		"no DN has it":            {[]Entry{mallory, plain}, 2, -1},
		"two have it":             {[]Entry{alice, named("uid=alice,ou=others,"+base, alice)}, 2, -1},
		"a DN has it further up":  {[]Entry{mallory, named("cn=a,uid=alice,"+base, alice)}, 2, -1},
		"in another case":         {[]Entry{mallory, named("uid=Alice,"+base, alice)}, 2, -1},
		"what nobody's is called": {[]Entry{named("cn=1,"+base, with(mallory, "uid")), named("cn=2,"+base, with(mallory, "uid", `entry "cn=1,`+base+`"`)), alice}, 1, 3001},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := posix().Decode(append(c.entries, zoe), "")
			if err != nil {
				t.Fatal(err)
			}
			u, there := got.User("alice")
			if claims := len(got.Claims("alice")); !there || u.UID != c.uid || claims != c.claims || (len(u.Records) == 1) != (c.uid == 3001) {
				t.Errorf("%d claims, %+v", claims, u)
			}
			slices.Reverse(c.entries)
			again, err := posix().Decode(append(c.entries, zoe), "")
			if d := diff(users(got), users(again)); err != nil || d != "" {
				t.Errorf("in another order: %v, %s", err, d)
			}
		})
	}
}

// Who takes another's name stops no reading, of all or of one, nor does he hide the canary.
func TestSlapdContested(t *testing.T) {
	entries := people()
	for i := range entries { // of a directory whose DNs have no user's name
		entries[i].DN = "cn" + entries[i].DN[len("uid"):]
	}
	s := testenv.StartSlapd(t, render(append(entries, userEntry("plain", 4100, keyText(70)))))
	l, err := NewLDAP(config(s))
	if err != nil {
		t.Fatal(err)
	}
	l.Canary = Canary{User: "user24", Fingerprint: fingerprint(t, 24)}
	before, err := l.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for thief, victim := range map[string]string{"user7": "user3", "user8": "user24", "user9": "plain"} {
		s.Modify("dn: cn" + userDN(thief)[len("uid"):] + "\nchangetype: modify\nreplace: uid\nuid: " + victim + "\n")
	}
	got, err := l.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	settled, contests := got.Settled(before)
	if len(contests) != 2 {
		t.Errorf("%q", contests)
	}
	for _, victim := range []string{"user3", "user24", "plain"} {
		want, _ := before.User(victim)
		now, _ := settled.User(victim)
		if d := diff([]registry.User{want}, []registry.User{now}); d != "" {
			t.Errorf("%s: %s", victim, d)
		}
	}
	for name, alone := range map[string]bool{"user5": true, "plain": true, "user3": false, "user24": false, "user7": false} {
		if u, found, err := l.FetchUser(t.Context(), name); (err == nil) != alone || found != alone || found && len(u.Records) == 0 {
			t.Errorf("%s, read alone: %v, %+v, %v", name, found, u, err)
		}
	}
}

// Who names the witness in his own entry keeps nobody from being read alone.
func TestFetchUserBesideWitness(t *testing.T) {
	for name, change := range map[string]string{
		"a second name":  "add: uid\nuid: user24\n",
		"a tagged value": "add: uid;lang-en\nuid;lang-en: user24\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := testenv.StartSlapd(t, render(people()))
			l, err := NewLDAP(config(s))
			if err != nil {
				t.Fatal(err)
			}
			l.Canary = Canary{User: "user24", Fingerprint: fingerprint(t, 24)}
			s.Modify("dn: " + userDN("user7") + "\nchangetype: modify\n" + change)
			if _, err := l.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			if u, found, err := l.FetchUser(t.Context(), "odd"); err != nil || !found || len(u.Records) != 2 {
				t.Errorf("%v, %+v, %v", found, u, err)
			}
			if _, found, err := l.FetchUser(t.Context(), "nobody"); err == nil || found {
				t.Errorf("somebody else came, and that is taken for nobody: %v", found)
			}
		})
	}
}

// Where the name service knows small letters alone, a name has them, whatever the entry says; who has another's but for that contests it.
func TestNamesFold(t *testing.T) {
	layout := posix()
	layout.Schema.Lower = true
	mallory := with(userEntry("mallory", 3002, keyText(2)), "uid", "ALICE")
	mallory.DN = "cn=mallory," + base
	kelvin := with(userEntry("kim", 3003, keyText(3)), "uid", "\u212aim")
	shown := with(userEntry("entry", 3004, keyText(4)), "uid", `Entry "cn=x"`)
	got, err := layout.Decode([]Entry{userEntry("Alice", 3001, keyText(1)), userEntry("Ada.L", 3005, keyText(5)), userEntry("kim", 3006, keyText(6)), mallory, kelvin, shown}, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, uid := range map[string]int{"alice": 3001, "ada.l": 3005, "kim": 3006} {
		if u, _ := got.User(name); u.UID != uid || len(got.Claims(name)) != 1 {
			t.Errorf("%s: %d claims, %+v", name, len(got.Claims(name)), u)
		}
	}
	if u, there := got.User(`entry "cn=x"`); there {
		t.Errorf("an entry has a name that is for nobody: %+v", u)
	}
	if _, err := (Canary{User: "ALICE", Fingerprint: fingerprint(t, 1), Locked: ""}).folded(layout.Schema).proven(got, nil); err != nil {
		t.Error(err)
	}
}
