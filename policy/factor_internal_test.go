package policy

import (
	"crypto/rand"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/registry"
)

// oddNumber is random, of exactly this many bits, without a small factor.
func oddNumber(tb testing.TB, m *moduli, bits uint) *big.Int {
	tb.Helper()
	for {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits-1))
		if err != nil {
			tb.Fatal(err)
		}
		n.SetBit(n.SetBit(n, 0, 1), int(bits-1), 1)
		if new(big.Int).GCD(nil, nil, m.primorial, n).Cmp(big.NewInt(1)) == 0 {
			return n
		}
	}
}

// The last round that is made finds its factors, and the next one would: a bound of the work is one of what is found.
func TestRoundsOfFermat(t *testing.T) {
	m := newModuli()
	two := big.NewInt(2)
	for _, round := range []int64{0, 1, 2, 99, 500, rounds - 1, rounds, 2 * rounds, 1 << 40} {
		// n = a² - b² where a is round numbers above the root: b² = n's distance, so b ≈ sqrt(2·a·round).
		a := oddNumber(t, m, 1024)
		b := new(big.Int).Mul(two, a)
		b.Sqrt(b.Mul(b, big.NewInt(round+1)))
		if b.Sub(b, big.NewInt(1)); (b.Bit(0) ^ a.Bit(0)) == 0 {
			b.Sub(b, big.NewInt(1)) // a-b and a+b must be odd
		}
		p, q := new(big.Int).Sub(a, b), new(big.Int).Add(a, b)
		n := new(big.Int).Mul(p, q)
		root := new(big.Int).Sqrt(n)
		got := new(big.Int).Sub(a, root.Add(root, big.NewInt(1))).Int64()
		if got != round {
			t.Fatalf("the factors are found in round %d, want %d", got, round)
		}
		if found := m.squares.closePrimes(n); found != (round < rounds) {
			t.Errorf("round %d: found is %v", round, found)
		}
	}
	p := oddNumber(t, m, 1024)
	if !m.squares.closePrimes(p.Mul(p, p)) {
		t.Error("a square is not found")
	}
}

// The sieve lets every square pass, whatever it is counted from.
func TestSieve(t *testing.T) {
	m, word := newModuli(), new(big.Int).SetUint64(sieveWord)
	passed := 0
	for range 20000 {
		x, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 200))
		if err != nil {
			t.Fatal(err)
		}
		square := new(big.Int).Mul(x, x)
		if !m.squares.maybeSquare(square.Mod(square, word).Uint64()) {
			t.Fatalf("%v² does not pass", x)
		}
		if m.squares.maybeSquare(x.Mod(x, word).Uint64()) {
			passed++
		}
	}
	if passed > 20 {
		t.Errorf("%d of 20,000 numbers pass, want about one", passed)
	}
}

// One prime that a modulus does not fit clears it of ROCA, whichever it is.
func TestFingerprintNeedsEveryPrime(t *testing.T) {
	primes := oddPrimes(mostROCA)
	f := newFingerprint(primes)
	if last := primes[len(primes)-1]; last != mostROCA || len(primes) != 70 {
		t.Fatalf("%d primes up to %d", len(primes), last)
	}
	product := big.NewInt(1)
	for _, p := range primes {
		product.Mul(product, new(big.Int).SetUint64(p))
	}
	weak := new(big.Int).Exp(big.NewInt(65537), big.NewInt(0x123456789), product)
	if weak.Add(weak, new(big.Int).Lsh(product, 1500)); !f.fits(weak) {
		t.Fatal("a power of 65537 does not fit")
	}
	cleared := 0
	for _, p := range primes {
		is := powers(p)
		other := slices.Index(is[1:], false) + 1
		if other == 0 {
			continue // all residues are powers modulo this prime; it says nothing
		}
		cleared++
		// add a multiple of all the other primes that turns the residue modulo p into other
		prime := new(big.Int).SetUint64(p)
		rest := new(big.Int).Div(product, prime)
		factor := new(big.Int).ModInverse(rest, prime)
		factor.Mul(factor, new(big.Int).Sub(big.NewInt(int64(other)), new(big.Int).Mod(weak, prime))).Mod(factor, prime)
		n := new(big.Int).Add(weak, factor.Mul(factor, rest))
		if f.fits(n) {
			t.Errorf("a modulus that is %d modulo %d fits", other, p)
		}
	}
	if cleared < 30 {
		t.Errorf("only %d primes say something", cleared)
	}
}

