package registry_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/registry"
)

// The keys A and B of the vectors.
const (
	lineA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnxoe+mmuhR7yxmTmqCw1YYMfdhbsay07eRJlF1T1ve"
	lineB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF/mOT2dE99uYPAVIKz6rTw6OyI7MT/39JTmbBdleO+P"
)

func record(t *testing.T, value string) registry.Record {
	t.Helper()
	line, err := authkeys.ParseValue([]byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return registry.Record{Key: line.Key, Options: line.Options, Label: line.Comment}
}

func user(t *testing.T, name string, values ...string) registry.User {
	t.Helper()
	u := registry.User{Name: name, UID: 2001, GID: 2001, Home: "/home/" + name}
	for _, v := range values {
		u.Records = append(u.Records, record(t, v))
	}
	return u
}

func snapshot(t *testing.T, users ...registry.User) *registry.Snapshot {
	t.Helper()
	s, err := registry.New(users, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		users []registry.User
		empty bool
		want  string
	}{
		"no users":        {nil, true, "names no user"},
		"no keys":         {[]registry.User{user(t, "alice"), user(t, "bob")}, true, "none of its 2 users"},
		"two of one name": {[]registry.User{user(t, "alice", lineA), user(t, "alice", lineB)}, false, `two entries for the user "alice"`},
		"no name":         {[]registry.User{user(t, "", lineA)}, false, "cannot be used"},
		"newline":         {[]registry.User{user(t, "a\nb", lineA)}, false, `"a\nb" cannot be used`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := registry.New(c.users, "ldaps://one")
			if err == nil || s != nil {
				t.Fatalf("New = %v, %v; want an error and no snapshot", s, err)
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "ldaps://one: ") {
				t.Errorf("error %q, want it to name the source and %q", err, c.want)
			}
			if got := errors.Is(err, registry.ErrEmpty); got != c.empty {
				t.Errorf("errors.Is(ErrEmpty) = %v, want %v", got, c.empty)
			}
		})
	}
}

func TestSnapshotIsImmutable(t *testing.T) {
	u := user(t, "bob", lineA)
	s := snapshot(t, user(t, "carol", lineB), u)
	u.Records[0] = record(t, lineB)
	got, _ := s.User("bob")
	if got.Records[0].Key != record(t, lineA).Key {
		t.Error("a record changed after the snapshot was made")
	}
	var names []string
	for u := range s.Users() {
		names = append(names, u.Name)
	}
	if !slices.Equal(names, []string{"bob", "carol"}) {
		t.Errorf("users come as %v, want them in order", names)
	}
	if s.Len() != 2 || s.Keys() != 2 || s.Source() != "test" || s.Rejects() != 0 {
		t.Errorf("counts: %d users, %d keys, %d rejects", s.Len(), s.Keys(), s.Rejects())
	}
}

func TestActive(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		status registry.Status
		name   string
		until  time.Time
		want   bool
	}{
		{registry.Active, "active", time.Time{}, true},
		{registry.Active, "active", now.Add(1), true},
		{registry.Active, "active", now, false},
		{registry.Locked, "locked", time.Time{}, false},
		{registry.Disabled, "disabled", time.Time{}, false},
		{registry.Elsewhere, "elsewhere", now.Add(1), false},
		{registry.Status(7), "status-7", time.Time{}, false},
	} {
		u := registry.User{Status: c.status, Until: c.until}
		if u.Active(now) != c.want || c.status.String() != c.name {
			t.Errorf("%s until %v: active is %v", c.status, c.until, u.Active(now))
		}
	}
}

// Twice in one entry is one person; the order is that of names, whatever the source's was.
func TestShared(t *testing.T) {
	s := snapshot(t, user(t, "dan", lineB), user(t, "carol", lineA, "restrict "+lineA), user(t, "bob", lineB, lineA), user(t, "alice", lineB))
	var got []string
	for _, shared := range s.Shared() {
		got = append(got, shared.Key.Fingerprint()[:11]+" "+strings.Join(shared.Users, " "))
	}
	want := []string{record(t, lineB).Key.Fingerprint()[:11] + " alice bob dan", record(t, lineA).Key.Fingerprint()[:11] + " bob carol"}
	if !slices.Equal(got, want) {
		t.Errorf("shared are %q, want %q", got, want)
	}
	if alone := snapshot(t, user(t, "carol", lineA, "restrict "+lineA)).Shared(); len(alone) != 0 {
		t.Errorf("one person shares %v", alone)
	}
}
