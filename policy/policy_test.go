package policy_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// The keys A and B of the vectors.
const (
	lineA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnxoe+mmuhR7yxmTmqCw1YYMfdhbsay07eRJlF1T1ve"
	lineB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF/mOT2dE99uYPAVIKz6rTw6OyI7MT/39JTmbBdleO+P"
)

// rsaLine makes a line with an RSA key of any modulus and exponent; no private key is needed to judge it.
func rsaLine(n, e *big.Int) string {
	return blobLine(ssh.KeyAlgoRSA, ssh.Marshal(struct {
		Type string
		E, N *big.Int
	}{ssh.KeyAlgoRSA, e, n}))
}

func blobLine(typ string, blob []byte) string {
	return typ + " " + base64.StdEncoding.EncodeToString(blob)
}

// modulus is an odd number of the given size that is as hard to factor as one of two primes, for all that a look at it shows.
func modulus(bits uint) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	for n.Add(n, big.NewInt(0x1234567)); smallFactor(n); n.Add(n, big.NewInt(2)) {
	}
	return n
}

func smallFactor(n *big.Int) bool {
	for p := int64(3); p <= 65537; p += 2 {
		if new(big.Int).Mod(n, big.NewInt(p)).Sign() == 0 {
			return true
		}
	}
	return false
}

func ed25519Line(point []byte) string {
	return blobLine(ssh.KeyAlgoED25519, ssh.Marshal(struct {
		Type  string
		Point []byte
	}{ssh.KeyAlgoED25519, point}))
}

func skLine(point []byte) string {
	return blobLine(ssh.KeyAlgoSKED25519, ssh.Marshal(struct {
		Type        string
		Point       []byte
		Application string
	}{ssh.KeyAlgoSKED25519, point, "ssh:"}))
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t *testing.T, text string) authkeys.Line {
	t.Helper()
	lines := authkeys.Parse([]byte(text + "\n"))
	if len(lines) != 1 {
		t.Fatalf("%q is %d lines", text, len(lines))
	}
	return lines[0]
}

func evaluate(t *testing.T, rules policy.Rules, now time.Time, users ...registry.User) *policy.Grants {
	t.Helper()
	p, err := policy.Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := registry.New(users, "test")
	if err != nil {
		t.Fatal(err)
	}
	return p.Evaluate(snapshot, now)
}

