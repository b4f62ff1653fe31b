package enforcer_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/policy"
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

// reopens says that the file has the same as the ledger.
func (b *book) reopens() {
	b.t.Helper()
	if err := b.ledger.Save(); err != nil {
		b.t.Fatal(err)
	}
	again, err := enforcer.OpenLedger(b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	sort := func(list []policy.Former) []string {
		var text []string
		for _, f := range list {
			text = append(text, fmt.Sprint(f.User, f.ID(), f.Since, f.Options))
		}
		slices.Sort(text)
		return text
	}
	free := func(enforcer.Loss) string { return "" }
	if !slices.Equal(again.AllLosses(), b.ledger.AllLosses()) || !slices.Equal(again.Departed(), b.ledger.Departed()) ||
		!slices.Equal(sort(again.Former(free)), sort(b.ledger.Former(free))) {
		b.t.Errorf("read back: %v and %v", again.AllLosses(), again.Departed())
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
		persons := make(map[string]bool)
		for _, loss := range b.ledger.AllLosses() {
			persons[loss.Person] = true
		}
		if b.kept("after it"); len(persons) != 1 {
			t.Errorf("he counts as %v", persons)
		}
		if grown := b.size(); grown > size+3*300*50 { // sums, in base64
			t.Errorf("the file has grown from %d to %d bytes", size, grown)
		}
		b.reopens()
	}
}

func (b *book) size() int64 {
	b.t.Helper()
	if err := b.ledger.Save(); err != nil {
		b.t.Fatal(err)
	}
	info, err := os.Stat(b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	return info.Size()
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
	persons := make(map[string]bool)
	for _, loss := range b.ledger.AllLosses() {
		persons[loss.Person] = true
	}
	if len(persons) != 3 {
		t.Errorf("three count as %v", persons)
	}
}

// A file of the version before is read; it has no seats, and everybody who is there counts.
func TestLedgerOfVersion1(t *testing.T) {
	b := newBook(t)
	twin := called(entry(t, "alice", lineB), "twin")
	b.accept(0, "one", entry(t, "alice", lineA), twin)
	b.accept(1, "one", entry(t, "alice"), called(entry(t, "alice"), "twin"))
	if err := b.ledger.Save(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.NewReplacer(`{"version":2,`, `{"version":1,`, `"seat":1,`, ``).Replace(string(text))
	if old = resum(old); old == string(text) {
		t.Fatal("it is the same")
	}
	if err := os.WriteFile(b.path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := enforcer.OpenLedger(b.path)
	if err != nil {
		t.Fatal(err)
	}
	if list := again.AllLosses(); len(list) != 2 || list[0].Person == list[1].Person {
		t.Errorf("%v", list)
	}
}

// A key that was revoked is refused however many are registered and withdrawn after it. What is forgotten at last is told.
func TestLedgerForgetsNoRevokedKey(t *testing.T) {
	stolen, own := record(t, lineA), record(t, lineB)
	p := newPast(t, 100)
	p.read(t, []registry.User{someone(1, stolen, own)})
	p.read(t, []registry.User{someone(1, own)})
	var w *enforcer.World
	round := func(n int) enforcer.Accepted {
		many := someone(1, own)
		for i := range 1000 {
			many.Records = append(many.Records, record(t, ed25519(t, 1000*n+i)))
		}
		p.read(t, []registry.User{many})
		w = p.read(t, []registry.User{someone(1, own)})
		return p.accepted
	}
	refuses := func() bool {
		revoked, _ := p.memory.Revoked(w, p.now)
		on := slices.Contains(revoked, stolen.Key.Sum())
		for u := range w.Answers() {
			if slices.Contains(u.Refused, stolen.Key.Fingerprint()) != on {
				t.Error("the list and the answers differ")
			}
		}
		if line := authkeys.Parse([]byte(lineA)); (w.Grants.Judge("user1", line[0]).Reason == policy.ReasonFormer) != on {
			t.Error("the list and the verdict differ")
		}
		return on
	}
	for n := range 4 {
		if a := round(n); !refuses() || len(a.Dropped) > 0 {
			t.Fatalf("after %d more: refused %v, %+v", 1000*(n+1), refuses(), a)
		}
	}
	if a := round(4); refuses() || !slices.Equal(a.Dropped, []string{"user1"}) {
		t.Errorf("after 5,000: refused %v, %+v", refuses(), a)
	}
	w = p.read(t, []registry.User{someone(1, own, record(t, ed25519(t, 4000)))})
	if revoked, _ := p.memory.Revoked(w, p.now); slices.Contains(revoked, record(t, ed25519(t, 4000)).Key.Sum()) {
		t.Error("one that is registered again is refused")
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

// One person who renames himself makes no crowd; nor does one whose names are from before the ledger knew people by their uids.
func TestRevokedCrowdOfOnePerson(t *testing.T) {
	stolen, own, mine := record(t, ed25519(t, 1)), record(t, ed25519(t, 2)), record(t, ed25519(t, 3))
	mallory := func(n int) registry.User {
		return called(someone(1, mine, record(t, ed25519(t, 100+n))), fmt.Sprint("mallory", n))
	}
	p := newPast(t, 3)
	for n := range 12 {
		p.read(t, []registry.User{mallory(n), someone(50, stolen, own)})
	}
	w := p.read(t, []registry.User{mallory(12), someone(50, own)})
	if revoked, _ := p.memory.Revoked(w, p.now); !slices.Contains(revoked, stolen.Key.Sum()) {
		t.Errorf("what another one has withdrawn is not on the list (%d are)", len(revoked))
	}
	state := enforcer.BrakeState{Tripped: answerNow.Add(time.Second)} // and were it on for another reason
	for _, held := range p.brake.Holds(state, p.memory.Ledger.AllLosses(), p.now) {
		if held.Key == stolen.Key {
			t.Error("the brake holds it")
		}
	}
}

// A directory that lost many people's keys and is mended one by one: the others are no fewer for that, until the window is over.
func TestRevokedCrowdThatIsMended(t *testing.T) {
	var all, some []registry.User
	for n := range 5 {
		all, some = append(all, someone(n, record(t, ed25519(t, n)))), append(some, someone(n))
	}
	rest := someone(50, record(t, ed25519(t, 50)))
	p := newPast(t, 4)
	with := func(users []registry.User) []registry.User { return append(slices.Clone(users), rest) }
	p.read(t, with(all))
	w := p.read(t, with(some))
	on := func(want int, when string) {
		t.Helper()
		if revoked, _ := p.memory.Revoked(w, p.now); len(revoked) != want {
			t.Errorf("%s: %d keys on the list, want %d", when, len(revoked), want)
		}
	}
	on(0, "many")
	for n := range 3 {
		some[n] = all[n]
		w = p.read(t, with(some))
		on(0, fmt.Sprint(n+1, " are mended"))
	}
	p.now = p.now.Add(time.Hour)
	w = p.read(t, with(some))
	on(2, "after the window")
}

// A list that is written late, by a world of before the directory recovered, has nobody's key on it.
func TestRevokedByALateWorld(t *testing.T) {
	var all, none []registry.User
	for n := range 5 {
		all, none = append(all, someone(n, record(t, ed25519(t, n)))), append(none, someone(n))
	}
	rest := someone(50, record(t, ed25519(t, 50)))
	p := newPast(t, 10)
	p.read(t, append(slices.Clone(all), rest))
	late := p.read(t, append(slices.Clone(none), rest))
	if revoked, _ := p.memory.Revoked(late, p.now); len(revoked) != 5 {
		t.Fatalf("%d on the list", len(revoked))
	}
	p.read(t, append(slices.Clone(all), rest))
	if revoked, _ := p.memory.Revoked(late, p.now); len(revoked) != 0 {
		t.Errorf("%d keys are on the list that are registered again", len(revoked))
	}
}

// The brake counts people, not names; and everybody who is another one.
func TestBrakeCountsPersons(t *testing.T) {
	p := play(t)
	named := func(name, person string, minute int) enforcer.Loss {
		loss := p.loss(name, minute)
		loss.Person = person
		return loss
	}
	for i := range 10 {
		if p.admit(named(fmt.Sprint("mallory", i), "uid 7", i), i) != nil {
			t.Error("refused")
		}
	}
	if len(p.state.Counted) != 1 {
		t.Errorf("counted are %v", p.state.Counted)
	}
	for i := range 2 {
		if p.admit(named(fmt.Sprint("u", i), fmt.Sprint("uid ", 20+i), 10), 10) != nil {
			t.Error("as many as may, and one is refused")
		}
	}
	if p.admit(named("u2", "uid 22", 11), 11) == nil || !p.state.On() {
		t.Errorf("one more was let through: %v", p.state)
	}
	// While it is on: what one person lost by many names is no crowd, and what as many people lost is.
	var many, crowd []enforcer.Loss
	for i := range 5 {
		many, crowd = append(many, named(fmt.Sprint("m", i), "uid 7", 300+i)), append(crowd, named(fmt.Sprint("m", i), fmt.Sprint("uid ", i), 300+i))
	}
	if got := p.holds(many...); got != nil {
		t.Errorf("of one person are held %v", got)
	}
	if got := p.holds(crowd...); !slices.Equal(got, []string{"m3", "m4"}) {
		t.Errorf("of five people are held %v", got)
	}
}

// For the hold of a reading, one whose entry has no uid is one person by whatever names, and two who contest one name after the other are two; as
// many as are really gone count.
func TestGateCountsPersons(t *testing.T) {
	rename := func(n int) func(round int) *registry.Snapshot {
		return func(round int) *registry.Snapshot {
			return people(t, 20, func(i int, u *registry.User) bool {
				if i < n {
					u.Name, u.UID = fmt.Sprintf("none%d-%d", i, round), -1
				}
				return true
			})
		}
	}
	contest := func(round int) *registry.Snapshot {
		var others []registry.User
		var claims []registry.Claim
		name := fmt.Sprint("name", round)
		for u := range people(t, 20, nil).Users() {
			if u.UID == 2000 || u.UID == 2001 {
				claims = append(claims, registry.Claim{Origin: "cn=" + u.Name, User: called(u, name)})
				continue
			}
			others = append(others, u)
		}
		if round%2 == 0 { // they go back between
			return people(t, 20, nil)
		}
		s, err := registry.NewContested(others, map[string][]registry.Claim{name: claims}, "test")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, c := range map[string]struct {
		reading func(round int) *registry.Snapshot
		users   int
		held    bool
	}{
		"one without a uid": {rename(1), 1, false}, "three": {rename(3), 3, false}, "four": {rename(4), 4, true},
		"two who contest": {contest, 2, false},
		"one after the other": {func(round int) *registry.Snapshot {
			return people(t, 20, func(i int, u *registry.User) bool { u.UID = -1; return i >= min(round, 4) })
		}, 4, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := openGate(t, t.TempDir())
			var v enforcer.Verdict
			for round := range 8 {
				if v = offerTo(t, g, c.reading(round)); v.Held {
					break
				}
			}
			if v.Held != c.held || v.Users != c.users && len(v.Loss.Users) > 0 {
				t.Errorf("held %v: %d users of %d are lost", v.Held, v.Users, v.MostUsers)
			}
		})
	}
}

// resum gives the text of a ledger's file the digest of its content.
func resum(text string) string {
	body := text[:strings.LastIndex(strings.TrimSuffix(text, "\n"), "\n")+1]
	return fmt.Sprintf("%s{\"sha256\":\"%x\"}\n", body, sha256.Sum256([]byte(body)))
}

// What is remembered of all is bounded: of what was seen to be gone the sums stay, then of what happened longest ago; who left longest ago is
// forgotten first, loudly, and what is registered never. Below the bounds nothing changes. The file is no larger, and is read again.
func TestLedgerIsBounded(t *testing.T) {
	const each = 10
	fill := func() *book {
		b := newBook(t)
		var all []registry.User
		for n := range 20 {
			u := someone(n)
			for k := range each {
				r := record(t, `command="`+strings.Repeat(`\"`, 200)+`" `+ed25519(t, n*each+k))
				u.Records = append(u.Records, r)
			}
			all = append(all, u)
		}
		b.accept(0, "one", all...)
		for n := range 10 { // one leaves after the other
			b.accept(n+1, "one", all[n+1:]...)
		}
		all[15].Records = nil
		b.accept(11, "one", all[10:]...)
		b.ledger.Settle("user15", func(authkeys.Key) bool { return false })
		return b
	}
	whole := func(b *book) (whole, sums int) {
		for _, f := range b.ledger.Former(func(enforcer.Loss) string { return "" }) {
			if f.Key.IsZero() {
				sums++
			} else {
				whole++
			}
		}
		return whole, sums
	}
	b := fill()
	b.ledger.Fit(0, 0)
	registered := b.size()
	for name, c := range map[string]struct {
		left, bytes, whole, sums, gone int
		dropped                        []string
	}{
		"within":                  {10, 1 << 20, 110, 0, 10, nil},
		"a few bytes too many":    {10, 118_000, 100, 10, 10, nil},
		"many bytes too many":     {10, 60_000, 50, 60, 10, nil},
		"more than sums have":     {10, 5_000, 0, 70, 6, []string{"user0", "user1", "user2", "user3"}},
		"more people than may be": {8, 1 << 20, 90, 0, 8, []string{"user0", "user1"}},
		"nothing":                 {0, 0, 0, 0, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := fill()
			b.ledger.Fit(c.left, c.bytes)
			w, s := whole(b)
			if n := len(b.ledger.Departed()); n != c.gone || w != c.whole || s != c.sums {
				t.Errorf("%d left, %d keys are whole, %d are sums", n, w, s)
			}
			if size := b.size(); size > int64(c.bytes)+registered {
				t.Errorf("%d bytes, %d of them of what is registered", size, registered)
			}
			b.reopens()
			a := b.accept(12, "one", someone(11, record(t, `command="`+strings.Repeat(`\"`, 200)+`" `+ed25519(t, 110))))
			if c.dropped != nil && !slices.Equal(a.Dropped, c.dropped) || name == "within" && len(a.Dropped) > 0 {
				t.Errorf("%+v", a)
			}
			if list := b.ledger.Losses("user11"); len(list) != each-1 {
				t.Errorf("what was registered: %v", list)
			}
		})
	}
	b = newBook(t)
	for n := range 80 {
		ghost := called(entry(t, "ghost", ed25519(t, n)), fmt.Sprint("ghost", n))
		ghost.UID, ghost.Home = -1, ""
		b.accept(n, "one", ghost)
	}
	if gone := b.departed(); len(gone) != 64 || gone[0] != "ghost78" || gone[63] != "ghost15" {
		t.Errorf("of one without a uid %d names are known, %v", len(gone), gone)
	}
}
