package enforcer_test

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// past feeds a memory with readings.
type past struct {
	memory enforcer.Memory
	rules  *policy.Policy
	brake  enforcer.Brake
	now    time.Time
	source string

	accepted enforcer.Accepted // of the last reading
}

func newPast(tb testing.TB, people int) *past {
	tb.Helper()
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		tb.Fatal(err)
	}
	return &past{enforcer.Memory{Ledger: enforcer.NewLedger()}, rules, enforcer.Brake{People: people, Window: time.Hour}, answerNow, "test", enforcer.Accepted{}}
}

// read is a complete reading, a minute after the last one.
func (p *past) read(tb testing.TB, users []registry.User, exceptions ...policy.Exception) *enforcer.World {
	tb.Helper()
	snapshot, err := registry.New(users, "test")
	if err != nil {
		tb.Fatal(err)
	}
	p.now = p.now.Add(time.Minute)
	p.accepted = p.memory.Ledger.Accept(snapshot, p.source, true, p.now)
	return p.memory.World(snapshot, p.rules.Evaluate(snapshot, p.now, exceptions...), enforcer.Scope{}, p.brake, false)
}

func someone(n int, records ...registry.Record) registry.User {
	name := fmt.Sprintf("user%d", n)
	return registry.User{Name: name, UID: 2000 + n, GID: 2000 + n, Home: "/home/" + name, Records: records}
}

// Whatever the registry says in whatever order, no key is on the list that is granted to anybody, or will be by time alone; and every key that
// was registered, and is not, is.
func TestRevokedIsNobodys(t *testing.T) {
	lines := []string{ed25519(t, 0), ed25519(t, 1), ed25519(t, 2)}
	rapid.Check(t, func(rt *rapid.T) {
		p, amended := newPast(t, 100), newPast(t, 100)
		last := amended.read(t, []registry.User{someone(9, record(t, lineA))})
		was := make(map[authkeys.Key]bool)
		for range rapid.IntRange(1, 8).Draw(rt, "readings") {
			somebodys := make(map[authkeys.Key]bool)
			var users []registry.User
			for n := range 3 {
				user := someone(n)
				user.Status = rapid.SampledFrom([]registry.Status{registry.Active, registry.Active, registry.Locked}).Draw(rt, "status")
				there := rapid.IntRange(0, 4).Draw(rt, "there") > 0
				for _, text := range rapid.SliceOfNDistinct(rapid.SampledFrom(lines), 0, 3, rapid.ID).Draw(rt, "registered") {
					r := record(t, text)
					later := rapid.IntRange(0, 4).Draw(rt, "later") == 0
					if later {
						r.NotBefore = p.now.Add(time.Hour)
					}
					user.Records = append(user.Records, r)
					if there && user.Status == registry.Active {
						somebodys[r.Key], was[r.Key] = true, was[r.Key] || !later
					}
				}
				if there {
					users = append(users, user)
				}
			}
			users = append(users, someone(9, record(t, lineA))) // a registry has a key
			w := p.read(t, users)
			revoked, _ := p.memory.Revoked(w, p.now)
			last, _, _ = amended.memory.Amend(last, w.Snapshot, false, p.now)
			if same, _ := amended.memory.Revoked(last, p.now); !sameKeys(same, revoked) {
				rt.Fatalf("%d keys, and %d of a world that was amended", len(revoked), len(same))
			}
			for _, text := range lines {
				key := record(t, text).Key
				if on := slices.Contains(revoked, key.Sum()); on != (was[key] && !somebodys[key]) {
					rt.Fatalf("%s is on the list: %v; it was somebody's: %v, it is: %v", key.Fingerprint(), on, was[key], somebodys[key])
				}
			}
		}
	})
}

func sameKeys(a, b []authkeys.Sum) bool {
	compare := func(a, b authkeys.Sum) int { return strings.Compare(a.String(), b.String()) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), compare), slices.SortedFunc(slices.Values(b), compare))
}

// A key that is held is not on the list.
func TestRevokedIsNotHeld(t *testing.T) {
	a, b := record(t, lineA), record(t, lineB)
	p := newPast(t, 100)
	p.read(t, []registry.User{someone(1, a, b)})
	w := p.read(t, []registry.User{someone(1, b)})
	for _, away := range []bool{true, false} {
		held := p.memory.World(w.Snapshot, p.rules.Evaluate(w.Snapshot, p.now), enforcer.Scope{}, p.brake, away)
		if revoked, _ := p.memory.Revoked(held, p.now); (len(revoked) == 0) != away {
			t.Errorf("while the registry is away (%v): %d keys", away, len(revoked))
		}
	}
}

// What nobody ever registered, an exception grants or will grant, or another registry had, is not on the list.
func TestRevokedSpares(t *testing.T) {
	a, b := record(t, lineA), record(t, lineB)
	at := func(d time.Duration, e policy.Exception) policy.Exception {
		e.Since, e.Until = answerNow.Add(d), answerNow.Add(d+time.Hour)
		return e
	}
	exception := policy.Exception{ID: "1", User: "user2", Key: a.Key, Owner: "root", Reason: "test"}
	for name, c := range map[string]struct {
		exceptions []policy.Exception
		source     string
		on         bool
	}{
		"nothing": {on: true}, "an exception": {exceptions: []policy.Exception{at(0, exception)}},
		"one that begins": {exceptions: []policy.Exception{at(time.Hour, exception)}}, "one that ended": {exceptions: []policy.Exception{at(-2*time.Hour, exception)}, on: true},
		"another registry": {source: "another", on: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPast(t, 100)
			p.read(t, []registry.User{someone(1, a, b), someone(2, b)})
			if c.source != "" {
				p.source = c.source
			}
			w := p.read(t, []registry.User{someone(1, b), someone(2, b)}, c.exceptions...)
			revoked, _ := p.memory.Revoked(w, p.now)
			if on := slices.Contains(revoked, a.Key.Sum()); on != c.on || len(revoked) > 1 {
				t.Errorf("on the list %v of %d, want %v", on, len(revoked), c.on)
			}
		})
	}
}