func user(t *testing.T, name string, lines ...string) registry.User {
	t.Helper()
	u := registry.User{Name: name, UID: 2001, GID: 2001, Home: "/home/" + name}
	for _, text := range lines {
		line := parse(t, text)
		if line.Kind != authkeys.Entry {
			t.Fatalf("%q: %v", text, line.Err)
		}
		u.Records = append(u.Records, registry.Record{Key: line.Key, Options: line.Options, Label: line.Comment})
	}
	return u
}

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// One true key for each reason, all of them registered: registration alone never makes a key good.
func TestJudgeRegistered(t *testing.T) {
	f4 := big.NewInt(65537)
	good := make([]byte, 32)
	copy(good, ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey))
	dsa := blobLine("ssh-dss", ssh.Marshal(struct {
		Type       string
		P, Q, G, Y *big.Int
	}{"ssh-dss", modulus(1024), modulus(160), big.NewInt(2), big.NewInt(3)}))
	p256 := unhex(t, "04"+"6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"+"4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
	ecdsa := blobLine(ssh.KeyAlgoECDSA256, ssh.Marshal(struct {
		Type, Curve string
		Point       []byte
	}{ssh.KeyAlgoECDSA256, "nistp256", p256}))

	for name, c := range map[string]struct {
		line, want, detail string
	}{
		"ed25519":               {ed25519Line(good), "granted", ""},
		"sk-ed25519":            {skLine(good), "granted", ""},
		"rsa 4096":              {rsaLine(modulus(4096), f4), "granted", ""},
		"rsa 4096, e 35":        {rsaLine(modulus(4096), big.NewInt(35)), "granted", ""},
		"rsa 4095":              {rsaLine(modulus(4095), f4), "rsa-too-short", "RSA key has 4095 bits; this centre requires 4096"},
		"rsa 3072":              {rsaLine(modulus(3072), f4), "rsa-too-short", "RSA key has 3072 bits; this centre requires 4096"},
		"rsa, e 1":              {rsaLine(modulus(4096), big.NewInt(1)), "weak", "the RSA key's public exponent is below 3 or even: anybody can sign for it"},
		"rsa, e even":           {rsaLine(modulus(4096), big.NewInt(65536)), "weak", "the RSA key's public exponent is below 3 or even: anybody can sign for it"},
		"rsa, n even":           {rsaLine(new(big.Int).Lsh(big.NewInt(1), 4095), f4), "weak", "the RSA key's modulus is even: anybody can factor it"},
		"dsa":                   {dsa, "dsa", "DSA keys are not accepted; this centre requires ed25519, sk-ed25519 or RSA of at least 4096 bits"},
		"ecdsa":                 {ecdsa, "type", "keys of type ecdsa-sha2-nistp256 are not accepted; this centre requires ed25519, sk-ed25519 or RSA of at least 4096 bits"},
		"cert-authority":        {"cert-authority " + ed25519Line(good), "cert-authority", "the line admits any key with a certificate, not one registered key"},
		"cert-authority, cases": {"restrict,CERT-Authority " + ed25519Line(good), "cert-authority", "the line admits any key with a certificate, not one registered key"},
		"neutral element":       {ed25519Line(unhex(t, "01"+strings.Repeat("00", 31))), "weak", "the ed25519 key is a point of small order: anybody can sign for it"},
		"neutral, sign bit":     {ed25519Line(unhex(t, "01"+strings.Repeat("00", 30)+"80")), "weak", "the ed25519 key is a point of small order: anybody can sign for it"},
		"y is p":                {ed25519Line(unhex(t, "ed"+strings.Repeat("ff", 30)+"7f")), "weak", "the ed25519 key is a point of small order: anybody can sign for it"},
		"order 8":               {skLine(unhex(t, "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")), "weak", "the ed25519 key is a point of small order: anybody can sign for it"},
		"order 8, other":        {ed25519Line(unhex(t, "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")), "weak", "the ed25519 key is a point of small order: anybody can sign for it"},
	} {
		t.Run(name, func(t *testing.T) {
			g := evaluate(t, policy.DefaultRules(), now, user(t, "alice", c.line), user(t, "bob", lineA))
			verdict := g.Judge("alice", parse(t, c.line))
			want := policy.Verdict{Reason: policy.Reason(c.want), Detail: c.detail}
			if diff := cmp.Diff(want, verdict); diff != "" {
				t.Error(diff)
			}
			granted, denied := g.For("alice"), g.Denied("alice")
			if verdict.Granted() != (len(granted) == 1) || verdict.Granted() != (len(denied) == 0) {
				t.Errorf("Judge says %v, but %d are granted and %d denied", verdict.Reason, len(granted), len(denied))
			}
			if len(denied) == 1 && denied[0].Verdict != want {
				t.Errorf("denied with %v, judged with %v", denied[0].Verdict, want)
			}
		})
	}
}

// Every point that 8 kills is refused, and none that it does not.
func TestSmallOrderPointsMatchTheirOrder(t *testing.T) {
	list := []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	}
	for _, text := range list {
		line := ed25519Line(unhex(t, text))
		g := evaluate(t, policy.DefaultRules(), now, user(t, "alice", line), user(t, "bob", lineA))
		if len(g.For("alice")) != 0 {
			t.Errorf("point %s is granted", text)
		}
	}
}

func TestJudgeOthers(t *testing.T) {
	g := evaluate(t, policy.DefaultRules(), now, user(t, "alice", lineA+" laptop"), user(t, "bob", lineB))
	for name, c := range map[string]struct{ user, line, want string }{
		"own":                {"alice", lineA, "granted"},
		"own with options":   {"alice", `from="10.0.0.0/8" ` + lineA, "granted"},
		"another's":          {"alice", lineB, "unregistered"},
		"own, other user":    {"bob", lineA, "unregistered"},
		"unknown user":       {"mallory", lineA, "unregistered"},
		"own as authority":   {"alice", "cert-authority " + lineA, "cert-authority"},
		"principals alone":   {"alice", `principals="alice" ` + lineA, "cert-authority"},
		"comment":            {"alice", "# my keys", "granted"},
		"blank":              {"alice", "", "granted"},
		"comment, escape":    {"alice", "# \x1b[2J", "not-plain-text"},
		"unknown rsa 3072":   {"alice", rsaLine(modulus(3072), big.NewInt(65537)), "rsa-too-short"},
		"no key":             {"alice", "hello", "no-key"},
		"unknown option":     {"alice", "sudo " + lineA, "malformed-options"},
		"registered, no end": {"alice", lineA[:len(lineA)-4], "malformed-key"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := g.Judge(c.user, parse(t, c.line)); string(got.Reason) != c.want {
				t.Errorf("Judge = %v, want %s", got, c.want)
			} else if got.Granted() != (got.Detail == "") {
				t.Errorf("a refusal needs a sentence and a grant none: %v", got)
			}
		})
	}
}

