package enforcer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/registry"
)

// book is a ledger that a test feeds; hours are counted from noon.
type book struct {
	t      *testing.T
	path   string
	ledger *enforcer.Ledger
}

func newBook(t *testing.T) *book {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger")
	ledger, err := enforcer.OpenLedger(path)
	if err != nil || ledger.Departed() != nil {
		t.Fatalf("one that is not there: %v", err)
	}
	return &book{t, path, ledger}
}

func hour(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }

// entry is a registry's entry with the lines.
func entry(tb testing.TB, name string, lines ...string) registry.User {
	tb.Helper()
	u := registry.User{Name: name, UID: 3000 + int(name[0]), GID: 100, Home: "/home/" + name}
	for _, text := range lines {
		line, err := authkeys.ParseValue([]byte(text))
		if err != nil {
			tb.Fatal(err)
		}
		u.Records = append(u.Records, registry.Record{Key: line.Key, Options: line.Options})
	}
	return u
}

// accept takes a complete reading; somebody is always in it.
func (b *book) accept(hours int, source string, users ...registry.User) enforcer.Accepted {
	b.t.Helper()
	snapshot, err := registry.New(append(users, entry(b.t, "zoe", lineD)), "test")
	if err != nil {
		b.t.Fatal(err)
	}
	return b.ledger.Accept(snapshot, source, true, hour(hours))
}

// losses tells the losses of a user: key, hour, flags.
func (b *book) losses(user string) (list []string) {
	b.t.Helper()
	names := map[authkeys.Key]string{mustKey(b.t, lineA): "A", mustKey(b.t, lineB): "B", mustKey(b.t, lineD): "D"}
	for _, l := range b.ledger.Losses(user) {
		text := fmt.Sprintf("%s %d", names[l.Key], int(l.Since.Sub(noon).Hours()))
		if l.Confirmed {
			text += " confirmed"
		}
		if l.Settled {
			text += " settled"
		}
		list = append(list, text)
	}
	return list
}

func (b *book) want(user string, losses ...string) {
	b.t.Helper()
	if got := b.losses(user); !slices.Equal(got, losses) {
		b.t.Errorf("%s lost %v, want %v", user, got, losses)
	}
}

func (b *book) departed() (names []string) {
	for _, gone := range b.ledger.Departed() {
		names = append(names, gone.Name)
	}
	return names
}

