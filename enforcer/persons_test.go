package enforcer_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/registry"
)

// called is a user by another name; nothing else of him differs.
func called(u registry.User, name string) registry.User {
	u.Name = name
	return u
}

func (b *book) homes() (list []string) {
	for _, gone := range b.ledger.Departed() {
		list = append(list, fmt.Sprint(gone.Name, " ", gone.UID, " ", gone.Home))
	}
	slices.Sort(list)
	return list
}

func (b *book) kept(when string, homes ...string) {
	b.t.Helper()
	if got := b.homes(); !slices.Equal(got, homes) {
		b.t.Errorf("%s: known of who left are %v, want %v", when, got, homes)
	}
}

// The ledger knows a person by his uid: what was lost goes by the name that he has now, and two people are never taken for one.
func TestLedgerFollowsNames(t *testing.T) {
	alice, bob, eve := entry(t, "alice", lineA), entry(t, "bob", lineB), entry(t, "eve", lineD)
	none := func(u registry.User) registry.User {
		u.Records = nil
		return u
	}
	for name, play := range map[string]func(b *book){
		"renamed": func(b *book) {
			b.accept(0, "one", entry(t, "alice", lineA, lineB))
			b.accept(1, "one", entry(t, "alice", lineB))
			a := b.accept(2, "one", called(entry(t, "alice", lineB), "next"))
			if want := []enforcer.Move{{From: "alice", To: "next"}}; !slices.Equal(a.Moved, want) || len(a.Left) > 0 {
				t.Errorf("%+v", a)
			}
			b.want("next", "A 1 confirmed settled")
			b.want("alice")
			b.kept("after it")
		},
		"renamed, with another home": func(b *book) {
			b.accept(0, "one", alice)
			next := called(none(alice), "next")
			next.Home = "/home/next"
			b.accept(1, "one", next)
			b.want("next", "A 1 confirmed settled")
			b.kept("after it")
		},
		"gone for a time, and back by another name": func(b *book) {
			b.accept(0, "one", alice, bob)
			b.accept(1, "one", bob)
			b.accept(2, "one", bob, called(none(alice), "next"))
			b.want("next", "A 1 confirmed settled")
			b.kept("after it")
		},
		"two who exchange their names": func(b *book) {
			b.accept(0, "one", entry(t, "alice", lineA, lineB), entry(t, "bob", lineB, lineD))
			b.accept(1, "one", entry(t, "alice", lineB), entry(t, "bob", lineB))
			a := b.accept(2, "one", called(entry(t, "alice", lineB), "bob"), called(entry(t, "bob", lineB), "alice"))
			b.want("bob", "A 1 confirmed settled")
			b.want("alice", "D 1 confirmed settled")
			if b.kept("after it"); len(a.Moved) != 2 || len(a.Left) > 0 {
				t.Errorf("%+v", a)
			}
		},
		"the name of who left is taken": func(b *book) {
			b.accept(0, "one", alice, eve)
			b.accept(1, "one", eve)
			a := b.accept(2, "one", called(eve, "alice"))
			b.kept("after it", "alice.3097 3097 /home/alice")
			b.want("alice.3097", "A 1 confirmed")
			b.want("alice")
			if want := []enforcer.Move{{From: "alice", To: "alice.3097", Taken: true}, {From: "eve", To: "alice"}}; !slices.Equal(a.Moved, want) {
				t.Errorf("%+v", a)
			}
			b.accept(3, "one", called(bob, "alice"), eve)
			b.kept("taken again", "alice.3097 3097 /home/alice")
			b.accept(4, "one", eve, alice)
			b.kept("when he is back, and who took it left", "alice.3098 3098 /home/bob")
			b.want("alice")
		},
		"the name of who left is taken at the same moment": func(b *book) {
			b.accept(0, "one", alice, eve)
			b.accept(1, "one", called(eve, "alice"))
			b.kept("after it", "alice.3097 3097 /home/alice")
			b.want("alice.3097", "A 1")
		},
		"a name of its own is somebody's": func(b *book) {
			b.accept(0, "one", alice, eve)
			b.accept(1, "one", eve)
			b.accept(2, "one", called(eve, "alice"), called(bob, "alice.3097"))
			b.kept("after it", "alice.3097.1 3097 /home/alice")
		},
		"a name as long as may be": func(b *book) {
			long := strings.Repeat("a", 32)
			b.accept(0, "one", called(alice, long), eve)
			b.accept(1, "one", called(eve, long))
			b.kept("after it", strings.Repeat("a", 27)+".3097 3097 /home/alice")
		},
		"another uid by the same name": func(b *book) {
			b.accept(0, "one", entry(t, "alice", lineA, lineB))
			again := entry(t, "alice", lineB)
			again.UID, again.Home = 4000, "/home/elsewhere"
			a := b.accept(1, "one", again)
			b.want("alice", "A 1")
			if b.kept("after it"); len(a.Moved)+len(a.Left) > 0 {
				t.Errorf("%+v", a)
			}
		},
		"a uid that two have": func(b *book) {
			twin := called(bob, "twin")
			twin.UID = alice.UID
			b.accept(0, "one", alice, twin)
			b.accept(1, "one", called(none(alice), "next"), twin)
			b.want("alice", "A 1")
			b.want("next")
			b.kept("after it", "alice 3097 /home/alice")
		},
		"a uid that two had at once": func(b *book) {
			twin := called(bob, "twin")
			twin.UID = alice.UID
			b.accept(0, "one", alice, twin)
			b.accept(1, "one")
			b.accept(2, "one", called(none(alice), "next"))
			b.want("next")
			b.kept("after it", "alice 3097 /home/alice", "twin 3097 /home/bob")
		},
		"none has a uid": func(b *book) {
			ghost := called(alice, "ghost")
			ghost.UID, ghost.Home = -1, ""
			b.accept(0, "one", ghost)
			b.accept(1, "one", called(none(ghost), "other"))
			b.want("other")
			b.want("ghost", "A 1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t)
			play(b)
			b.reopens()
		})
	}
}

