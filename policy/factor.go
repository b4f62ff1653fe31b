package policy

import (
	"math/big"
	"math/bits"
	"runtime"
	"slices"
	"sync"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/registry"
)

// moduli finds RSA moduli that anybody can factor, and remembers what it found: a fifth of a millisecond is too long to be
// spent on every key of every reading. It is asked only about keys that the registry, or an exception, stands or stood for, so that
// nobody fills it or keeps it busy by his own file.
//
// Its bounds are those of badkeys or wider. Moduli that share a factor with each other it does not compare.
type moduli struct {
	primorial *big.Int // the product of the odd primes up to smallPrimes
	roca      fingerprint
	squares   sieve

	mu sync.Mutex
	// found are the keys that were asked for since the last snapshot, before those of the time before it.
	found, before map[authkeys.Key]Verdict
}

const (
	// smallPrimes is the largest small factor that is looked for: a modulus with one was damaged, or never had two large primes.
	smallPrimes = 65537
	// rounds of Fermat's method. Two primes of their own random bits are never that near to each other.
	rounds = 1000
)

func newModuli() *moduli {
	odd := oddPrimes(smallPrimes)
	return &moduli{primorial: product(odd), roca: newFingerprint(odd), squares: newSieve(), found: make(map[authkeys.Key]Verdict)}
}

// oddPrimes lists the odd primes up to a bound (Eratosthenes).
func oddPrimes(bound int) (list []uint64) {
	composite := make([]bool, bound+1)
	for i := 3; i <= bound; i += 2 {
		if composite[i] {
			continue
		}
		list = append(list, uint64(i))
		for j := i * i; j <= bound; j += 2 * i {
			composite[j] = true
		}
	}
	return list
}

// product multiplies halves, which is much faster than one after the other.
func product(list []uint64) *big.Int {
	if len(list) == 1 {
		return new(big.Int).SetUint64(list[0])
	}
	half := len(list) / 2
	low := product(list[:half])
	return low.Mul(low, product(list[half:]))
}

// verdict judges an RSA key.
func (m *moduli) verdict(key authkeys.Key) Verdict {
	m.mu.Lock()
	verdict, ok := m.recall(key)
	m.mu.Unlock()
	if !ok {
		verdict = m.look(key)
		m.mu.Lock()
		m.found[key] = verdict
		m.mu.Unlock()
	}
	return verdict
}

// recall needs the lock.
func (m *moduli) recall(key authkeys.Key) (Verdict, bool) {
	verdict, ok := m.found[key]
	if !ok {
		if verdict, ok = m.before[key]; ok {
			m.found[key] = verdict
		}
	}
	return verdict, ok
}

func (m *moduli) look(key authkeys.Key) Verdict {
	n, _, _ := key.RSA()
	common := new(big.Int).Mod(m.primorial, n)
	switch {
	case common.GCD(nil, nil, common, n).Cmp(big.NewInt(1)) != 0:
		return Verdict{ReasonSmallFactor, "the RSA key's modulus has a small factor: it was damaged, or was made wrongly"}
	case m.roca.fits(n):
		return Verdict{ReasonROCA, "the RSA key was made by a faulty chip of Infineon's (ROCA, CVE-2017-15361): its private key can be computed"}
	case m.squares.closePrimes(n):
		return Verdict{ReasonClosePrimes, "the RSA key's two primes are too near to each other (CVE-2022-26320): anybody can factor it"}
	}
	return Verdict{Reason: ReasonGranted}
}

// examine looks at the RSA keys of a snapshot that are new, on all processors, so that judging the snapshot finds all of them
// known. It forgets what nobody asked for since the snapshot before the last.
func (m *moduli) examine(snapshot *registry.Snapshot) {
	m.mu.Lock()
	m.found, m.before = make(map[authkeys.Key]Verdict, len(m.found)), m.found
	var list []authkeys.Key
	for user := range snapshot.Users() {
		for _, record := range user.Records {
			if record.Key.Type() != wireRSA {
				continue
			}
			if _, ok := m.recall(record.Key); !ok {
				list = append(list, record.Key)
			}
		}
	}
	m.mu.Unlock()

	var workers sync.WaitGroup
	for part := range slices.Chunk(list, 1+len(list)/runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for _, key := range part {
				m.verdict(key)
			}
		})
	}
	workers.Wait()
}

