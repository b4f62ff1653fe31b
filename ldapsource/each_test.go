package ldapsource

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/registry"
)

// fat is a user who wrote n values of a size into his own entry, beside a key.
func fat(name string, uid, n, size int) Entry {
	values := []string{keyText(byte(uid))}
	for i := range n {
		values = append(values, fmt.Sprintf("%08d", i)+strings.Repeat("x", size-8))
	}
	return userEntry(name, uid, values...)
}

// Whatever some users write into their own entries costs them alone, and all others' keys count, in a reading of everybody, of one
// user, and in a file. slapd takes values like these from whoever may write his entry.
func TestSlapdFat(t *testing.T) {
	const mib = 1 << 20
	for name, fats := range map[string][]Entry{
		"one of 40 MiB":       {fat("zfat1", 5001, 640, 64<<10)},
		"one of small values": {fat("zfat1", 5001, 100_000, 8)},
		"two":                 {fat("fat1", 5001, 1, 2*mib), fat("zfat2", 5002, 5, mib)},
		"fifty":               nil,
	} {
		t.Run(name, func(t *testing.T) {
			for i := 0; name == "fifty" && i < 50; i++ {
				fats = append(fats, fat(fmt.Sprint("fat", i), 5000+i, 2, mib))
			}
			text := render(slices.Concat(fats[:len(fats)/2], people(), fats[len(fats)/2:]))
			c := config(testenv.StartSlapd(t, text))
			want, err := NewLDIF(file(t, text), c.layout()).Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l, err := NewLDAP(c)
			if err != nil {
				t.Fatal(err)
			}
			l.Canary = Canary{User: "user24", Fingerprint: fingerprint(t, 24)}
			got, err := l.Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(users(want), users(got)); d != "" || got.Len() != 27+len(fats) {
				t.Errorf("%d users: %s", got.Len(), d)
			}
			for _, e := range fats[:min(2, len(fats))] {
				name, _ := e.one("uid")
				wantFat(t, l, got, name)
			}
			if u, found, err := l.FetchUser(t.Context(), "odd"); err != nil || !found || len(u.Records) != 2 {
				t.Errorf("another one, read alone: %+v, %v", u, err)
			}
		})
	}
}

// wantFat fails the test unless a user is there with his account, without keys, and told by name: his files are looked at, and
// nothing stays in them.
func wantFat(t *testing.T, l *LDAP, whole *registry.Snapshot, name string) {
	t.Helper()
	u, there := whole.User(name)
	if !there || u.UID < 5000 || u.Home != "/home/"+name || u.Status != registry.Active || len(u.Records) != 0 || len(u.Rejects) != 1 {
		t.Fatalf("%s is %+v", name, u)
	}
	if r := u.Rejects[0]; r.Code != "too-big" || r.Origin != userDN(name) || r.Detail != "sshPublicKey: more than 512 KiB of values, of which none counts" {
		t.Errorf("%s is told as %+v", name, r)
	}
	alone, found, err := l.FetchUser(t.Context(), name)
	if d := diff([]registry.User{u}, []registry.User{alone}); err != nil || !found || d != "" {
		t.Errorf("%s, read alone: %v, %s", name, err, d)
	}
}

// directory answers as a server that has some entries: pages of two, and single ones, with the attributes that are asked for.
func directory(entries ...Entry) answer {
	return func(s search) ([]byte, bool) {
		var reply []byte
		if s.base != base {
			for _, e := range entries {
				if e.DN == s.base {
					reply = entryMessage(s.id, only(e, s.attributes))
				}
			}
			return append(reply, doneMessage(s.id, 0)...), true
		}
		from, _ := strconv.Atoi(s.cookie)
		for _, e := range entries[from:min(from+2, len(entries))] {
			reply = append(reply, entryMessage(s.id, only(e, s.attributes))...)
		}
		cookie := ""
		if from+2 < len(entries) {
			cookie = strconv.Itoa(from + 2)
		}
		return append(reply, pageMessage(s.id, cookie)...), true
	}
}

// only leaves of an entry the attributes that were asked for.
func only(e Entry, names []string) Entry {
	e.Attributes = slices.DeleteFunc(slices.Clone(e.Attributes), func(a Attribute) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, a.base()) })
	})
	return e
}