// A key that went together with those of more people than the brake lets lose some waits for its release, or until its user's files were seen
// without it; one that went alone does not.
func TestRevokedInACrowd(t *testing.T) {
	key := func(n int) registry.Record { return record(t, ed25519(t, n)) }
	all, fewer := []registry.User{someone(9, key(90), key(91))}, []registry.User{someone(9, key(90), key(91))}
	for n := range 4 {
		all, fewer = append(all, someone(n, key(n), key(20+n))), append(fewer, someone(n, key(20+n)))
	}
	for _, c := range []struct{ people, on int }{{4, 4}, {3, 0}} {
		p := newPast(t, c.people)
		p.read(t, all)
		w := p.read(t, fewer)
		if revoked, _ := p.memory.Revoked(w, p.now); len(revoked) != c.on {
			t.Errorf("of four people who lost keys at once, with %d who may: %d are on the list, want %d", c.people, len(revoked), c.on)
		}
		if c.on > 0 {
			continue
		}
		p.memory.Ledger.Settle("user1", func(authkeys.Key) bool { return false })
		if revoked, _ := p.memory.Revoked(w, p.now); !slices.Equal(revoked, []authkeys.Sum{key(1).Key.Sum()}) {
			t.Errorf("one that is settled: %d on the list", len(revoked))
		}
		p.now = p.now.Add(2 * time.Hour)
		fewer[0] = someone(9, key(90))
		w = p.read(t, fewer)
		if revoked, _ := p.memory.Revoked(w, p.now); len(revoked) != 2 || !slices.Contains(revoked, key(91).Key.Sum()) {
			t.Errorf("one that went alone: %d on the list", len(revoked))
		}
	}
}

// What was lost last comes first, and a key that several have lost once.
func TestRevokedInOrder(t *testing.T) {
	a, b, other := record(t, lineA), record(t, lineB), someone(9, record(t, ed25519(t, 0)))
	p := newPast(t, 100)
	p.read(t, []registry.User{someone(1, a), someone(2, a, b), other})
	p.read(t, []registry.User{someone(1), someone(2, b), other})
	w := p.read(t, []registry.User{someone(1), someone(2), other})
	if revoked, leftOut := p.memory.Revoked(w, p.now); !slices.Equal(revoked, []authkeys.Sum{b.Key.Sum(), a.Key.Sum()}) || leftOut != 0 {
		t.Errorf("got %v, %d left out", revoked, leftOut)
	}
}

// Of too many keys those of whoever lost few are on the list.
func TestRevokedIsBounded(t *testing.T) {
	const many, each = enforcer.MaxRevoked/64 + 2, 64
	p := newPast(t, many+1)
	before, after := []registry.User{someone(999, record(t, ed25519(t, 0)))}, []registry.User{someone(999)} // the last by name
	for n := 1; n <= many; n++ {
		user := someone(n)
		for k := range each {
			user.Records = append(user.Records, record(t, ed25519(t, n*each+k)))
		}
		before, after = append(before, user), append(after, someone(n))
	}
	p.read(t, before)
	w := p.read(t, append(after, someone(many+1, record(t, lineA))))
	revoked, leftOut := p.memory.Revoked(w, p.now)
	if len(revoked) != enforcer.MaxRevoked || leftOut != many*each+1-enforcer.MaxRevoked {
		t.Errorf("%d on the list, %d left out", len(revoked), leftOut)
	}
	if !slices.Contains(revoked, record(t, ed25519(t, 0)).Key.Sum()) {
		t.Error("who lost one key is left out")
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

// A key that is registered to somebody, though the policy refuses it, is his: another who registers and withdraws it does not have it refused. It is
// nobody's where his account does not count, or its registration has ended.
func TestRevokedSparesWhatThePolicyRefuses(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	short, own := record(t, string(ssh.MarshalAuthorizedKey(public))), record(t, lineB)
	for name, c := range map[string]struct {
		change func(*registry.User)
		on     bool
	}{
		"as it is":         {func(*registry.User) {}, false},
		"a locked account": {func(u *registry.User) { u.Status = registry.Locked }, true},
		"an ended one":     {func(u *registry.User) { u.Until = answerNow }, true},
		"one that ends":    {func(u *registry.User) { u.Until = answerNow.Add(time.Hour) }, false},
		"an ended key":     {func(u *registry.User) { u.Records[0].NotAfter = answerNow }, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, bob := newPast(t, 100), someone(2, short)
			p.read(t, []registry.User{someone(1, own, short), bob})
			c.change(&bob)
			w := p.read(t, []registry.User{someone(1, own), bob})
			if revoked, _ := p.memory.Revoked(w, p.now); slices.Contains(revoked, short.Key.Sum()) != c.on {
				t.Errorf("%d keys on the list; want it there: %v", len(revoked), c.on)
			}
		})
	}
}
