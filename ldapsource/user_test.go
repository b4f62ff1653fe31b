package ldapsource

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/registry"
)

// One user comes as the whole registry has him, and is not there when that has not.
func TestFetchUser(t *testing.T) {
	s := testenv.StartSlapd(t, render(append(people(), userEntry("we(ird)*", 4200, keyText(60)))))
	for name, canary := range map[string]Canary{"a witness": {}, "the canary": {User: "user1", Fingerprint: record(t, "user1", keyText(1)).Key.Fingerprint()}} {
		t.Run(name, func(t *testing.T) {
			l, err := NewLDAP(config(s))
			if err != nil {
				t.Fatal(err)
			}
			l.Canary = canary
			if _, _, err := l.FetchUser(t.Context(), "odd"); err == nil {
				t.Error("a user was believed before the first whole reading")
			}
			whole, err := l.Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for user := range whole.Users() {
				got, found, err := l.FetchUser(t.Context(), user.Name)
				if err != nil || !found {
					t.Fatalf("%s: %v, %v", user.Name, found, err)
				}
				want, _ := whole.User(user.Name)
				if d := diff([]registry.User{want}, []registry.User{got}); d != "" {
					t.Errorf("%s: %s", user.Name, d)
				}
			}
			for _, nobody := range []string{"nobody", "USER2", "user*", "*", "user1)(uid=user2", ""} {
				if got, found, err := l.FetchUser(t.Context(), nobody); err != nil || found {
					t.Errorf("%q: %+v, %v", nobody, got, err)
				}
			}
		})
	}
}

// An entry with which the server is slow does not keep its reader for as long as a whole reading may last.
func TestFetchUserSlow(t *testing.T) {
	var slow atomic.Bool
	end := make(chan struct{})
	defer close(end)
	l, err := NewLDAP(filled(hostile(t, func(s search) ([]byte, bool) {
		if slow.Load() {
			<-end
		}
		return slices.Concat(entryMessage(s.id, userEntry("alice", 3001, keyText(1))), entryMessage(s.id, userEntry("bob", 3002, keyText(2))), pageMessage(s.id, "")), true
	})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.alone > 5*time.Second {
		t.Errorf("a reading of one user may last %s", l.alone)
	}
	l.alone = 100 * time.Millisecond
	slow.Store(true)
	began := time.Now()
	if _, _, err := l.FetchUser(t.Context(), "alice"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// Nothing is believed of one user that would not be believed of all.
func TestFetchUserRefuses(t *testing.T) {
	canary, alice := userEntry("canary", 3000, keyText(9)), userEntry("alice", 3001, keyText(1))
	page := func(entries ...Entry) answer {
		return func(s search) ([]byte, bool) {
			var reply []byte
			for _, e := range entries {
				reply = append(reply, entryMessage(s.id, e)...)
			}
			return append(reply, pageMessage(s.id, "")...), true
		}
	}
	other := with(alice, "uid", "alice")
	other.DN = "cn=alice,ou=people," + base
	elsewhere := alice
	elsewhere.DN = "cn=alice,ou=others," + base
	for name, c := range map[string]struct {
		reply answer
		fault Fault
		want  string
	}{
		"nothing":          {page(), Hidden, "none of 0 entries"},
		"no witness":       {page(alice), Incomplete, `without a key of the witness "canary"`},
		"no witness's key": {page(with(canary, "sshPublicKey"), alice), Incomplete, `without a key of the witness "canary"`},
		"no keys at all":   {page(with(canary, "sshPublicKey"), with(alice, "sshPublicKey")), Hidden, "none of 2 entries has the attribute sshPublicKey"},
		"two entries":      {page(canary, elsewhere, other), Foreign, `several entries have the name "alice"`},
		"somebody else":    {page(canary, userEntry("bob", 3002, keyText(2))), Foreign, `"bob" came`},
		"two names":        {page(canary, with(alice, "uid", "alice", "bob")), Foreign, "came, where"},
		"outside the base": {page(canary, Entry{DN: "uid=alice,dc=elsewhere", Attributes: alice.Attributes}), Foreign, "outside the base"},
		"size limit": {func(s search) ([]byte, bool) {
			return append(entryMessage(s.id, canary), doneMessage(s.id, 4)...), true
		}, Refused, "Size Limit"},
		"no paging control": {func(s search) ([]byte, bool) {
			return append(entryMessage(s.id, canary), doneMessage(s.id, 0)...), true
		}, Incomplete, "no paging control"},
		"referral": {func(s search) ([]byte, bool) { return append(referenceMessage(s.id), pageMessage(s.id, "")...), true }, Referred, "another place"},
		"cut":      {func(s search) ([]byte, bool) { return entryMessage(s.id, canary), false }, Lost, "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			whole := true
			l, err := NewLDAP(filled(hostile(t, func(s search) ([]byte, bool) {
				if whole {
					return page(canary, alice)(s)
				}
				return c.reply(s)
			})))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			whole = false
			user, found, err := l.FetchUser(t.Context(), "alice")
			if found || len(user.Records) > 0 {
				t.Errorf("%+v came with the error", user)
			}
			wantError(t, nil, err, c.want)
			if c.fault != "" {
				wantFault(t, err, c.fault)
			}
		})
	}
}