// Who renames himself again and again is one person in the ledger, with what one person has, whatever home he names.
func TestLedgerOfOneWhoRenamesHimself(t *testing.T) {
	for _, moves := range []bool{false, true} {
		b := newBook(t)
		size := int64(0)
		for round := range 400 {
			u := entry(t, "m", ed25519(t, 3*round), ed25519(t, 3*round+1), ed25519(t, 3*round+2))
			if u.Name = fmt.Sprint("m", round); moves {
				u.Home = "/home/" + u.Name
			}
			b.accept(round/60, "one", u)
			if round != 100 {
				continue
			}
			size = b.size()
		}
		persons := personsOf(b.ledger.AllLosses())
		if b.kept("after it"); len(persons) != 1 {
			t.Errorf("he counts as %v", persons)
		}
		if grown := b.size(); grown > size+3*300*50 { // sums, in base64
			t.Errorf("the file has grown from %d to %d bytes", size, grown)
		}
		b.reopens()
	}
}

// As many as had a uid at once are counted, by whatever names, and over a restart.
func TestLedgerCountsWhoHaveOneUID(t *testing.T) {
	b := newBook(t)
	twins := func(round int, line string) (list []registry.User) {
		for i := range 3 {
			u := called(entry(t, "t", line), fmt.Sprintf("t%d-%d", i, round))
			u.Home = fmt.Sprint("/home/t", i)
			list = append(list, u)
		}
		return list
	}
	for round := range 5 {
		b.accept(round, "one", twins(round, ed25519(t, round))...)
		b.reopens()
	}
	persons := personsOf(b.ledger.AllLosses())
	if len(persons) != 3 {
		t.Errorf("three count as %v", persons)
	}
}