// What a snapshot has is remembered as long as one of the last two snapshots has it, or somebody asks.
func TestModuliRemember(t *testing.T) {
	m := newModuli()
	list := make([]authkeys.Key, 3)
	for i := range list {
		list[i] = wire(t, oddNumber(t, m, 2048))
	}
	with := func(keys ...authkeys.Key) {
		t.Helper()
		u := registry.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}
		for _, key := range keys {
			u.Records = append(u.Records, registry.Record{Key: key})
		}
		snapshot, err := registry.New([]registry.User{u}, "test")
		if err != nil {
			t.Fatal(err)
		}
		m.examine(snapshot)
	}
	knows := func(want ...authkeys.Key) {
		t.Helper()
		all := maps.Clone(m.before)
		maps.Copy(all, m.found)
		for _, key := range list {
			if _, ok := all[key]; ok != slices.Contains(want, key) {
				t.Errorf("%s: known is %v", key.Fingerprint(), ok)
			}
		}
	}
	with(list[0], list[1])
	knows(list[0], list[1])
	with(list[1])
	m.verdict(list[2])
	knows(list...)
	with(list[1])
	knows(list[1], list[2])
	with(list[1])
	knows(list[1])

	p, err := Compile(DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	if p.Remember(&Policy{moduli: m}); p.moduli != m {
		t.Error("a new policy begins anew")
	}
}

// What nobody stands for is refused as unknown, without a look at its modulus.
func TestUnknownModuliAreNotFactored(t *testing.T) {
	p, err := Compile(DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	a := oddNumber(t, p.moduli, 2049)
	key := wire(t, a.Mul(a, a))
	known := registry.Record{Key: wire(t, oddNumber(t, p.moduli, 4096))}
	snapshot, err := registry.New([]registry.User{{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice", Records: []registry.Record{known}}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	v := p.Evaluate(snapshot, time.Unix(0, 0)).Judge("alice", authkeys.Line{Kind: authkeys.Entry, Key: key})
	if v.Reason != ReasonUnregistered || len(p.moduli.found) != 1 {
		t.Errorf("%v, %d moduli were looked at", v, len(p.moduli.found))
	}
}

// wire makes a key of a modulus.
func wire(tb testing.TB, n *big.Int) authkeys.Key {
	tb.Helper()
	blob := make([]byte, 0, 4+7+4+3+4+1+len(n.Bytes()))
	for _, field := range [][]byte{[]byte("ssh-rsa"), {1, 0, 1}, append([]byte{0}, n.Bytes()...)} {
		blob = append(blob, 0, 0, byte(len(field)>>8), byte(len(field)))
		blob = append(blob, field...)
	}
	key, err := authkeys.ParseBlob(blob)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// What was examined is known to whoever evaluates next; it is not forgotten by a snapshot that comes between.
func TestExamine(t *testing.T) {
	p, err := Compile(DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	var user registry.User
	for range 3 {
		user.Records = append(user.Records, registry.Record{Key: wire(t, oddNumber(t, p.moduli, 4096))})
	}
	p.Examine(user)
	other, err := registry.New([]registry.User{{Name: "bob", Records: []registry.Record{{Key: wire(t, oddNumber(t, p.moduli, 2048))}}}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	p.Evaluate(other, time.Now())
	for _, r := range user.Records {
		if _, known := p.moduli.recall(r.Key); !known {
			t.Errorf("%s was not looked at", r.Key.Fingerprint())
		}
	}
}

// BenchmarkCheck measures one key: one that is new, and one that is known.
func BenchmarkCheck(b *testing.B) {
	p, err := Compile(Rules{Keys: []Rule{{Type: rsa, MinBits: 2048}}})
	if err != nil {
		b.Fatal(err)
	}
	for name, bits := range map[string]uint{"2048": 2048, "4096": 4096, "16384": 16384} {
		key := wire(b, oddNumber(b, p.moduli, bits))
		b.Run("new/"+name, func(b *testing.B) {
			for b.Loop() {
				clear(p.moduli.found)
				p.check(key, time.Now())
			}
		})
		b.Run("known/"+name, func(b *testing.B) {
			for b.Loop() {
				p.check(key, time.Now())
			}
		})
		b.Run("line/"+name, func(b *testing.B) {
			for b.Loop() {
				p.glance(key, time.Now())
			}
		})
	}
}
