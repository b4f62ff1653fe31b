package enforcer_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// persons are what a test knows of who has which uid.
type persons struct {
	had    map[int]map[authkeys.Key]bool // what was ever registered, by uid
	mixed  map[int]bool                  // uids that two had at once, or of an account that was numbered anew: whose is what is not known
	home   map[int]string
	uids   map[string]int // the last one of each name
	having map[int]int    // how many have it by the last reading
}

// draw gives a registry of some of four names, by five uids.
func (p *persons) draw(t *testing.T, rt *rapid.T, lines []string) (users []registry.User) {
	t.Helper()
	p.having = make(map[int]int)
	for n := range 4 {
		number := rapid.IntRange(0, 5).Draw(rt, "uid")
		if u := someone(number); number > 0 && (p.having[u.UID] == 0 || rapid.IntRange(0, 9).Draw(rt, "twins") == 0) {
			if u.Name = fmt.Sprint("n", n); rapid.IntRange(0, 3).Draw(rt, "moves") == 0 {
				u.Home = "/home/" + u.Name
			}
			for _, text := range rapid.SliceOfNDistinct(rapid.SampledFrom(lines), 0, 3, rapid.ID).Draw(rt, "keys") {
				u.Records = append(u.Records, record(t, text))
			}
			p.having[u.UID]++
			p.mixed[u.UID] = p.mixed[u.UID] || p.having[u.UID] > 1
			users = append(users, u)
		}
	}
	return append(users, someone(9, record(t, lineA))) // a registry has a key
}

// learn takes a reading.
func (p *persons) learn(users []registry.User) {
	for _, u := range users {
		if was, known := p.uids[u.Name]; known && was != u.UID && (p.home[u.UID] == "" || p.mixed[u.UID]) {
			p.mixed[was], p.mixed[u.UID] = true, true
		}
	}
	for _, u := range users {
		p.uids[u.Name], p.home[u.UID] = u.UID, u.Home
		if p.had[u.UID] == nil {
			p.had[u.UID] = make(map[authkeys.Key]bool)
		}
		for _, r := range u.Records {
			p.had[u.UID][r.Key] = true
		}
	}
}

// judge wants what is registered to be granted, and what a person lost to be refused him by his present name, and him by no other.
func (p *persons) judge(rt *rapid.T, w *enforcer.World, users []registry.User, lines []string) {
	for _, u := range users {
		for _, text := range lines {
			line := authkeys.Parse([]byte(text))[0]
			now := slices.ContainsFunc(u.Records, func(r registry.Record) bool { return r.Key == line.Key })
			switch v := w.Grants.Judge(u.Name, line); {
			case now != v.Granted():
				rt.Fatalf("%s: registered %v, and %v", u.Name, now, v)
			case !now && !p.mixed[u.UID] && p.had[u.UID][line.Key] && v.Reason != policy.ReasonFormer:
				rt.Fatalf("%s, uid %d, lost a key, and %v", u.Name, u.UID, v)
			}
		}
	}
	refused := make(map[string][]string)
	for a := range w.Answers() {
		for _, k := range a.Keys {
			if refused[a.Name] = a.Refused; slices.Contains(a.Refused, k.Fingerprint) {
				rt.Fatalf("%s is refused what is granted to him", a.Name)
			}
		}
		refused[a.Name] = a.Refused
	}
	for name := range p.uids {
		if _, there := w.Snapshot.User(name); !there && !slices.Equal(refused[name], []string{answer.Everything}) && len(p.had[p.uids[name]]) > 0 {
			rt.Fatalf("%s is nobody's name, and is refused %v", name, refused[name])
		}
	}
}

// count wants one person, and one account when he is gone, of each uid.
func (p *persons) count(rt *rapid.T, ledger *enforcer.Ledger) {
	counted, gone := make(map[string]string), make(map[int]int)
	for _, loss := range ledger.AllLosses() {
		uid, _, _ := strings.Cut(loss.Person, "/")
		if was, there := counted[uid]; there && was != loss.Person && !slices.ContainsFunc(mixedOf(p), func(text string) bool { return text == uid }) {
			rt.Fatalf("one counts as %s and %s", was, loss.Person)
		}
		counted[uid] = loss.Person
	}
	for _, one := range ledger.Departed() {
		gone[one.UID]++
	}
	for uid := range p.home {
		if want := min(1, 1-min(1, p.having[uid])); !p.mixed[uid] && uid != someone(9).UID && gone[uid] != want {
			rt.Fatalf("of uid %d %d are known who left, want %d", uid, gone[uid], want)
		}
	}
}

func mixedOf(p *persons) (list []string) {
	for uid, is := range p.mixed {
		if is {
			list = append(list, fmt.Sprint("uid ", uid))
		}
	}
	return list
}

// Whatever names, uids and keys people take, in readings of all and of some and over restarts: what is registered is granted, what a person lost is refused him by
// whatever name he has, nobody is let in by a name that is nobody's, and a person counts once.
func TestPersonsLaws(t *testing.T) {
	lines := []string{ed25519(t, 0), ed25519(t, 1), ed25519(t, 2)}
	rapid.Check(t, func(rt *rapid.T) {
		p, path := newPast(t, 100), filepath.Join(t.TempDir(), "ledger")
		open := func() {
			ledger, err := enforcer.OpenLedger(path)
			if err != nil {
				rt.Fatal(err)
			}
			p.memory.Ledger = ledger
		}
		open()
		last := p.read(t, []registry.User{someone(9, record(t, lineA))})
		of := &persons{map[int]map[authkeys.Key]bool{}, map[int]bool{}, map[int]string{}, map[string]int{}, nil}
		for range rapid.IntRange(1, 10).Draw(rt, "readings") {
			users := of.draw(t, rt, lines)
			if rapid.Bool().Draw(rt, "amended") {
				snapshot, err := registry.New(users, "test")
				if err != nil {
					rt.Fatal(err)
				}
				p.now = p.now.Add(time.Second)
				last, _, _ = p.memory.Amend(last, snapshot, false, p.now)
			} else {
				last = p.read(t, users)
			}
			of.learn(users)
			of.judge(rt, last, users, lines)
			of.count(rt, p.memory.Ledger)
			if rapid.IntRange(0, 3).Draw(rt, "restart") == 0 {
				if err := p.memory.Ledger.Save(); err != nil {
					rt.Fatal(err)
				}
				open()
				last = p.memory.World(last.Snapshot, p.rules.Evaluate(last.Snapshot, p.now), enforcer.Scope{}, p.brake, false)
				of.judge(rt, last, users, lines)
				of.count(rt, p.memory.Ledger)
			}
		}
	})
}
