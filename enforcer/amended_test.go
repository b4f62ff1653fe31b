package enforcer_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// fate makes a registry in which names, uids and homes collide, keys begin and end, and accounts come, go and are locked.
type fate struct {
	*rand.Rand
	tb    testing.TB
	lines []string
}

func (f fate) user(now time.Time) registry.User {
	n := f.IntN(8)
	u := entry(f.tb, fmt.Sprint("u", n), f.some()...)
	u.UID, u.Home = 1000+f.IntN(6), fmt.Sprint("/home/h", f.IntN(8))
	if f.IntN(3) > 0 { // mostly he is who he was
		u.UID, u.Home = 1000+n, fmt.Sprint("/home/h", n)
	}
	if f.IntN(12) == 0 {
		u.UID = []int{-1, 7, 900}[f.IntN(3)]
	}
	if f.IntN(12) == 0 {
		u.Home = []string{"", "/", "/home/here"}[f.IntN(3)]
	}
	u.Status = []registry.Status{registry.Active, registry.Active, registry.Active, registry.Locked}[f.IntN(4)]
	u.Until = f.moment(now)
	for i := range u.Records {
		u.Records[i].NotBefore, u.Records[i].NotAfter = f.moment(now), f.moment(now)
		if f.IntN(3) == 0 {
			u.Records[i].Options, _ = authkeys.ParseOptions("restrict")
		}
	}
	if f.IntN(6) == 0 {
		u.Rejects = []registry.Reject{{Origin: "o", Code: "c", Detail: "d"}}
	}
	return u
}

// moment is mostly none, or one not long before or after now.
func (f fate) moment(now time.Time) time.Time {
	if f.IntN(4) > 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(f.IntN(40)-8) * time.Minute)
}

func (f fate) some() (lines []string) {
	for _, line := range f.lines {
		if f.IntN(3) == 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

func (f fate) exceptions(now time.Time) (list []policy.Exception) {
	for i := range f.IntN(5) {
		list = append(list, policy.Exception{
			ID: fmt.Sprint("E", i), User: []string{fmt.Sprint("u", f.IntN(8)), "stranger"}[f.IntN(5)/4], Key: mustKey(f.tb, f.lines[f.IntN(len(f.lines))]),
			Owner: "root", Reason: "ticket 7", Since: now.Add(time.Duration(f.IntN(30)-10) * time.Minute), Until: now.Add(time.Duration(f.IntN(60)+21) * time.Minute),
		})
	}
	return list
}

// A world that is made at the cost of one user is the one that would be made of all, in everything: whose homes are kept and why not,
// what is granted, held, denied and why, and when time changes that; and it leaves the one it was made of as it was.
func TestAmendedWorld(t *testing.T) {
	for seed := range uint64(12) {
		f := fate{Rand: rand.New(rand.NewPCG(seed, 5)), tb: t, lines: []string{lineA, lineB, lineD}}
		now, rules := noon, mustCompile(t, policy.DefaultRules())
		if seed%4 == 3 { // on the way a rule ends, and another begins
			today, tomorrow := policy.Day(noon.Format(time.DateOnly)), policy.Day(noon.AddDate(0, 0, 1).Format(time.DateOnly))
			now = noon.Truncate(24 * time.Hour).Add(22 * time.Hour)
			rules = mustCompile(t, policy.Rules{Keys: []policy.Rule{{Type: "ed25519", Until: today}, {Type: "rsa", MinBits: 4096, From: tomorrow}}})
		}
		base := entry(t, "base", lineA)
		snapshot, err := registry.New([]registry.User{base}, "test")
		if err != nil {
			t.Fatal(err)
		}
		scope := enforcer.Scope{
			MinUID: 1000, Include: []string{"u1", "u2", "stranger"},
			Lookup: func(name string) (homes.Account, error) {
				if name == "stranger" {
					return homes.Account{Name: name, UID: 1003, GID: 1, Home: "/home/h3"}, nil
				}
				return homes.Account{}, errors.New("unknown user")
			},
			Local: func() ([]homes.Account, error) {
				return []homes.Account{{Name: "u4", UID: 1004}, {Name: "here", UID: 50, Home: "/home/here"}}, nil
			},
		}
		pad := newPad(t)
		pad.hand.Now = func() time.Time { return now }
		brake := enforcer.Brake{People: 1, Window: time.Hour}
		one, all := enforcer.Memory{Ledger: enforcer.NewLedger(), Brakes: pad.brakes}, enforcer.Memory{Ledger: enforcer.NewLedger(), Brakes: pad.brakes}
		var w *enforcer.World
		var exceptions []policy.Exception
		var settled []string
		away := false
		for step := range 120 {
			if w == nil || f.IntN(25) == 0 { // as by a whole reading
				exceptions, away = f.exceptions(now), f.IntN(2) == 0
				for _, m := range []enforcer.Memory{one, all} {
					m.Ledger.Accept(snapshot, "one", true, now)
				}
				w = one.World(snapshot, rules.Evaluate(snapshot, now, exceptions...), scope, brake, away)
			}
			for range f.IntN(3) { // some wait together
				next, err := snapshot.With(f.user(now))
				if f.IntN(4) == 0 {
					next, err = snapshot.Without(fmt.Sprint("u", f.IntN(8)))
				}
				if err != nil {
					t.Fatal(err)
				}
				snapshot = next
			}
			now = now.Add(time.Duration(f.IntN(4)*f.IntN(4)) * time.Minute)
			if seed%3 > 0 && f.IntN(20) == 0 {
				pad.toggle(now, one.Ledger.AllLosses())
			}
			before, was := w, facts(one, w, f.lines)
			var names []string
			if w, names, _ = one.Amend(w, snapshot, away, now, settled...); names == nil {
				t.Fatalf("seed %d, step %d: nobody is named, which the loop takes for anybody", seed, step)
			}
			settled = nil
			all.Ledger.Accept(snapshot, "one", false, now)
			all.Ledger.AcceptUsers(snapshot, now, nil, registry.Changed(before.Snapshot, snapshot)) // who was read alone is confirmed
			want := all.World(snapshot, rules.Evaluate(snapshot, now, exceptions...), scope, brake, away)
			if d := cmp.Diff(facts(all, want, f.lines), facts(one, w, f.lines), inside()...); d != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, d)
			}
			was.Losses = nil // the ledger goes on
			if d := cmp.Diff(was, facts(enforcer.Memory{Ledger: enforcer.NewLedger()}, before, f.lines), inside()...); d != "" {
				t.Fatalf("seed %d, step %d: the world before has changed: %s", seed, step, d)
			}
			if f.IntN(5) == 0 {
				name := fmt.Sprint("u", f.IntN(8))
				for _, m := range []enforcer.Memory{one, all} {
					m.Ledger.Settle(name, func(authkeys.Key) bool { return false })
				}
				settled = append(settled, name) // his keys are held no longer
			}
		}
	}
}