func TestLedger(t *testing.T) {
	locked := func(u registry.User) registry.User {
		u.Status = registry.Locked
		return u
	}
	until := func(hours int, u registry.User) registry.User {
		u.Until = hour(hours)
		return u
	}
	ending := func(hours int, u registry.User) registry.User {
		u.Records[0].NotAfter = hour(hours)
		return u
	}
	alice := func(lines ...string) registry.User { return entry(t, "alice", lines...) }
	for name, play := range map[string]func(b *book){
		"a key that goes": func(b *book) {
			b.accept(0, "one", alice(lineA, lineB))
			b.want("alice")
			b.accept(1, "one", alice(lineB))
			b.want("alice", "A 1")
			b.accept(2, "one", alice(lineB))
			b.want("alice", "A 1 confirmed")
			b.accept(3, "one", alice(lineA, lineB))
			b.want("alice")
			b.accept(4, "one", alice())
			b.want("alice", "A 4", "B 4")
		},
		"a key that goes, but for other options": func(b *book) {
			b.accept(0, "one", alice(lineA, "restrict "+lineA))
			b.accept(1, "one", alice("restrict "+lineA))
			b.want("alice")
			b.accept(2, "one", alice())
			b.want("alice", "A 2")
			f := b.ledger.Former(func(enforcer.Loss) string { return "" })
			if len(f) != 1 || f[0].Options.String() != "restrict" || f[0].User != "alice" || f[0].Held != "" || !f[0].Since.Equal(hour(2)) {
				t.Errorf("former keys: %v", f)
			}
		},
		"an account that is locked": func(b *book) {
			b.accept(0, "one", alice(lineA))
			b.accept(1, "one", locked(alice(lineA)))
			b.want("alice", "A 1")
			b.accept(2, "one", alice(lineA))
			b.want("alice")
		},
		"what came to its own end is settled": func(b *book) {
			b.accept(0, "one", until(1, alice(lineA)), ending(1, entry(t, "bob", lineB)))
			b.accept(2, "one", until(1, alice(lineA)), ending(1, entry(t, "bob", lineB)))
			b.want("alice", "A 2 settled")
			b.want("bob", "B 2 settled")
		},
		"an end that the registry brought forward is a loss": func(b *book) {
			b.accept(0, "one", until(9, alice(lineA)), ending(9, entry(t, "bob", lineB)))
			b.accept(2, "one", until(1, alice(lineA)), ending(1, entry(t, "bob", lineB)))
			b.want("alice", "A 2")
			b.want("bob", "B 2")
		},
		"a key that never counted": func(b *book) {
			u := alice(lineA, "cert-authority "+lineB)
			u.Records[0].NotBefore = hour(9)
			b.accept(0, "one", u)
			b.accept(1, "one", alice())
			b.want("alice")
		},
		"a key seen to be gone": func(b *book) {
			b.accept(0, "one", alice(lineA, lineB))
			b.accept(1, "one", alice())
			b.ledger.Settle("alice", func(k authkeys.Key) bool { return k == mustKey(t, lineB) })
			b.ledger.Settle("nobody", func(authkeys.Key) bool { return false })
			b.want("alice", "A 1 settled", "B 1")
			b.accept(2, "one", alice(lineA))
			b.accept(3, "one", alice())
			b.want("alice", "A 3", "B 1 confirmed")
		},
		"a user who leaves, and comes back": func(b *book) {
			b.accept(0, "one", alice(lineA))
			if a := b.accept(1, "one"); !slices.Equal(a.Left, []string{"alice"}) || len(a.Others)+len(a.Forgotten) > 0 {
				t.Errorf("accepted: %+v", a)
			}
			b.want("alice", "A 1")
			if gone := b.ledger.Departed(); len(gone) != 1 || gone[0].Home != "/home/alice" || gone[0].UID != 3097 || gone[0].GID != 100 || !gone[0].Since.Equal(hour(1)) {
				t.Errorf("departed are %v", gone)
			}
			if a := b.accept(2, "one"); len(a.Left) > 0 {
				t.Errorf("he left twice: %+v", a)
			}
			b.want("alice", "A 1 confirmed")
			b.accept(3, "one", alice(lineA))
			b.want("alice")
			if got := b.departed(); got != nil {
				t.Errorf("departed are %v", got)
			}
		},
		"another registry": func(b *book) {
			b.accept(0, "one", alice(lineA), entry(t, "bob", lineA), entry(t, "carol", lineA, lineB))
			b.accept(1, "one", entry(t, "bob", lineA), entry(t, "carol", lineA, lineB))
			a := b.accept(2, "two", entry(t, "carol", lineB), entry(t, "dan", lineA))
			if !slices.Equal(a.Others, []string{"bob"}) || len(a.Left)+len(a.Forgotten) > 0 {
				t.Errorf("accepted: %+v", a)
			}
			if got := b.departed(); !slices.Equal(got, []string{"alice"}) {
				t.Errorf("departed are %v, want who left before", got)
			}
			b.want("bob")
			b.want("carol", "A 2") // a configuration can be as wrong as a directory
		},
		"what is long ago": func(b *book) {
			b.accept(0, "one", alice(lineA), entry(t, "bob", lineA, lineB))
			b.accept(1, "one", entry(t, "bob", lineB))
			for day := range 29 {
				b.accept((371+day)*24+1, "one", entry(t, "bob", lineB))
			}
			b.accept(400*24+1, "one", entry(t, "bob", lineB))
			b.want("bob", "A 1 confirmed")
			if a := b.accept(400*24+2, "one", entry(t, "bob", lineB)); !slices.Equal(a.Forgotten, []string{"alice"}) {
				t.Errorf("accepted: %+v", a)
			}
			b.want("bob")
			b.want("alice")
		},
		"a clock that is years ahead": func(b *book) {
			b.accept(0, "one", alice(lineA), entry(t, "bob", lineA, lineB))
			b.accept(1, "one", entry(t, "bob", lineB))
			for _, hours := range []int{2, 9000 * 24, 9000*24 + 1, 3, 9000*24 + 2} {
				if a := b.accept(hours, "one", entry(t, "bob", lineB)); len(a.Forgotten) > 0 {
					t.Errorf("forgotten at %d: %v", hours, a.Forgotten)
				}
			}
			b.want("bob", "A 1 confirmed")
			if got := b.departed(); !slices.Equal(got, []string{"alice"}) {
				t.Errorf("departed are %v", got)
			}
		},
		"one who changes his keys without end": func(b *book) {
			for i := range 100 {
				b.accept(i, "one", alice(ed25519(t, i)))
			}
			if list := b.losses("alice"); len(list) != 64 || list[0] != " 99 " && !strings.HasPrefix(list[0], " 99") {
				t.Errorf("%d keys are remembered, the first %q", len(list), list[0])
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(t)
			play(b)
			// The file says the same.
			if err := b.ledger.Save(); err != nil {
				t.Fatal(err)
			}
			again, err := enforcer.OpenLedger(b.path)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(again.AllLosses(), b.ledger.AllLosses()) || !slices.Equal(again.Departed(), b.ledger.Departed()) {
				t.Errorf("read back: %v and %v", again.AllLosses(), again.Departed())
			}
			info, err := os.Stat(b.path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			if err := errors.Join(os.Remove(b.path), b.ledger.Save()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(b.path); err == nil {
				t.Error("it is written again without a change")
			}
		})
	}
}

// ed25519 is a line with a key of its own for each number.
func ed25519(tb testing.TB, n int) string {
	tb.Helper()
	wire := mustKey(tb, lineA).Wire()
	copy(wire[len(wire)-8:], fmt.Sprintf("%08d", n))
	key, err := authkeys.ParseBlob(wire)
	if err != nil {
		tb.Fatal(err)
	}
	return key.String()
}

// A ledger that cannot be read is an error that names itself, never one that knows nobody.
func TestLedgerThatCannotBeRead(t *testing.T) {
	b := newBook(t)
	b.accept(0, "one", entry(t, "alice", lineA), entry(t, "bob", "restrict "+lineB))
	path := b.path
	if err := b.ledger.Save(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(good), "\n")
	for name, text := range map[string]string{
		"empty": "", "cut": string(good[:len(good)/2]), "a line less": strings.Join(append(slices.Clone(lines[:1]), lines[2:]...), ""),
		"another home": strings.Replace(string(good), "/home/bob", "/home/bib", 1), "more": string(good) + "x", "no ledger": "{}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := enforcer.OpenLedger(path); err == nil || !strings.Contains(err.Error(), "read the ledger: "+path) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
	if err := os.WriteFile(path, good, 0o666); err != nil || os.Chmod(path, 0o666) != nil {
		t.Fatal(err)
	}
	if _, err := enforcer.OpenLedger(path); err == nil || !strings.Contains(err.Error(), "lets group or others write") {
		t.Errorf("one that others may write: %v", err)
	}
}

// 100,000 users with two keys each.
func BenchmarkLedger(b *testing.B) {
	users := make([]registry.User, 100_000)
	for i := range users {
		users[i] = entry(b, fmt.Sprintf("u%06d", i), ed25519(b, i), ed25519(b, 50_000_000+i))
		users[i].Home = fmt.Sprintf("/home/u%06d", i)
	}
	snapshot, err := registry.New(users, "test")
	if err != nil {
		b.Fatal(err)
	}
	fewer, err := registry.New(users[1:], "test")
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "ledger")
	l, err := enforcer.OpenLedger(path)
	if err != nil {
		b.Fatal(err)
	}
	l.Accept(snapshot, "one", true, noon)
	b.Run("accept", func(b *testing.B) {
		for b.Loop() {
			l.Accept(snapshot, "one", true, noon)
		}
	})
	b.Run("save", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			l.Accept([]*registry.Snapshot{fewer, snapshot}[i%2], "one", true, noon)
			if err := l.Save(); err != nil {
				b.Fatal(err)
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size()), "bytes")
	})
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := enforcer.OpenLedger(path); err != nil {
				b.Fatal(err)
			}
		}
	})
}
