package policy_test

import (
	"crypto/ed25519"
	"crypto/rand"
	_ "embed"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// from2048 accepts short RSA keys, which are faster to make; what is weak does not depend on it.
func from2048() policy.Rules {
	return policy.Rules{Keys: []policy.Rule{{Type: "ed25519"}, {Type: "sk-ed25519"}, {Type: "rsa", MinBits: 2048}}}
}

// refused wants a key to let nobody in, wherever it stands, by one reason where somebody stands for it: in the registry, by an exception,
// held as a former key, or in the user's own file.
func refused(t *testing.T, p *policy.Policy, name, text string, want policy.Reason) {
	t.Helper()
	line := parse(t, text)
	if line.Kind != authkeys.Entry {
		t.Fatalf("%s: %v", name, line.Err)
	}
	snapshot := func(lines ...string) *registry.Snapshot {
		return snapshotOf(t, user(t, "alice", lines...), user(t, "bob", lineA))
	}
	granted := func(where string, g *policy.Grants) bool {
		t.Helper()
		verdict := g.Judge("alice", line)
		in := slices.ContainsFunc(g.For("alice"), func(grant policy.Grant) bool { return grant.Key == line.Key })
		if verdict.Stays() || in {
			t.Errorf("%s, %s: granted (%v)", name, where, verdict)
		}
		return verdict.Reason == want
	}
	registered := p.Evaluate(snapshot(text), now)
	if !granted("registered", registered) || len(registered.Denied("alice")) != 1 || registered.Denied("alice")[0].Reason != want {
		t.Errorf("%s, registered: %v, denied %v, want %s", name, registered.Judge("alice", line), registered.Denied("alice"), want)
	}
	e := exception(t, "alice", text)
	if _, err := p.NewException(e, now); err == nil {
		t.Errorf("%s: an exception is made", name)
	}
	excepted := p.Evaluate(snapshot(), now, e)
	if granted("excepted", excepted); len(excepted.Exceptions()) != 1 || excepted.Exceptions()[0].Idle == "" {
		t.Errorf("%s: the exception counts", name)
	}
	none := p.Evaluate(snapshot(), now)
	granted("unknown", none)
	held := policy.Former{User: "alice", Grant: policy.Grant{Key: line.Key, Held: "the brake"}, Since: now}
	if !granted("held", none.WithFormer([]policy.Former{held})) {
		t.Errorf("%s, held: not %s", name, want)
	}
}

func compile(t *testing.T, rules policy.Rules, lists ...policy.Blocklist) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(rules, lists...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func snapshotOf(t *testing.T, users ...registry.User) *registry.Snapshot {
	t.Helper()
	snapshot, err := registry.New(users, "test")
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func prime(t *testing.T, bits int) *big.Int {
	t.Helper()
	p, err := rand.Prime(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// infineonPrime is one as the chip makes it: k·M + (65537^a mod M), where M is the product of the first primes, how many depends on the
// size of the modulus (Nemec et al., table 1).
func infineonPrime(t *testing.T, bits, primes int) *big.Int {
	t.Helper()
	m := big.NewInt(1)
	for p := int64(2); primes > 0; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(p))
			primes--
		}
	}
	low := new(big.Int).Lsh(big.NewInt(3), uint(bits-2))
	span := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), uint(bits-2)), m)
	for {
		a, errA := rand.Int(rand.Reader, m)
		k, errK := rand.Int(rand.Reader, span)
		if errA != nil || errK != nil {
			t.Fatal(errA, errK)
		}
		p := new(big.Int).Div(low, m)
		p.Add(p, k).Add(p, big.NewInt(1)).Mul(p, m).Add(p, a.Exp(big.NewInt(65537), a, m))
		if p.BitLen() == bits && p.ProbablyPrime(1) {
			return p
		}
	}
}

func TestWeakRSAIsRefusedEverywhere(t *testing.T) {
	p := compile(t, from2048())
	f4, sound := big.NewInt(65537), modulus(2048)
	times := func(a, b *big.Int) *big.Int { return new(big.Int).Mul(a, b) }
	power := func(bits uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), bits) }
	near := prime(t, 1024)
	next := new(big.Int).Add(near, power(514)) // found within the first rounds
	for !next.ProbablyPrime(0) {
		next.Add(next, big.NewInt(1))
	}
	for name, c := range map[string]struct {
		n, e *big.Int
		want policy.Reason
	}{
		"e 0":               {sound, big.NewInt(0), "weak"},
		"e 1":               {sound, big.NewInt(1), "weak"},
		"e 2":               {sound, big.NewInt(2), "weak"},
		"e 65536":           {sound, big.NewInt(65536), "weak"},
		"e of 65 bits":      {sound, new(big.Int).Add(power(64), big.NewInt(1)), "weak"},
		"e is n":            {sound, sound, "weak"},
		"e above n":         {sound, new(big.Int).Add(power(2050), big.NewInt(1)), "weak"},
		"n even":            {new(big.Int).Add(sound, big.NewInt(1)), f4, "weak"},
		"n by 3":            {times(prime(t, 2047), big.NewInt(3)), f4, "small-factor"},
		"n by 65537":        {times(prime(t, 2040), big.NewInt(65537)), f4, "small-factor"},
		"n of small ones":   {new(big.Int).Exp(big.NewInt(1009), big.NewInt(221), nil), f4, "small-factor"},
		"ROCA 2048":         {times(infineonPrime(t, 1024, 126), infineonPrime(t, 1024, 126)), f4, "roca"},
		"a square":          {times(near, near), f4, "close-primes"},
		"primes near":       {times(near, next), f4, "close-primes"},
		"primes near, e 35": {times(near, next), big.NewInt(35), "close-primes"},
	} {
		refused(t, p, name, rsaLine(c.n, c.e), c.want)
	}
}

