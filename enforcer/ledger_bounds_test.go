package enforcer_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

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

// resum gives the text of a ledger's file the digest of its content.
func resum(text string) string {
	body := text[:strings.LastIndex(strings.TrimSuffix(text, "\n"), "\n")+1]
	return fmt.Sprintf("%s{\"sha256\":\"%x\"}\n", body, sha256.Sum256([]byte(body)))
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
