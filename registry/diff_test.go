package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/registry"
)

const lineC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKoTIoX5W8K7rRYAUKO3g4zJ+Dya3AgMdVzlxebtSRJF"

func TestCompare(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	past, later := now.Add(-time.Hour), now.Add(time.Hour)
	for name, c := range map[string]struct {
		was, is     func(*registry.User)
		users, keys bool
		replaced    bool
	}{
		"nothing":               {},
		"a key more":            {is: func(u *registry.User) { u.Records = append(u.Records, record(t, "restrict "+lineA)) }},
		"another label":         {is: func(u *registry.User) { u.Records[0].Label = "x" }},
		"another order":         {is: func(u *registry.User) { slices.Reverse(u.Records) }},
		"another group":         {is: func(u *registry.User) { u.GID = 1 }},
		"a key less":            {is: func(u *registry.User) { u.Records = u.Records[1:] }, keys: true},
		"no key":                {is: func(u *registry.User) { u.Records = nil }, keys: true},
		"a key with options":    {is: func(u *registry.User) { u.Records[0] = record(t, "restrict "+lineA) }, keys: true, replaced: true},
		"another key":           {is: func(u *registry.User) { u.Records[0] = record(t, lineC) }, keys: true, replaced: true},
		"one key for two":       {is: func(u *registry.User) { u.Records = []registry.Record{record(t, lineC)} }, keys: true},
		"one key, twice":        {is: func(u *registry.User) { u.Records[0] = record(t, "restrict "+lineB) }, keys: true},
		"a key that ends":       {is: func(u *registry.User) { u.Records[0].NotAfter = past }, keys: true},
		"a key that will end":   {is: func(u *registry.User) { u.Records[0].NotAfter = later }},
		"a key that ended":      {was: func(u *registry.User) { u.Records[0].NotAfter = past }, is: func(u *registry.User) { u.Records = u.Records[1:] }},
		"one of two records":    {was: func(u *registry.User) { u.Records = append(u.Records, u.Records[0]) }},
		"gone":                  {is: func(u *registry.User) { u.Name = "carol" }, users: true, keys: true},
		"gone without a key":    {was: func(u *registry.User) { u.Records = nil }, is: func(u *registry.User) { u.Name = "carol" }, users: true},
		"locked":                {is: func(u *registry.User) { u.Status = registry.Locked }, users: true, keys: true},
		"disabled":              {is: func(u *registry.User) { u.Status = registry.Disabled }, users: true, keys: true},
		"elsewhere":             {is: func(u *registry.User) { u.Status = registry.Elsewhere }, users: true, keys: true},
		"ended":                 {is: func(u *registry.User) { u.Until = now }, users: true, keys: true},
		"ends later":            {is: func(u *registry.User) { u.Until = later }},
		"ended by itself":       {was: func(u *registry.User) { u.Until = past }, is: func(u *registry.User) { u.Name = "carol" }},
		"locked before":         {was: func(u *registry.User) { u.Status = registry.Locked }, is: func(u *registry.User) { u.Name = "carol" }},
		"unlocked":              {was: func(u *registry.User) { u.Status = registry.Locked }},
		"another uid":           {is: func(u *registry.User) { u.UID = 7 }, users: true},
		"no uid":                {is: func(u *registry.User) { u.UID = -1 }, users: true},
		"another's home":        {is: func(u *registry.User) { u.Home = "/home/carol" }, users: true},
		"a source with another": {is: func(u *registry.User) { u.Rejects = []registry.Reject{{Detail: "x"}} }},
	} {
		t.Run(name, func(t *testing.T) {
			was, is := user(t, "alice", lineA, lineB), user(t, "alice", lineA, lineB)
			for _, change := range []struct {
				fn func(*registry.User)
				u  *registry.User
			}{{c.was, &was}, {c.is, &is}} {
				if change.fn != nil {
					change.fn(change.u)
				}
			}
			var want registry.Loss
			if c.users {
				want.Users = []string{"alice"}
			}
			if c.keys {
				want.Keys = []string{"alice"}
			}
			if c.replaced {
				want.Replaced = want.Keys
			}
			bob := user(t, "bob", lineB)
			if diff := cmp.Diff(want, registry.Compare(snapshot(t, was, bob), snapshot(t, is, bob), now)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// However many keys one person throws away, it is one person who lost something.
func TestCompareCountsPeople(t *testing.T) {
	now := time.Now()
	hoarder := user(t, "hoarder", lineB)
	for i := range 10_000 {
		hoarder.Records = append(hoarder.Records, record(t, fmt.Sprintf("command=\"%d\" %s", i, lineA)))
	}
	l := registry.Compare(snapshot(t, hoarder, user(t, "bob", lineA)), snapshot(t, user(t, "hoarder"), user(t, "bob", lineA)), now)
	if len(l.Keys) != 1 || len(l.Users) != 0 {
		t.Errorf("%d people lost keys, %d are gone", len(l.Keys), len(l.Users))
	}
	locked := user(t, "locked", lineA)
	locked.Status = registry.Locked
	if all, holders := snapshot(t, hoarder, locked, user(t, "bob")).Census(now); all != 2 || holders != 1 {
		t.Errorf("%d users, %d with a key", all, holders)
	}
}

// The same loss has the same items, whatever else differs, and another loss has others.
func TestItems(t *testing.T) {
	now := time.Now()
	alice := func(change func(*registry.User)) registry.User {
		u := user(t, "alice", lineA, lineB)
		if change != nil {
			change(&u)
		}
		return u
	}
	bob, fingerprint := user(t, "bob", lineB), record(t, lineA).Key.Fingerprint()
	before := snapshot(t, alice(nil), bob)
	items := func(users ...registry.User) (texts []string) {
		for _, item := range registry.Items(before, snapshot(t, users...), now) {
			texts = append(texts, item.String())
		}
		return texts
	}
	less := func(u *registry.User) { u.Records = u.Records[1:] }
	want := []string{`"alice" ` + fingerprint}
	for name, got := range map[string][]string{
		"alone":          items(alice(less), bob),
		"a label":        items(alice(func(u *registry.User) { less(u); u.Records[0].Label = "x" }), bob),
		"a key more":     items(alice(func(u *registry.User) { u.Records[0] = record(t, lineC) }), bob),
		"a user more":    items(alice(less), bob, user(t, "carol", lineA)),
		"a key of bob's": items(alice(less), user(t, "bob", lineB, lineA)),
	} {
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	seen := make(map[string]string)
	for name, got := range map[string][]string{
		"nothing":        items(alice(nil), bob),
		"a key":          want,
		"another":        items(alice(func(u *registry.User) { u.Records = u.Records[:1] }), bob),
		"both":           items(alice(func(u *registry.User) { u.Records = nil }), bob),
		"gone":           items(bob),
		"another uid":    items(alice(func(u *registry.User) { u.UID = 7 }), bob),
		"a third uid":    items(alice(func(u *registry.User) { u.UID = 8 }), bob),
		"another home":   items(alice(func(u *registry.User) { u.Home = "/home/carol" }), bob),
		"and bob's keys": items(alice(less), user(t, "bob")),
	} {
		text := fmt.Sprint(got)
		if other := seen[text]; other != "" {
			t.Errorf("%s and %s are one loss: %s", name, other, text)
		}
		seen[text] = name
	}
	if got := items(bob, user(t, "carol", lineA)); !slices.Equal(got, items(alice(func(u *registry.User) { u.Status = registry.Locked }), bob)) {
		t.Errorf("gone and locked are two losses: %q", got)
	}
	// The options of a key are a part of what is lost, and their text is a part of no line.
	narrow := user(t, "alice", "restrict "+lineA)
	for _, item := range registry.Items(snapshot(t, narrow, bob), snapshot(t, bob), now)[1:] {
		if item.Options.String() != "restrict" || item.String() == want[0] || strings.Contains(item.String(), "restrict") {
			t.Errorf("%q of %+v", item, item)
		}
	}
}
