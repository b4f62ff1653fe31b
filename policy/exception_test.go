package policy_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// ecdsaLine has the generator of P-256 for its point.
func ecdsaLine(t *testing.T) string {
	t.Helper()
	p256 := unhex(t, "04"+"6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"+"4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
	return blobLine(ssh.KeyAlgoECDSA256, ssh.Marshal(struct {
		Type, Curve string
		Point       []byte
	}{ssh.KeyAlgoECDSA256, "nistp256", p256}))
}

func dsaLine() string {
	return blobLine("ssh-dss", ssh.Marshal(struct {
		Type       string
		P, Q, G, Y *big.Int
	}{"ssh-dss", modulus(1024), modulus(160), big.NewInt(2), big.NewInt(3)}))
}

// exception is one for a line, as an administrator makes it at now.
func exception(t *testing.T, user, text string) policy.Exception {
	t.Helper()
	line := parse(t, text)
	return policy.Exception{
		ID: "X", User: user, Key: line.Key, Options: line.Options, Comment: line.Comment, Owner: "root", Reason: "ticket 7",
		Since: now, Until: now.AddDate(0, 1, 0), Copy: "C",
	}
}

// withExceptions evaluates a registry in which alice has nothing and bob has A.
func withExceptions(t *testing.T, at time.Time, list ...policy.Exception) *policy.Grants {
	t.Helper()
	p, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := registry.New([]registry.User{user(t, "alice"), user(t, "bob", "restrict "+lineA)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	return p.Evaluate(snapshot, at, list...)
}

func TestNewException(t *testing.T) {
	p, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	neutral := ed25519Line(unhex(t, "01"+strings.Repeat("00", 31)))
	for want, change := range map[string]func(*policy.Exception){
		"":                                   func(e *policy.Exception) { e.Until = time.Date(2027, 11, 21, 23, 59, 59, 0, time.UTC) },
		"would have ended at":                func(e *policy.Exception) { e.Until = now },
		"before it begins":                   func(e *policy.Exception) { e.Until = now.Add(-time.Hour) },
		"more than a year away":              func(e *policy.Exception) { e.Until = now.AddDate(1, 0, 2) },
		"the exception has no reason":        func(e *policy.Exception) { e.Reason = " " },
		"the exception has no owner":         func(e *policy.Exception) { e.Owner = "" },
		"the reason has 141 bytes":           func(e *policy.Exception) { e.Reason = strings.Repeat("x", 141) },
		"the owner holds control characters": func(e *policy.Exception) { e.Owner = "a\nb" },
		"for one user":                       func(e *policy.Exception) { e.User = "" },
		"admits any key with a certificate":  func(e *policy.Exception) { e.Options = parse(t, "cert-authority "+lineA).Options },
		`keys of the type ""`:                func(e *policy.Exception) { e.Key = authkeys.Key{} },
		`keys of the type "ssh-dss"`:         func(e *policy.Exception) { e.Key = parse(t, dsaLine()).Key },
		"the RSA key's public exponent":      func(e *policy.Exception) { e.Key = parse(t, rsaLine(modulus(2048), big.NewInt(1))).Key },
		"the RSA key's modulus is even": func(e *policy.Exception) {
			e.Key = parse(t, rsaLine(new(big.Int).Lsh(big.NewInt(1), 2047), big.NewInt(3))).Key
		},
		"the ed25519 key is a point of small o": func(e *policy.Exception) { e.Key = parse(t, neutral).Key },
	} {
		e := exception(t, "alice", lineB)
		change(&e)
		made, err := p.NewException(e, now)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if err == nil && !made.Since.Equal(now) {
			t.Errorf("since %v", made.Since)
		}
	}
	made, err := p.NewException(exception(t, "alice", `no-touch-required,from="10.0.0.1",environment="A=b" `+ecdsaLine(t)), now)
	if err != nil || made.Options.String() != `from="10.0.0.1"` {
		t.Errorf("options %q, %v", made.Options, err)
	}
}

// An exception grants its key to its user until its end, whatever the rules say of the type, and never undoes what the
// registry demands.
func TestExceptions(t *testing.T) {
	short := "restrict " + rsaLine(modulus(2048), big.NewInt(65537)) + " old"
	unregistered, refused := exception(t, "alice", lineB+" pc"), exception(t, "alice", short)
	needless := exception(t, "bob", lineA)
	later := exception(t, "alice", "no-pty "+lineB)
	g := withExceptions(t, now, unregistered, refused, needless, later, exception(t, "root", lineA))
	for _, c := range []struct{ user, line, want string }{
		{"alice", lineB, "granted"},
		{"alice", short, "granted"},
		{"bob", lineB, "unregistered"},
		{"bob", short, "rsa-too-short"},
		{"alice", "cert-authority " + lineB, "cert-authority"},
		{"root", lineA, "granted"},
		{"root", lineB, "unregistered"},
	} {
		if got := g.Judge(c.user, parse(t, c.line)).Reason; string(got) != c.want {
			t.Errorf("%s, %.40s: %s, want %s", c.user, c.line, got, c.want)
		}
	}
	for user, want := range map[string]int{"alice": 2, "bob": 1, "root": 1} {
		if got := g.For(user); len(got) != want {
			t.Errorf("%s is granted %v", user, got)
		}
	}
	if o := g.For("bob")[0].Options.String(); o != "restrict" {
		t.Errorf("the registry's options became %q", o)
	}
	var idle []string
	for _, e := range g.Exceptions() {
		idle = append(idle, e.Idle)
	}
	const not = "not needed: the key is granted without it, or by a later one"
	if got := strings.Join(idle, ";"); got != not+";;"+not+";;" {
		t.Errorf("idle: %s", got)
	}
	if !g.Next().Equal(later.Until) {
		t.Errorf("Next is %v", g.Next())
	}
	over := withExceptions(t, later.Until, unregistered, refused)
	if len(over.For("alice")) != 0 || !over.Next().IsZero() || len(over.Exceptions()) != 2 || over.Exceptions()[0].Idle != "ended" {
		t.Errorf("after the end: %v, next %v, %v", over.For("alice"), over.Next(), over.Exceptions())
	}
	if last := withExceptions(t, later.Until.Add(policy.ExceptionShown), unregistered); len(last.Exceptions()) != 0 {
		t.Errorf("shown for ever: %v", last.Exceptions())
	}
}

// Whatever stands in the file of exceptions: nothing is granted to another user, nothing after the end or before the beginning,
// no weak key, no authority, and no option that widens.
func TestExceptionLaws(t *testing.T) {
	lines := []string{
		lineA, lineB, "restrict " + lineB, `environment="A=b",no-pty ` + lineB, "cert-authority " + lineA, dsaLine(), ecdsaLine(t),
		rsaLine(modulus(2048), big.NewInt(65537)), rsaLine(modulus(4096), big.NewInt(1)), rsaLine(modulus(768), big.NewInt(3)),
		ed25519Line(unhex(t, "01"+strings.Repeat("00", 31))),
	}
	bad := map[string]bool{lines[4]: true, lines[5]: true, lines[8]: true, lines[9]: true, lines[10]: true}
	rapid.Check(t, func(rt *rapid.T) {
		at := now.Add(time.Duration(rapid.IntRange(-50, 50).Draw(rt, "at")) * time.Hour)
		var list []policy.Exception
		may := make(map[string]map[authkeys.Key]bool)
		for range rapid.IntRange(0, 6).Draw(rt, "n") {
			text := rapid.SampledFrom(lines).Draw(rt, "line")
			e := exception(t, rapid.SampledFrom([]string{"alice", "bob", "root"}).Draw(rt, "user"), text)
			e.Since = now.Add(time.Duration(rapid.IntRange(-60, 60).Draw(rt, "since")) * time.Hour)
			e.Until = e.Since.Add(time.Duration(rapid.IntRange(-10, 10000).Draw(rt, "for")) * time.Hour)
			list = append(list, e)
			if !bad[text] && !at.Before(e.Since) && at.Before(e.Until) && e.Until.Sub(e.Since) <= 366*24*time.Hour {
				if may[e.User] == nil {
					may[e.User] = make(map[authkeys.Key]bool)
				}
				may[e.User][e.Key] = true
			}
		}
		without, with := withExceptions(t, at), withExceptions(t, at, list...)
		for _, user := range []string{"alice", "bob", "root", "carol"} {
			granted := make(map[authkeys.Key]int)
			for i, g := range with.For(user) {
				granted[g.Key]++
				if own := without.For(user); i < len(own) {
					if g != own[i] {
						rt.Fatalf("%s: the registry's %v became %v", user, own[i], g)
					}
					continue
				}
				if !may[user][g.Key] || granted[g.Key] > 1 || g.Options != g.Options.Narrowing() {
					rt.Fatalf("%s is granted %v", user, g)
				}
			}
			for key := range may[user] {
				if granted[key] == 0 {
					rt.Fatalf("%s is not granted %s", user, key.Fingerprint())
				}
			}
		}
		if next := with.Next(); !next.IsZero() && !next.After(at) {
			rt.Fatalf("next %v is not after %v", next, at)
		}
	})
}