// Refusals go with whoever is renamed, and nobody is granted anything by a uid that was another's.
func TestAnswersOfWhoIsRenamed(t *testing.T) {
	a, b, c := record(t, lineA), record(t, lineB), record(t, lineD)
	p := newPast(t, 10)
	rest := someone(9, c)
	p.read(t, []registry.User{someone(1, a, b), rest})
	p.read(t, []registry.User{someone(1, b), rest})
	w := p.read(t, []registry.User{called(someone(1, c), "next"), rest})
	held := p.memory.World(w.Snapshot, p.rules.Evaluate(w.Snapshot, p.now), enforcer.Scope{}, p.brake, true) // the registry is away
	for _, w := range []*enforcer.World{w, held} {
		for u := range w.Answers() {
			if u.Name != "next" {
				continue
			}
			if len(u.Keys) != 1 || u.Keys[0].Fingerprint != c.Key.Fingerprint() || len(u.Refused) != 2 || slices.Contains(u.Refused, c.Key.Fingerprint()) {
				t.Errorf("by his new name he has %d keys, and is refused %v", len(u.Keys), u.Refused)
			}
		}
		if keys := w.Grants.For("next"); len(keys) != 1 {
			t.Errorf("granted are %v", keys)
		}
	}
}

// personsOf are those who have lost something.
func personsOf(losses []enforcer.Loss) map[string]bool {
	persons := make(map[string]bool)
	for _, loss := range losses {
		persons[loss.Person] = true
	}
	return persons
}

// By a name that somebody had nobody is let in by another program, for as long as nobody else has it: NSS may know the account by it still.
func TestAnswersByAFormerName(t *testing.T) {
	a, b, c := record(t, lineA), record(t, lineB), record(t, lineD)
	p := newPast(t, 10)
	ledger, err := enforcer.OpenLedger(filepath.Join(t.TempDir(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	p.memory.Ledger = ledger
	rest := someone(9, c)
	says := func(when string, w *enforcer.World, want map[string]string) {
		t.Helper()
		got := make(map[string]string)
		for u := range w.Answers() {
			text := fmt.Sprint(u.UID, len(u.Keys))
			if slices.Contains(u.Refused, answer.Everything) {
				text += " none"
			}
			got[u.Name] = text
		}
		want["user9"] = "2009 1"
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", when, d)
		}
	}
	p.read(t, []registry.User{someone(1, a, b), rest})
	was := p.read(t, []registry.User{someone(1, b), rest})
	says("before", was, map[string]string{"user1": "2001 1"})
	w := p.read(t, []registry.User{called(someone(1, b), "next"), rest})
	says("renamed", w, map[string]string{"next": "2001 1", "user1": "2001 0 none"})
	if err := ledger.Save(); err != nil {
		t.Fatal(err)
	}
	if p.memory.Ledger, err = enforcer.OpenLedger(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Fatal(err)
	}
	p.read(t, []registry.User{someone(1, a, b), rest})
	amended, _, _ := p.memory.Amend(was, w.Snapshot, false, p.now)
	says("amended", amended, map[string]string{"next": "2001 1", "user1": "2001 0 none"})
	p.memory.Ledger = ledger
	for round := range 20 {
		w = p.read(t, []registry.User{called(someone(1, b), fmt.Sprint("next", round)), rest})
	}
	if n := len(slices.Collect(w.Answers())); n != 2+8 {
		t.Errorf("%d are answered for who had twenty names", n)
	}
	w = p.read(t, []registry.User{called(someone(1, b), "last"), called(someone(2, a), "next19"), rest})
	if n := len(slices.Collect(w.Answers())); n != 3+7 {
		t.Errorf("%d are answered for when another took one of his names", n)
	}
	for u := range w.Answers() {
		if u.Name == "next19" && (u.UID != 2002 || len(u.Keys) != 1 || len(u.Refused) > 0) {
			t.Errorf("who has the name by now: %+v", u)
		}
	}
	for _, c := range []struct{ days, names int }{{6, 7}, {2, 0}} {
		p.now = p.now.Add(time.Duration(c.days) * 24 * time.Hour)
		p.read(t, []registry.User{called(someone(1, b), "last"), rest})
		if n := len(p.memory.Ledger.Renamed()); n != c.names {
			t.Errorf("%d days later: %d names", c.days, n)
		}
	}
}