// sound wants a registered key to be granted.
func sound(t *testing.T, p *policy.Policy, name, text string) {
	t.Helper()
	if v := p.Evaluate(snapshotOf(t, user(t, "alice", text)), now).Judge("alice", parse(t, text)); !v.Granted() {
		t.Errorf("%s: %s: %v", name, text, v)
	}
}

// What is sound stays so: small odd exponents, exponents of up to 64 bits, factors above the bound, primes that are far enough apart, powers of 65537 modulo
// some small primes only.
func TestSoundRSAIsGranted(t *testing.T) {
	p := compile(t, from2048())
	sound := func(name string, n, e *big.Int) {
		t.Helper()
		sound(t, p, name, rsaLine(n, e))
	}
	f4 := big.NewInt(65537)
	for _, e := range []int64{3, 5, 17, 35, 37, 65537, 1<<32 + 1} {
		sound("a small exponent", modulus(2048), big.NewInt(e))
	}
	sound("an exponent of 64 bits", modulus(2048), new(big.Int).SetUint64(1<<64-1))
	sound("a factor above the bound", new(big.Int).Mul(prime(t, 2040), big.NewInt(65539)), f4)
	near := prime(t, 1024)
	far := new(big.Int).Add(near, new(big.Int).Lsh(big.NewInt(1), 600))
	for !far.ProbablyPrime(0) {
		far.Add(far, big.NewInt(1))
	}
	sound("primes that differ in their lower 600 bits", new(big.Int).Mul(near, far), f4)
	sound("one prime of Infineon's", new(big.Int).Mul(infineonPrime(t, 1024, 126), prime(t, 1024)), f4)

	// Every pair of these primes is a modulus: thousands of them, at the price of a few dozen primes.
	primes := make([]*big.Int, 65)
	for i := range primes {
		primes[i] = prime(t, 1024)
		for _, other := range primes[:i] {
			sound("two random primes", new(big.Int).Mul(primes[i], other), f4)
		}
	}
}

// The chip's keys of each size are known by the same primes.
func TestROCAOfEachSize(t *testing.T) {
	p := compile(t, from2048())
	for bits, primes := range map[int]int{1024: 71, 2048: 126, 3072: 126} {
		n := new(big.Int).Mul(infineonPrime(t, bits/2, primes), infineonPrime(t, bits/2, primes))
		if n.BitLen() != bits {
			t.Fatalf("%d bits, want %d", n.BitLen(), bits)
		}
		_, err := p.NewException(exception(t, "alice", rsaLine(n, big.NewInt(65537))), now)
		if err == nil || !strings.Contains(err.Error(), "ROCA") {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}

//go:embed testdata/badkeys.txt
var badkeys string

// Another program's own bad keys, and its good ones, are judged as it does where it looks for the same.
func TestKeysOfBadkeys(t *testing.T) {
	p, seen := compile(t, from2048()), 0
	for text := range strings.Lines(badkeys) {
		reason, line, _ := strings.Cut(strings.TrimSpace(text), " ")
		if reason == "#" {
			continue
		}
		seen++
		if reason != "granted" {
			refused(t, p, line[len(line)-24:], line, policy.Reason(reason))
			continue
		}
		sound(t, p, "badkeys", line)
	}
	if seen != 15 {
		t.Errorf("%d keys", seen)
	}
}

//go:embed testdata/centres.txt
var centres string

// What centres tell their users to make is judged by the rules alone.
func TestKeysOfCentres(t *testing.T) {
	p, seen := compile(t, policy.DefaultRules()), 0
	for text := range strings.Lines(centres) {
		reason, line, _ := strings.Cut(strings.TrimSpace(text), " ")
		if reason == "#" {
			continue
		}
		seen++
		g := p.Evaluate(snapshotOf(t, user(t, "alice", line)), now)
		if v := g.Judge("alice", parse(t, line)); v.Reason != policy.Reason(reason) {
			t.Errorf("%s: %v, want %s", line, v, reason)
		}
	}
	if seen != 3 {
		t.Errorf("%d keys", seen)
	}
}

// Real keys of real programs are not weak.
func TestKeysOfProgramsAreSound(t *testing.T) {
	p := compile(t, from2048())
	for range 3000 {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		sound(t, p, "ed25519", ed25519Line(public))
	}
	testenv.Need(t, "sshd")
	keygen, err := testenv.Program("ssh-keygen")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ed25519 ", "rsa 2048", "rsa 2048", "rsa 3072", "rsa 4096"} {
		typ, bits, _ := strings.Cut(kind, " ")
		path := filepath.Join(t.TempDir(), "key")
		arguments := []string{"-q", "-t", typ, "-N", "", "-f", path}
		if bits != "" {
			arguments = append(arguments, "-b", bits)
		}
		if out, err := exec.Command(keygen, arguments...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		text, err := os.ReadFile(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		sound(t, p, kind, strings.TrimSpace(string(text)))
	}
}