// huge begins a message that never ends: an entry with a value of 4 GiB.
func huge(s search, dn string) []byte {
	head := group(ber.ClassUniversal, ber.TagSequence, integer(ber.TagInteger, s.id), group(ber.ClassApplication, tagEntry, octets(dn))).Bytes()
	body := head[2:]
	return append([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, body...)
}

func TestFatEntries(t *testing.T) {
	big := strings.Repeat("x", 600<<10)
	alice, bob := userEntry("alice", 3001, keyText(1)), userEntry("bob", 3002, keyText(2))
	for name, c := range map[string]struct {
		entry  Entry
		user   string
		uid    int
		status registry.Status
		keys   int
		detail string
	}{
		"keys that fill no message": {with(bob, "sshPublicKey", keyText(2), big), "bob", 3002, registry.Active, 0, "sshPublicKey: more than 512 KiB"},
		"keys that fill one":        {with(bob, "sshPublicKey", keyText(2), big, big+"y"), "bob", 3002, registry.Active, 0, "sshPublicKey: more than 512 KiB"},
		"a lock":                    {withAlso(bob, "pwdAccountLockedTime", "000001010000Z", big, big+"y"), "bob", 3002, registry.Disabled, 1, "nobody can tell"},
		"a home":                    {with(bob, "homeDirectory", "/home/bob", big, big+"y"), "bob", -1, registry.Active, 1, "homeDirectory: more than 512 KiB"},
		"a name":                    {with(bob, "uid", "bob", big, big+"y"), fmt.Sprintf("entry %q", userDN("bob")), -1, registry.Active, 0, "uid: more than 512 KiB"},
		"keys of nobody":            {with(with(bob, "uid"), "sshPublicKey", big, big+"y"), fmt.Sprintf("entry %q", userDN("bob")), -1, registry.Active, 0, "uid: no value"},
		"an attribute of no use":    {withAlso(bob, "jpegPhoto", big, big+"y"), "bob", 3002, registry.Active, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			config := hostile(t, directory(alice, c.entry, userEntry("carol", 3003, keyText(3))))
			got, err := fetch(t, config)
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range []string{"alice", "carol"} {
				if u, _ := got.User(other); len(u.Records) != 1 || len(u.Rejects) != 0 {
					t.Errorf("%s is %+v", other, u)
				}
			}
			u, there := got.User(c.user)
			var told strings.Builder
			for _, r := range u.Rejects {
				told.WriteString(r.Detail)
			}
			if !there || u.UID != c.uid || u.Status != c.status || len(u.Records) != c.keys || !strings.Contains(told.String(), c.detail) || (told.String() == "") != (c.detail == "") {
				t.Errorf("%s is %+v", c.user, u)
			}
		})
	}
}