func TestTime(t *testing.T) {
	u := user(t, "alice", lineA, lineB)
	u.Records[0].NotAfter = now
	u.Records[1].NotBefore = now
	at := func(d time.Duration) *policy.Grants {
		return evaluate(t, policy.DefaultRules(), now.Add(d), u)
	}
	a, b := parse(t, lineA), parse(t, lineB)

	before := at(-time.Nanosecond)
	if v := before.Judge("alice", a); !v.Granted() {
		t.Errorf("a key before its end: %v", v)
	}
	if v := before.Judge("alice", b); v.Reason != policy.ReasonNotYet || !strings.Contains(v.Detail, "2026-11-21T12:00:00Z") {
		t.Errorf("a key before its beginning: %v", v)
	}
	if !before.Next().Equal(now) {
		t.Errorf("Next = %v, want %v", before.Next(), now)
	}
	after := at(0)
	if v := after.Judge("alice", a); v.Reason != policy.ReasonExpired {
		t.Errorf("a key at its end: %v", v)
	}
	if v := after.Judge("alice", b); !v.Granted() {
		t.Errorf("a key at its beginning: %v", v)
	}
	if !after.Next().IsZero() {
		t.Errorf("Next = %v, want none", after.Next())
	}
}

// A wall clock that jumps moves the beginnings and the ends of registrations with it, and nothing else: whoever is registered without
// them stays, whoever is not registered never comes in, and a clock that is right again finds everything as it was.
func TestClockThatJumps(t *testing.T) {
	always, dated := user(t, "alice", lineA), user(t, "bob", lineA)
	dated.UID, dated.Home = 2002, "/home/bob"
	dated.Records[0].NotBefore, dated.Records[0].NotAfter = now.Add(-time.Hour), now.Add(time.Hour)
	for _, c := range []struct {
		jump time.Duration
		want policy.Reason
	}{
		{0, policy.ReasonGranted},
		{-2 * time.Hour, policy.ReasonNotYet},
		{2 * time.Hour, policy.ReasonExpired},
		{-100 * 365 * 24 * time.Hour, policy.ReasonNotYet},
		{100 * 365 * 24 * time.Hour, policy.ReasonExpired},
		{0, policy.ReasonGranted},
	} {
		g := evaluate(t, policy.DefaultRules(), now.Add(c.jump), always, dated)
		for _, name := range []string{"alice", "bob"} {
			if v := g.Judge(name, parse(t, lineB)); v.Granted() {
				t.Errorf("%v: an unknown key of %s: %v", c.jump, name, v)
			}
		}
		if v := g.Judge("alice", parse(t, lineA)); !v.Granted() {
			t.Errorf("%v: a key without an end: %v", c.jump, v)
		}
		if v := g.Judge("bob", parse(t, lineA)); v.Reason != c.want {
			t.Errorf("%v: a key with an end: %v, want %v", c.jump, v, c.want)
		}
	}
}

