package registry_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/registry"
)

func users(s *registry.Snapshot) []registry.User { return slices.Collect(s.Users()) }

func marshal(tb testing.TB, s *registry.Snapshot) []byte {
	tb.Helper()
	data, err := registry.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// drawTime draws the zero time or a moment of the years 1970 to 2106.
func drawTime(t *rapid.T, what string) time.Time {
	if rapid.Bool().Draw(t, what+"?") {
		return time.Time{}
	}
	return time.Unix(int64(rapid.Uint32().Draw(t, what)), int64(rapid.IntRange(0, 1e9-1).Draw(t, what+" ns"))).UTC()
}

func drawReject(t *rapid.T) registry.Reject {
	return registry.Reject{Origin: rapid.String().Draw(t, "origin"), Code: rapid.String().Draw(t, "code"), Detail: rapid.String().Draw(t, "detail")}
}

// drawRecord draws one with an ed25519 key, of which sshd takes any 32 bytes.
func drawRecord(t *rapid.T) registry.Record {
	blob := []byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20")
	blob = append(blob, rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "point")...)
	key, err := authkeys.ParseBlob(blob)
	if err != nil {
		t.Fatal(err)
	}
	options, err := authkeys.ParseOptions(rapid.SampledFrom([]string{"", "restrict", `from="10.0.0.0/8",no-pty`}).Draw(t, "options"))
	if err != nil {
		t.Fatal(err)
	}
	return registry.Record{
		Key: key, Options: options, Label: string(rapid.SliceOf(rapid.Byte()).Draw(t, "label")), Origin: rapid.String().Draw(t, "dn"),
		NotBefore: drawTime(t, "not before"), NotAfter: drawTime(t, "not after"),
	}
}

