package enforcer_test

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math/big"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// rsaKey is one of a new modulus, without a small factor: it takes as long to be looked at as a real one.
func rsaKey(tb testing.TB, bits uint) authkeys.Key {
	tb.Helper()
	small := new(big.Int).MulRange(3, 2000)
	for {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits-1))
		if err != nil {
			tb.Fatal(err)
		}
		n.SetBit(n.SetBit(n, 0, 1), int(bits-1), 1)
		if new(big.Int).GCD(nil, nil, small, n).Cmp(big.NewInt(1)) != 0 {
			continue
		}
		var blob []byte
		for _, field := range [][]byte{[]byte("ssh-rsa"), {1, 0, 1}, append([]byte{0}, n.Bytes()...)} {
			blob = append(binary.BigEndian.AppendUint32(blob, uint32(len(field))), field...)
		}
		key, err := authkeys.ParseBlob(blob)
		if err != nil {
			tb.Fatal(err)
		}
		return key
	}
}

// New moduli are looked at by who reads the user, before he is anything to the loop: also of one who is not taken in the end.
func TestRunnerExaminesOutsideTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTold(t)
		d.start()
		d.keys(true, 0)
		time.Sleep(6 * time.Minute) // held now: nobody who is read alone comes to the loop
		d.directory.change(func(dir *directory) {
			u, _ := dir.live.User("user0")
			u.Records = append(u.Records, registry.Record{Key: rsaKey(t, 4096)})
			dir.live, _ = dir.live.With(u)
		})
		d.tell("user0")
		if n := reflect.ValueOf(d.settings.Policy).Elem().FieldByName("moduli").Elem().FieldByName("found").Len(); n != 1 || d.said(heldAlarm) != 1 {
			t.Errorf("%d moduli are known, and held was told %d times", n, d.said(heldAlarm))
		}
		d.end()
	})
}

// What a notice of hundreds of new keys costs the loop, and who reads their user before.
func BenchmarkNewKeys(b *testing.B) {
	snapshot, err := registry.New([]registry.User{entry(b, "alice", lineA), entry(b, "bob", lineA)}, "test")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		bits uint
		keys int
	}{{4096, 360}, {16384, 93}} { // as many as an entry may have
		p, err := policy.Compile(policy.DefaultRules())
		if err != nil {
			b.Fatal(err)
		}
		m := enforcer.Memory{Ledger: enforcer.NewLedger()}
		w := m.World(snapshot, p.Evaluate(snapshot, noon), enforcer.Scope{MinUID: 1}, enforcer.Brake{}, false)
		b.Run(fmt.Sprintf("%dx%d", c.keys, c.bits), func(b *testing.B) {
			var before, inLoop time.Duration
			for b.Loop() {
				b.StopTimer()
				u := entry(b, "alice")
				for range c.keys {
					u.Records = append(u.Records, registry.Record{Key: rsaKey(b, c.bits)})
				}
				next, err := snapshot.With(u)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				begin := time.Now()
				p.Examine(u)
				before += time.Since(begin)
				begin = time.Now()
				m.Amend(w, next, false, noon)
				inLoop += time.Since(begin)
			}
			b.ReportMetric(float64(before.Milliseconds())/float64(b.N), "ms-before")
			b.ReportMetric(float64(inLoop.Milliseconds())/float64(b.N), "ms-in-loop")
		})
	}
}