// toggle trips the brake, or releases it.
func (p *pad) toggle(now time.Time, losses []enforcer.Loss) {
	p.tb.Helper()
	if p.brakes.State().On() {
		if _, err := p.hand.Release(p.brakes, losses, "root", "ticket 7"); err != nil {
			p.tb.Fatal(err)
		}
		return
	}
	for i := range 3 {
		_ = p.losesAt(fmt.Sprint("p", i), now)
	}
	if !p.brakes.State().On() {
		p.tb.Fatal("the brake is not on")
	}
}

// known is all that a world decides.
type known struct {
	World      *enforcer.World // but for what follows
	Next       time.Time
	Exceptions []policy.Excepted
	Users      map[string]verdicts
	Losses     []enforcer.Loss
}

type verdicts struct {
	Grants []policy.Grant
	Denied []policy.Denial
	Away   policy.Verdict
	Lines  []policy.Verdict
}

func facts(m enforcer.Memory, w *enforcer.World, lines []string) known {
	k := known{World: w, Next: w.Grants.Next(), Exceptions: w.Exceptions(), Users: make(map[string]verdicts), Losses: m.Ledger.AllLosses()}
	for _, name := range []string{"base", "stranger", "u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7"} {
		v := verdicts{Grants: w.Grants.For(name), Denied: w.Grants.Denied(name), Away: w.Grants.Away(name)}
		for _, text := range lines {
			v.Lines = append(v.Lines, w.Grants.Judge(name, authkeys.Parse([]byte(text + "\n"))[0]))
		}
		k.Users[name] = v
	}
	return k
}

// inside compares worlds by all that is in them, but for what facts asks.
func inside() []cmp.Option {
	return []cmp.Option{
		cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(enforcer.World{}, "Snapshot", "Grants", "scope"),
	}
}

// What one notice costs beside an evaluation of all: one user's key goes, and comes.
func BenchmarkWorld(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		users := make([]registry.User, n)
		for i := range users {
			users[i] = entry(b, fmt.Sprintf("u%06d", i), ed25519(b, i), ed25519(b, 50_000_000+i))
			users[i].UID, users[i].Home = 3000+i, fmt.Sprintf("/home/u%06d", i)
		}
		snapshot, err := registry.New(users, "test")
		if err != nil {
			b.Fatal(err)
		}
		p, err := policy.Compile(policy.DefaultRules())
		if err != nil {
			b.Fatal(err)
		}
		m := enforcer.Memory{Ledger: enforcer.NewLedger()}
		whole := func() *enforcer.World {
			m.Ledger.Accept(snapshot, "one", true, noon)
			return m.World(snapshot, p.Evaluate(snapshot, noon), enforcer.Scope{MinUID: 1}, enforcer.Brake{}, false)
		}
		less := users[n/2]
		less.Records = less.Records[:1]
		moved := users[n/2]
		moved.Home = "/home/moved"
		b.Run(fmt.Sprintf("whole/%d", n), func(b *testing.B) {
			for b.Loop() {
				whole()
			}
		})
		for name, other := range map[string]registry.User{"keys": less, "home": moved, "braked": less} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				m.Brakes = nil
				if name == "braked" {
					pad := newPad(b)
					pad.toggle(noon, nil)
					m.Brakes = pad.brakes
				}
				w := whole()
				for i := 0; b.Loop(); i++ {
					next, err := w.Snapshot.With([]registry.User{other, users[n/2]}[i%2])
					if err != nil {
						b.Fatal(err)
					}
					w, _, _ = m.Amend(w, next, false, noon)
				}
			})
		}
	}
}