// fingerprint is the mark of the moduli of CVE-2017-15361 (Nemec et al., "The Return of Coppersmith's Attack", CCS 2017,
// section 2.1): both primes, and so their product, are powers of 65537 modulo every small prime. Of the list of primes
// that the chip multiplies, those up to 353 count for every key that sshd takes, from 1024 bits on (992 there). Another
// modulus fits by chance once in 2^85.
type fingerprint []residues

// residues are the powers of 65537 modulo some primes whose product fits into a word.
type residues struct {
	product uint64
	primes  []uint64
	powers  [][]bool // by prime, then by residue
}

// mostROCA is the last prime of that list.
const mostROCA = 353

func newFingerprint(primes []uint64) (f fingerprint) {
	group := residues{product: 1}
	for _, p := range primes {
		if p > mostROCA {
			break
		}
		high, low := bits.Mul64(group.product, p)
		if high != 0 {
			f = append(f, group)
			group, low = residues{}, p
		}
		group.product = low
		group.primes = append(group.primes, p)
		group.powers = append(group.powers, powers(p))
	}
	return append(f, group)
}

// powers marks the residues modulo p that are powers of 65537.
func powers(p uint64) []bool {
	is := make([]bool, p)
	for x := uint64(1); !is[x]; x = x * 65537 % p {
		is[x] = true
	}
	return is
}

func (f fingerprint) fits(n *big.Int) bool {
	var quotient, rest, word big.Int
	for _, group := range f {
		quotient.QuoRem(n, word.SetUint64(group.product), &rest)
		r := rest.Uint64()
		for i, p := range group.primes {
			if !group.powers[i][r%p] {
				return false
			}
		}
	}
	return true
}

// sieve tells numbers that are no squares by their residues: of others one in 15,000 passes.
type sieve [len(sievePrimes)]uint64 // bit r of each: r is a square modulo that prime

// The primes are below 64; with the 64 of even numbers their product is sieveWord.
var sievePrimes = [...]uint64{3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43} //nolint:gochecknoglobals // a constant

const sieveWord = 64 * 3 * 5 * 7 * 11 * 13 * 17 * 19 * 23 * 29 * 31 * 37 * 41 * 43

func newSieve() (s sieve) {
	for i, p := range sievePrimes {
		for x := range p {
			s[i] |= 1 << (x * x % p)
		}
	}
	return s
}

// maybeSquare is asked about a number modulo sieveWord.
func (s *sieve) maybeSquare(c uint64) bool {
	const squares64 = 0x0202021202030213 // as above, modulo 64
	if squares64>>(c%64)&1 == 0 {
		return false
	}
	for i, p := range sievePrimes {
		if s[i]>>(c%p)&1 == 0 {
			return false
		}
	}
	return true
}

// closePrimes looks for n = a² - b² with an a that is the root of n or just above it (Fermat). What a² - n is in each round is
// followed modulo a word alone, and worked out where the sieve lets it pass.
func (s *sieve) closePrimes(n *big.Int) bool {
	a := new(big.Int).Sqrt(n)
	if new(big.Int).Mul(a, a).Cmp(n) == 0 {
		return true
	}
	one, word := big.NewInt(1), new(big.Int).SetUint64(sieveWord)
	c := new(big.Int).Mul(a.Add(a, one), a)
	rest, step := new(big.Int).Mod(c.Sub(c, n), word).Uint64(), new(big.Int).Mod(a, word).Uint64()
	for i := range int64(rounds) {
		if s.maybeSquare(rest) && square(new(big.Int).Add(a, big.NewInt(i)), n) {
			return true
		}
		rest = (rest + 2*step + 1) % sieveWord // (a+1)² - n = a² - n + 2a + 1
		step = (step + 1) % sieveWord
	}
	return false
}

// square says whether a² - n is a square.
func square(a, n *big.Int) bool {
	c := new(big.Int).Mul(a, a)
	c.Sub(c, n)
	root := new(big.Int).Sqrt(c)
	return root.Mul(root, root).Cmp(c) == 0
}
