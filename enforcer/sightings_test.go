package enforcer_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/registry"
)

// sighted tells of a key: whose, and in which hours it was seen first, missed and its user missed ("-": never).
func sighted(t *testing.T, l *enforcer.Ledger, text string) (list []string) {
	t.Helper()
	key := mustKey(t, text)
	at := func(when time.Time) string {
		if when.IsZero() {
			return "-"
		}
		return fmt.Sprint(int(when.Sub(noon).Hours()))
	}
	for _, s := range l.Sightings(func(k authkeys.Key) bool { return k == key }) {
		if s.Key != key || s.UID != 3000+int(s.User[0]) {
			t.Errorf("%s, uid %d: another key or uid", s.User, s.UID)
		}
		list = append(list, fmt.Sprintf("%s %s %s %s", s.User, at(s.Seen), at(s.Since), at(s.Left)))
	}
	return list
}

// When a key was seen first is noted once, whatever becomes of it, and outlives the process; each user's is his own.
func TestSightings(t *testing.T) {
	b := newBook(t)
	want := func(key string, list ...string) {
		t.Helper()
		if err := b.ledger.Save(); err != nil {
			t.Fatal(err)
		}
		again, err := enforcer.OpenLedger(b.path)
		if err != nil {
			t.Fatal(err)
		}
		for what, l := range map[string]*enforcer.Ledger{"the ledger": b.ledger, "read back": again} {
			if got := sighted(t, l, key); !slices.Equal(got, list) {
				t.Errorf("%s: %v, want %v", what, got, list)
			}
		}
	}
	b.accept(0, "one", entry(t, "alice", lineA), entry(t, "bob"))
	b.accept(1, "one", entry(t, "alice", lineA, lineB), entry(t, "bob", "restrict "+lineA, lineA))
	want(lineA, "alice 0 - -", "bob 1 - -")
	want(lineB, "alice 1 - -")
	b.accept(2, "one", entry(t, "alice", lineB), entry(t, "bob", "no-pty "+lineA))
	want(lineA, "alice 0 2 -", "bob 1 - -")
	b.accept(3, "one", entry(t, "alice", lineB, lineA))
	want(lineA, "alice 0 - -", "bob 1 3 3")
	want(lineB, "alice 1 - -")
	want(ed25519(t, 1))
}

// A file of a version that did not note it is read, and its keys stay undated; those that come are dated.
func TestSightingsOfAnOlderFile(t *testing.T) {
	b := newBook(t)
	b.accept(0, "one", entry(t, "alice", lineA))
	if err := b.ledger.Save(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`,"seen":"[^"]*"`).ReplaceAllString(string(text), "")
	if old == string(text) {
		t.Fatal("there is nothing that an older version lacks")
	}
	old = old[:strings.LastIndex(strings.TrimSuffix(old, "\n"), "\n")+1]
	sum := sha256.Sum256([]byte(old))
	if err := os.WriteFile(b.path, []byte(old+`{"sha256":"`+hex.EncodeToString(sum[:])+"\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b.ledger, err = enforcer.OpenLedger(b.path); err != nil {
		t.Fatal(err)
	}
	b.accept(5, "one", entry(t, "alice", lineA, lineB))
	if got := append(sighted(t, b.ledger, lineA), sighted(t, b.ledger, lineB)...); !slices.Equal(got, []string{"alice - - -", "alice 5 - -"}) {
		t.Errorf("%v", got)
	}
}

// With the ledger it is lost when a key was seen first: the last good reading had it, and those before are not known.
func TestSightingsOfALostLedger(t *testing.T) {
	b := newBook(t)
	snapshot, err := registry.New([]registry.User{entry(t, "alice", lineA)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	good := &enforcer.Kept{Snapshot: snapshot, SourceID: "one", Read: noon}
	if _, lost := b.ledger.Seed(good, noon.Add(time.Hour)); !lost {
		t.Fatal("it was never fed")
	}
	b.accept(2, "one", entry(t, "alice", lineA, lineB))
	if got := append(sighted(t, b.ledger, lineA), sighted(t, b.ledger, lineB)...); !slices.Equal(got, []string{"alice - - -", "alice 2 - -"}) {
		t.Errorf("%v", got)
	}
}
