package enforcer_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

var answerNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// worldOf is a world of these users at answerNow.
func worldOf(tb testing.TB, scope enforcer.Scope, users ...registry.User) *enforcer.World {
	tb.Helper()
	snapshot, err := registry.New(users, "test")
	if err != nil {
		tb.Fatal(err)
	}
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		tb.Fatal(err)
	}
	return enforcer.NewWorld(snapshot, rules.Evaluate(snapshot, answerNow), scope)
}

func record(tb testing.TB, text string) registry.Record {
	tb.Helper()
	line, err := authkeys.ParseValue([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return registry.Record{Key: line.Key, Options: line.Options, Label: line.Comment}
}

// The file in a home that is to have all of its user's keys, and what sshd is told by keyreeve-keys, are the same text.
func TestAnswersAreFiles(t *testing.T) {
	registered := []string{lineA, lineA + " label", "restrict " + lineA, `from="10.0.0.1" ` + lineA, lineB, "no-pty " + lineB, lineD + " d", "cert-authority " + lineD}
	rapid.Check(t, func(rt *rapid.T) {
		user := registry.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}
		for _, text := range rapid.SliceOfN(rapid.SampledFrom(registered), 0, 6).Draw(rt, "registered") {
			r := record(t, text)
			r.NotAfter = rapid.SampledFrom([]time.Time{{}, answerNow.Add(-time.Second), answerNow, answerNow.Add(time.Hour)}).Draw(rt, "end")
			user.Records = append(user.Records, r)
		}
		user.Status = rapid.SampledFrom([]registry.Status{registry.Active, registry.Active, registry.Locked}).Draw(rt, "status")
		world := worldOf(t, enforcer.Scope{}, user, registry.User{Name: "zoe", UID: 2002, Home: "/home/zoe", Records: []registry.Record{record(t, lineA)}})
		plan := enforcer.MakePlan(enforcer.Input{Account: alice, Name: ".ssh/authorized_keys", File: homes.File{State: homes.Missing}, Grants: world.Grants, Install: true})
		if got := saidOf(t, world, "alice", answerNow); got != string(plan.After) {
			rt.Fatalf("sshd is told %q, and the file is %q", got, plan.After)
		}
	})
}

// saidOf is what sshd is told of a user at a moment.
func saidOf(tb testing.TB, world *enforcer.World, user string, at time.Time) string {
	tb.Helper()
	data, err := answer.Make(world.Answers(), time.Time{}, answer.Rules{})
	if err != nil {
		tb.Fatal(err)
	}
	found, _, err := answer.Find(bytes.NewReader(data), int64(len(data)), user, at)
	if err != nil {
		tb.Fatal(err)
	}
	var text strings.Builder
	for _, key := range found.Keys {
		text.WriteString(key.Line)
	}
	return text.String()
}

// A key ends on time without the daemon: by its own end or its account's, whichever comes first, and the later one of two records that
// say the same. So does an exception.
func TestAnswersEnd(t *testing.T) {
	in := func(d time.Duration) time.Time { return answerNow.Add(d) }
	early, late, never := record(t, lineA), record(t, lineA+" again"), record(t, lineB)
	early.NotAfter, late.NotAfter = in(time.Hour), in(2*time.Hour)
	for _, records := range [][]registry.Record{{early, late, never}, {late, early, never}} {
		world := worldOf(t, enforcer.Scope{}, registry.User{Name: "alice", UID: 2001, Home: "/home/alice", Records: records, Until: in(3 * time.Hour)})
		for _, c := range []struct {
			at   time.Duration
			keys int
		}{{0, 2}, {2*time.Hour - time.Second, 2}, {2 * time.Hour, 1}, {3*time.Hour - time.Second, 1}, {3 * time.Hour, 0}} {
			if got := strings.Count(saidOf(t, world, "alice", in(c.at)), "\n"); got != c.keys {
				t.Errorf("after %v: %d keys, want %d", c.at, got, c.keys)
			}
		}
	}
}

// Of whom sshd is told: not of an account whose name may be another one's here; of two that share a home, since that is a matter of files.
func TestAnswersOfWhom(t *testing.T) {
	records := []registry.Record{record(t, lineA)}
	scope := enforcer.Scope{MinUID: 1000, Local: func() ([]homes.Account, error) {
		return []homes.Account{{Name: "local", UID: 3000, GID: 3000, Home: "/home/local"}}, nil
	}}
	world := worldOf(t, scope,
		registry.User{Name: "one", UID: 2001, Home: "/home/shared", Records: records}, registry.User{Name: "two", UID: 2002, Home: "/home/shared", Records: records},
		registry.User{Name: "same", UID: 2007, Home: "/home/same", Records: records}, registry.User{Name: "again", UID: 2007, Home: "/home/same", Records: records},
		registry.User{Name: "zoe", UID: 2003, Home: "/home/zoe", Records: records}, registry.User{Name: "daemon", UID: 2, Home: "/usr/sbin", Records: records},
		registry.User{Name: "local", UID: 2004, Home: "/home/elsewhere", Records: records}, registry.User{Name: "empty", UID: 2005, Home: "/home/empty"})
	var names []string
	for user := range world.Answers() {
		if len(user.Keys) > 0 {
			names = append(names, user.Name)
		}
	}
	if want := []string{"again", "one", "same", "two", "zoe"}; !slices.Equal(names, want) {
		t.Errorf("told of %v, want %v", names, want)
	}
}

// Another program lets nobody in with a key that the registry has taken from him or does not let him use, nor anybody at all
// whose account does not count.
func TestAnswersRefuse(t *testing.T) {
	p := newPast(t, 100)
	a, b, c := record(t, lineA), record(t, lineB), record(t, lineD)
	c.NotBefore = answerNow.Add(time.Hour)
	gone, locked := someone(3, a), someone(2, a, b)
	p.read(t, []registry.User{someone(1, a, b), locked, gone, someone(4, a)})
	locked.Status = registry.Locked
	w := p.read(t, []registry.User{someone(1, b, c), locked, someone(4, a)})
	got := make(map[string][]string)
	for user := range w.Answers() {
		got[user.Name] = user.Refused
	}
	want := map[string][]string{
		"user1": {c.Key.Fingerprint(), a.Key.Fingerprint()}, "user2": {answer.Everything}, "user3": {answer.Everything}, "user4": nil,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if rules := w.Rules().Keys; !slices.Equal(rules, []answer.Rule{{Type: "ed25519"}, {Type: "rsa", MinBits: 4096}, {Type: "sk-ed25519"}}) {
		t.Errorf("the rules are %v", rules)
	}
}

// What the registry refuses an account does not depend on whether the rest of its entry can be acted on; a name of this host's own is somebody else.
func TestAnswersRefuseWhoIsLeftAlone(t *testing.T) {
	p := newPast(t, 100)
	scope := enforcer.Scope{MinUID: 1000, Local: func() ([]homes.Account, error) {
		return []homes.Account{{Name: "user7", UID: 3000, GID: 3000, Home: "/home/local"}, {Name: "user9", UID: 2009, GID: 2009, Home: "/home/user9"}}, nil
	}}
	a, b := record(t, lineA), record(t, lineB)
	spoil := map[int]func(*registry.User){
		1: func(u *registry.User) { u.Home = "/home/mallor*" }, 2: func(u *registry.User) { u.Home = "" }, 3: func(u *registry.User) { u.UID = 900 },
		4: func(u *registry.User) { u.Name = "user 4" }, 5: func(u *registry.User) { u.UID = -1 }, 6: func(u *registry.User) { u.Home = "/home/user9" }, 7: func(*registry.User) {},
	}
	var before, after []registry.User
	want := make(map[string][]string)
	for n := range 8 {
		u := someone(n, a)
		if spoil[n] != nil {
			spoil[n](&u)
		}
		u.Status = registry.Locked
		before, after = append(before, u), append(after, u)
		want[u.Name] = []string{answer.Everything}
	}
	delete(want, "user7")
	// One leaves, and another comes (who has his uid then is he by another name: TestAnswersOfWhoIsRenamed); one withdraws a key and spoils his entry.
	left, heir, loser := someone(20, a), someone(21, a), someone(22, a, b)
	before = append(before, left, loser)
	loser.Home, loser.Records = "relative", []registry.Record{b}
	after = append(after, heir, loser)
	want["user20"], want["user21"], want["user22"] = []string{answer.Everything}, nil, []string{a.Key.Fingerprint()}
	p.read(t, before)
	got := make(map[string][]string)
	snapshot := p.read(t, after).Snapshot
	for user := range p.memory.World(snapshot, p.rules.Evaluate(snapshot, p.now), scope, p.brake, false).Answers() {
		got[user.Name] = user.Refused
		if len(user.Keys) > 0 != (user.Name == "user21") {
			t.Errorf("%s is let in by %v", user.Name, user.Keys)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A key whose exception has ended comes back by no other program, nor does anybody whose account ends, whether the daemon lives then or not.
func TestAnswersRefuseWhatEnds(t *testing.T) {
	a, b := record(t, lineA), record(t, lineB)
	e := policy.Exception{ID: "1", User: "user1", Key: a.Key, Owner: "root", Reason: "test", Since: answerNow.Add(-time.Hour), Until: answerNow}
	u := someone(1, b)
	u.Until = answerNow.Add(time.Hour)
	p := newPast(t, 100)
	w := p.read(t, []registry.User{u, someone(2, b)}, e)
	data, err := answer.Make(w.Answers(), time.Time{}, answer.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user string
		at   time.Time
		want []string
	}{
		{"user1", answerNow, []string{a.Key.Fingerprint()}},
		{"user1", u.Until.Add(-time.Second), []string{a.Key.Fingerprint()}},
		{"user1", u.Until, []string{answer.Everything}},
		{"user2", u.Until, nil},
	} {
		if got, err := answer.FindRefused(bytes.NewReader(data), int64(len(data)), c.user, c.at); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s at %v: %v, %v; want %v", c.user, c.at, got, err, c.want)
		}
	}
}

// What is written once says at each later moment, without the daemon, what Evaluate grants then of what it granted all the time, whatever
// ends: a registration, an account, a rule.
func TestAnswersInTime(t *testing.T) {
	lines := []string{lineA, "restrict " + lineA, lineB, lineD}
	day := func(n int) policy.Day { return policy.Day(answerNow.AddDate(0, 0, n).Format(time.DateOnly)) }
	rapid.Check(t, func(rt *rapid.T) {
		end := func(label string) time.Time {
			return rapid.SampledFrom([]time.Time{{}, {}, answerNow.AddDate(0, 0, 1), answerNow.AddDate(0, 0, 3)}).Draw(rt, label)
		}
		user := registry.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice", Until: end("account")}
		for _, text := range rapid.SliceOfN(rapid.SampledFrom(lines), 1, 4).Draw(rt, "registered") {
			r := record(t, text)
			r.NotAfter = end("end")
			user.Records = append(user.Records, r)
		}
		last := rapid.IntRange(0, 3).Draw(rt, "last")
		keys := []policy.Rule{{Type: "rsa", MinBits: 4096}, {Type: "ed25519", Until: day(last)}}
		if rapid.Bool().Draw(rt, "again") {
			keys = append(keys, policy.Rule{Type: "ed25519", From: day(last + rapid.IntRange(1, 2).Draw(rt, "pause"))})
		}
		p, err := policy.Compile(policy.Rules{Keys: keys})
		if err != nil {
			rt.Fatal(err)
		}
		snapshot, err := registry.New([]registry.User{user}, "test")
		if err != nil {
			rt.Fatal(err)
		}
		world := enforcer.NewWorld(snapshot, p.Evaluate(snapshot, answerNow), enforcer.Scope{})
		all := world.Grants.For("alice")
		for at := answerNow; at.Before(answerNow.AddDate(0, 0, 7)); at = at.Add(12 * time.Hour) {
			then := p.Evaluate(snapshot, at).For("alice")
			all = slices.DeleteFunc(slices.Clone(all), func(g policy.Grant) bool {
				return !slices.ContainsFunc(then, func(still policy.Grant) bool { return still.Key == g.Key && still.Options == g.Options })
			})
			var want strings.Builder
			for _, g := range all {
				want.Write(g.Line().AppendTo(nil))
			}
			if got := saidOf(t, world, "alice", at); got != want.String() {
				rt.Fatalf("at %v: sshd is told %q, want %q", at, got, want.String())
			}
		}
	})
}