// The rules of a reading hold when it goes on one entry at a time.
func TestFatRefuses(t *testing.T) {
	alice, bob, carol := userEntry("alice", 3001, keyText(1)), userEntry("bob", 3002, keyText(2)), userEntry("carol", 3003, keyText(3))
	entries := []Entry{alice, bob, carol}
	for name, c := range map[string]struct {
		single func(s search) []byte // what the server says when it is asked for bob; nil: as on the page
		users  int
		fault  Fault
		want   string
	}{
		"an endless one":      {nil, 3, "", ""},
		"one that is hidden":  {func(s search) []byte { return doneMessage(s.id, 0) }, 0, Incomplete, "is listed again and again, and is not there"},
		"one that is refused": {func(s search) []byte { return doneMessage(s.id, 32) }, 0, Incomplete, "is listed again and again, and is not there"},
		"another one":         {func(s search) []byte { return append(entry(s, alice), doneMessage(s.id, 0)...) }, 0, Foreign, "1 entries came"},
		"two":                 {func(s search) []byte { return slices.Concat(entry(s, bob), entry(s, bob), doneMessage(s.id, 0)) }, 0, Foreign, "2 entries came"},
		"elsewhere":           {func(s search) []byte { return append(referenceMessage(s.id), doneMessage(s.id, 0)...) }, 0, Referred, "another place"},
		"busy":                {func(s search) []byte { return doneMessage(s.id, 51) }, 0, Refused, "Busy"},
		"cut":                 {func(s search) []byte { return entry(s, bob)[:30] }, 0, Lost, "entry \"uid="},
	} {
		t.Run(name, func(t *testing.T) {
			honest := directory(entries...)
			config := hostile(t, func(s search) ([]byte, bool) {
				reply, more := honest(s)
				asked := slices.Contains(s.attributes, "sshPublicKey")
				switch {
				case s.base == userDN("bob") && c.single != nil:
					return c.single(s), name != "cut"
				case asked && (s.base == userDN("bob") || bytes.Contains(reply, []byte(userDN("bob")))):
					return huge(s, userDN("bob")), true
				}
				return reply, more
			})
			config.Timeout = 5 * time.Second
			began := time.Now()
			got, err := fetch(t, config)
			if took := time.Since(began); took > config.Timeout {
				t.Errorf("it took %s: an entry was waited for that is announced as too large", took)
			}
			if c.fault != "" {
				wantError(t, got, err, c.want)
				wantFault(t, err, c.fault)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Len() != c.users || got.Keys() != 2 {
				t.Errorf("%d users, %d keys: %+v", got.Len(), got.Keys(), users(got))
			}
		})
	}
}

// What came before the entry that is too large is not asked for again.
func TestFatGoesOn(t *testing.T) {
	big := strings.Repeat("x", 600<<10)
	honest := directory(userEntry("alice", 3001, keyText(1)), userEntry("bob", 3002, keyText(2)), userEntry("carol", 3003, keyText(3), big, big+"y"), userEntry("dora", 3004, keyText(4)))
	asked := make(chan string, 100)
	got, err := fetch(t, hostile(t, func(s search) ([]byte, bool) {
		asked <- s.base
		return honest(s)
	}))
	if err != nil || got.Len() != 4 || got.Keys() != 3 {
		t.Fatal(got, err)
	}
	close(asked)
	once := make(map[string]bool)
	for dn := range asked {
		once[dn] = true
	}
	if once[userDN("alice")] || once[userDN("bob")] || !once[userDN("carol")] || !once[userDN("dora")] {
		t.Errorf("asked for %v", once)
	}
}

// All entries together are bounded, page by page and one by one.
func TestTotal(t *testing.T) {
	value := strings.Repeat("x", 100<<10)
	big := strings.Repeat("x", 700<<10)
	three := []Entry{userEntry("u0", 9, big), userEntry("u1", 1, keyText(1), value), userEntry("u2", 2, keyText(2), value+"2"), userEntry("u3", 3, keyText(3), value+"3")}
	for name, entries := range map[string][]Entry{"pages": three, "one by one": append([]Entry{userEntry("u9", 9, big, big+"2")}, three...)} {
		t.Run(name, func(t *testing.T) {
			config := hostile(t, directory(entries...))
			// What is too big for one user counts for nothing here.
			for total, want := range map[int]string{400 << 10: "", 200 << 10: "the entries hold more than"} {
				l, err := NewLDAP(filled(config))
				if err != nil {
					t.Fatal(err)
				}
				l.total = total
				got, err := l.Fetch(t.Context())
				if want != "" {
					wantError(t, got, err, want)
					wantFault(t, err, Malformed)
				} else if err != nil || got.Keys() != 3 {
					t.Error(got, err)
				}
			}
		})
	}
}

// What is told of one user is bounded, whatever he registers.
func TestManyRejects(t *testing.T) {
	values := []string{keyText(1)}
	for i := range 1000 {
		values = append(values, fmt.Sprint("junk ", i))
	}
	got, err := posix().Decode([]Entry{userEntry("alice", 3001, values...)}, "")
	if err != nil {
		t.Fatal(err)
	}
	u, _ := got.User("alice")
	if len(u.Records) != 1 || len(u.Rejects) != maxRejects+1 || u.Rejects[maxRejects].Code != "more" || !strings.HasPrefix(u.Rejects[maxRejects].Detail, "936 more") {
		t.Errorf("%d keys, %d rejects, the last %+v", len(u.Records), len(u.Rejects), u.Rejects[len(u.Rejects)-1])
	}
}