// An account that does not count has no key, whoever registered it or made an exception for it; its end is a moment like any other.
func TestAccountsThatDoNotCount(t *testing.T) {
	for name, c := range map[string]struct {
		status registry.Status
		until  time.Time
		want   string
		detail string
		next   time.Time
	}{
		"active":              {registry.Active, time.Time{}, "granted", "", now.AddDate(0, 1, 0)},
		"active, ends later":  {registry.Active, now.Add(time.Nanosecond), "granted", "", now.Add(time.Nanosecond)},
		"ends now":            {registry.Active, now, "account-expired", "the account ended at 2026-11-21T12:00:00Z", now.AddDate(0, 1, 0)},
		"locked":              {registry.Locked, time.Time{}, "account-locked", "the account is locked", now.AddDate(0, 1, 0)},
		"locked, ends later":  {registry.Locked, now.Add(time.Hour), "account-locked", "the account is locked", now.Add(time.Hour)},
		"locked, ended":       {registry.Locked, now, "account-locked", "the account is locked", now.AddDate(0, 1, 0)},
		"disabled":            {registry.Disabled, time.Time{}, "account-disabled", "the account is disabled", now.AddDate(0, 1, 0)},
		"elsewhere":           {registry.Elsewhere, time.Time{}, "account-elsewhere", "the account is for other hosts, not for this one", now.AddDate(0, 1, 0)},
		"a status of no name": {registry.Status(9), time.Time{}, "account-disabled", "the account is disabled", now.AddDate(0, 1, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Compile(policy.DefaultRules())
			if err != nil {
				t.Fatal(err)
			}
			alice := user(t, "alice", lineA)
			alice.Status, alice.Until = c.status, c.until
			snapshot, err := registry.New([]registry.User{alice, user(t, "bob", lineA)}, "test")
			if err != nil {
				t.Fatal(err)
			}
			g := p.Evaluate(snapshot, now, exception(t, "alice", lineB))
			if got := g.Judge("alice", parse(t, lineA)); string(got.Reason) != c.want || got.Detail != c.detail {
				t.Errorf("the registered key: %v", got)
			}
			if counts := c.want == "granted"; counts != alice.Active(now) || counts != (g.Away("alice").Reason == "") {
				t.Errorf("active: %v, away: %v", alice.Active(now), g.Away("alice"))
			}
			granted, denied := len(g.For("alice")), g.Denied("alice")
			if idle := g.Exceptions()[0].Idle; idle != c.detail || idle != "" && granted+len(denied) != 1 || idle == "" && granted-len(denied) != 2 {
				t.Errorf("%d granted, %d denied, and the exception: %q", granted, len(denied), idle)
			}
			if len(denied) == 1 && string(denied[0].Reason) != c.want {
				t.Errorf("denied with %v", denied[0])
			}
			if !g.Next().Equal(c.next) || len(g.For("bob")) != 1 {
				t.Errorf("next %v; bob has %v", g.Next(), g.For("bob"))
			}
		})
	}
}

func TestGrantsLeaveOutRepetitions(t *testing.T) {
	g := evaluate(t, policy.DefaultRules(), now, user(t, "alice", lineA+" one", lineB, lineA+" two", "restrict "+lineA))
	var got []string
	for _, grant := range g.For("alice") {
		got = append(got, strings.TrimSpace(string(grant.Line().AppendTo(nil))))
	}
	if diff := cmp.Diff([]string{lineA + " one", "restrict " + lineA, lineB}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCompileRefuses(t *testing.T) {
	for want, rules := range map[string]policy.Rules{
		"the list is empty":                                              {},
		`policy.keys[0]: the type "dsa" is not one of`:                   {Keys: []policy.Rule{{Type: "dsa"}}},
		`policy.keys[0]: the type "ecdsa" is not one of`:                 {Keys: []policy.Rule{{Type: "ecdsa"}}},
		`policy.keys[0]: the type "" is not one of`:                      {Keys: []policy.Rule{{}}},
		"policy.keys[0]: min_bits is 0; an rsa rule needs 2048 to 16384": {Keys: []policy.Rule{{Type: "rsa"}}},
		"policy.keys[0]: min_bits is 1024":                               {Keys: []policy.Rule{{Type: "rsa", MinBits: 1024}}},
		"policy.keys[0]: min_bits is 20000":                              {Keys: []policy.Rule{{Type: "rsa", MinBits: 20000}}},
		`policy.keys[0]: min_bits belongs to rsa, not to "ed25519"`:      {Keys: []policy.Rule{{Type: "ed25519", MinBits: 256}}},
		`policy.keys[1]: the type "ed25519" stands there twice`:          {Keys: []policy.Rule{{Type: "ed25519"}, {Type: "ed25519"}}},
		"policy.keys[1]: min_bits is 5; an rsa rule needs 2048 to 16384": {Keys: []policy.Rule{{Type: "x"}, {Type: "rsa", MinBits: 5}}},
	} {
		if p, err := policy.Compile(rules); err == nil || p != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Compile(%v) = %v, %v; want %q", rules, p, err, want)
		}
	}
	one, err := policy.Compile(policy.Rules{Keys: []policy.Rule{{Type: "rsa", MinBits: 4096}}})
	if err != nil || one.String() != "RSA of at least 4096 bits" {
		t.Errorf("Compile of one rule = %q, %v", one, err)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	line := authkeys.Parse([]byte(lineA + "\n"))[0]
	var users []registry.User
	for i := range 1000 {
		users = append(users, registry.User{Name: fmt.Sprintf("u%d", i), Records: []registry.Record{{Key: line.Key}}})
	}
	snapshot, err := registry.New(users, "bench")
	if err != nil {
		b.Fatal(err)
	}
	p, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Evaluate(snapshot, now)
	}
}