func drawSnapshot(t *rapid.T) *registry.Snapshot {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z\xff\x80é ]{1,12}`), 1, 6, rapid.ID[string]).Draw(t, "names")
	var list []registry.User
	for i, name := range names {
		u := registry.User{
			Name: name, UID: rapid.IntRange(-1, 1<<32-1).Draw(t, "uid"), GID: rapid.IntRange(-1, 1<<32-1).Draw(t, "gid"), Home: rapid.String().Draw(t, "home"),
			Mail: rapid.SampledFrom([]string{"", "", "a@example.org", "b@example.org"}).Draw(t, "mail"), Status: registry.Status(rapid.IntRange(0, 3).Draw(t, "status")), Until: drawTime(t, "until"),
			Records: rapid.SliceOfN(rapid.Custom(drawRecord), 0, 3).Draw(t, "records"),
			Rejects: rapid.SliceOfN(rapid.Custom(drawReject), 0, 2).Draw(t, "rejects"), Remarks: rapid.SliceOfN(rapid.Custom(drawReject), 0, 2).Draw(t, "remarks"),
		}
		if i == 0 {
			u.Records = append(u.Records, drawRecord(t))
		}
		list = append(list, u)
	}
	s, err := registry.New(list, rapid.String().Draw(t, "source"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is written is read again as it was.
func TestMarshalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t)
		data, err := registry.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := registry.Unmarshal(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(users(s), users(back), cmpopts.EquateEmpty(), cmpopts.EquateComparable(authkeys.Key{}, authkeys.Options{})); diff != "" || back.Source() != s.Source() {
			t.Error(diff)
		}
		if back.Digest() != s.Digest() || back.Len() != s.Len() || back.Keys() != s.Keys() || back.Rejects() != s.Rejects() {
			t.Error("digest or counts differ")
		}
	})
}

// The digest knows every value, and not in which order a source gave those of one user.
func TestDigest(t *testing.T) {
	alice := user(t, "alice", lineA, lineB)
	base := snapshot(t, alice, user(t, "bob", lineA))
	turned := alice
	turned.Records = []registry.Record{alice.Records[1], alice.Records[0]}
	same, err := registry.New([]registry.User{user(t, "bob", lineA), turned}, "another source")
	if err != nil {
		t.Fatal(err)
	}
	if base.Digest() != same.Digest() || len(base.Digest()) != 64 {
		t.Errorf("digests %s and %s", base.Digest(), same.Digest())
	}
	for name, change := range map[string]func(*registry.User){
		"a key less": func(u *registry.User) { u.Records = u.Records[:1] },
		"options":    func(u *registry.User) { u.Records[0] = record(t, "restrict "+lineA) },
		"label":      func(u *registry.User) { u.Records[0].Label = "x" },
		"end":        func(u *registry.User) { u.Records[0].NotAfter = time.Unix(0, 1) },
		"home":       func(u *registry.User) { u.Home = "/" },
		"uid":        func(u *registry.User) { u.UID = 0 },
		"status":     func(u *registry.User) { u.Status = registry.Locked },
		"mail":       func(u *registry.User) { u.Mail = "a@example.org" },
		"until":      func(u *registry.User) { u.Until = time.Unix(1, 0) },
		"text that moves between fields": func(u *registry.User) {
			u.Name, u.Home = u.Name+u.Home[:1], u.Home[1:]
		},
	} {
		u := alice
		u.Records = slices.Clone(alice.Records)
		change(&u)
		if snapshot(t, u, user(t, "bob", lineA)).Digest() == base.Digest() {
			t.Errorf("%s: the digest is the same", name)
		}
	}
}

// A reading that a program wrote which knew of no mail is the one that is written now, and has the digest that it had: by a registry that is
// down at the upgrade its age would be that of the file otherwise.
func TestWithoutMail(t *testing.T) {
	s := snapshot(t, user(t, "alice", lineA), user(t, "bob", "restrict "+lineB))
	const digest = "bd076c9829e19000432d6118b57f2f12da0b8f0cfe6b1a2653303a2ec49d9a24"
	if !bytes.HasPrefix(marshal(t, s), []byte("keyreeve snapshot 1\n")) || s.Digest() != digest {
		t.Errorf("%q, digest %s", marshal(t, s), s.Digest())
	}
}

// seal puts the right checksum behind bytes, as somebody would who wants them to be believed.
func seal(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(slices.Clip(body), sum[:]...)
}

func TestUnmarshalRefuses(t *testing.T) {
	whole := marshal(t, snapshot(t, user(t, "alice", lineA), user(t, "bob", "restrict "+lineB)))
	body := whole[:len(whole)-sha256.Size]
	if _, err := registry.Unmarshal(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 1
		if s, err := registry.Unmarshal(bad); err == nil || s != nil {
			t.Fatalf("a bit of byte %d turned: %v, %v", i, s, err)
		}
		if s, err := registry.Unmarshal(whole[:i]); err == nil || s != nil {
			t.Fatalf("cut after %d bytes: %v, %v", i, s, err)
		}
	}
	head := len("keyreeve snapshot 1\n") + len("\x04test")
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"more behind":        {append(bytes.Clone(body), 0), "not in the form"},
		"another version":    {bytes.Replace(body, []byte("snapshot 1"), []byte("snapshot 3"), 1), "no registry of version 1 or 2"},
		"mail of nobody":     {bytes.Replace(bytes.Replace(bytes.Replace(body, []byte("snapshot 1"), []byte("snapshot 2"), 1), []byte("/home/alice"), []byte("/home/alice\x00"), 1), []byte("/home/bob"), []byte("/home/bob\x00"), 1), "not in the form"},
		"out of order":       {bytes.Replace(body, []byte("\x05alice"), []byte("\x05zlice"), 1), "not in the form"},
		"two of one name":    {bytes.Replace(body, []byte("\x05alice"), []byte("\x03bob"), 1), `two entries for the user "bob"`},
		"no name":            {bytes.Replace(body, []byte("\x05alice"), []byte("\x00"), 1), "cannot be used"},
		"unknown options":    {bytes.Replace(body, []byte("restrict"), []byte("restrixt"), 1), "the options of a key"},
		"other spelling":     {bytes.Replace(body, []byte("restrict"), []byte("RESTRICT"), 1), "not in the form"},
		"unknown key":        {bytes.Replace(body, []byte("ssh-ed25519"), []byte("ssh-ed25518"), 1), "a key: "},
		"no user":            {append(bytes.Clone(body[:head]), 0), "it names no user"},
		"a length too large": {append(bytes.Clone(body[:head]), binary.AppendVarint(nil, 1<<62)...), "ends in the middle"},
		"a longer number":    {append(append(bytes.Clone(body[:head]), 0x84, 0x00), body[head+1:]...), "not in the form"},
		"a negative length":  {append(bytes.Clone(body[:head]), 1), "ends in the middle"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := registry.Unmarshal(seal(c.body))
			if err == nil || s != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Unmarshal = %v, %v; want %q", s, err, c.want)
			}
		})
	}
	if _, err := registry.Marshal(snapshot(t, registry.User{Name: "a", Records: []registry.Record{{}}})); err == nil {
		t.Error("a record without a key was written")
	}
}

// FuzzUnmarshal: no bytes, even with the right checksum, give a snapshot that New would refuse or that Marshal would write otherwise.
func FuzzUnmarshal(f *testing.F) {
	u := registry.User{Name: "alice", UID: -1, Home: "/h", Status: registry.Locked, Until: time.Unix(1, 5), Rejects: []registry.Reject{{Origin: "o", Code: "c", Detail: "d"}}}
	line, err := authkeys.ParseValue([]byte("restrict " + lineA))
	if err != nil {
		f.Fatal(err)
	}
	u.Records = []registry.Record{{Key: line.Key, Options: line.Options, Label: "l", NotAfter: time.Unix(1e9, 0), Origin: "o"}}
	for _, u.Mail = range []string{"", "a@example.org"} {
		s, err := registry.New([]registry.User{u}, "seed")
		if err != nil {
			f.Fatal(err)
		}
		data := marshal(f, s)
		f.Add(data, false)
		f.Add(data[:len(data)-sha256.Size], true)
	}
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			data = seal(data)
		}
		s, err := registry.Unmarshal(data)
		if err != nil {
			if s != nil {
				t.Error("a snapshot beside an error")
			}
			return
		}
		if _, err := registry.New(users(s), s.Source()); err != nil {
			t.Errorf("New refuses it: %v", err)
		}
		if again := marshal(t, s); !bytes.Equal(again, data) {
			t.Errorf("written again it is %q, not %q", again, data)
		}
	})
}

// crowd is a registry of n users with two keys each.
func crowd(tb testing.TB, n int) *registry.Snapshot {
	tb.Helper()
	list := make([]registry.User, n)
	for i := range list {
		u := registry.User{Name: fmt.Sprintf("user%06d", i), UID: 10000 + i, GID: 100, Home: fmt.Sprintf("/home/user%06d", i)}
		for k := range 2 {
			sum := sha256.Sum256(fmt.Append(nil, i, k))
			key, err := authkeys.ParseBlob(append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), sum[:]...))
			if err != nil {
				tb.Fatal(err)
			}
			u.Records = append(u.Records, registry.Record{Key: key, Label: u.Name + "@laptop", Origin: "uid=" + u.Name + ",ou=people,dc=example,dc=org"})
		}
		list[i] = u
	}
	s, err := registry.New(list, "ldaps://ldap1.example.org")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func BenchmarkCodec(b *testing.B) {
	s := crowd(b, 100_000)
	data := marshal(b, s)
	for name, fn := range map[string]func() int{
		"Marshal": func() int { return len(marshal(b, s)) },
		"Unmarshal": func() int {
			if _, err := registry.Unmarshal(data); err != nil {
				b.Fatal(err)
			}
			return len(data)
		},
		"Digest":  func() int { s.Digest(); return 0 },
		"Compare": func() int { return len(registry.Compare(s, s, time.Now()).Keys) },
	} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				size = fn()
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
