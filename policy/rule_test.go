package policy_test

import (
	"crypto/ed25519"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// until2026 accepts RSA to the end of the year, with a larger size in its last month, and ed25519 always.
func until2026() policy.Rules {
	return policy.Rules{Warn: 90, Keys: []policy.Rule{
		{Type: "ed25519"},
		{Type: "rsa", MinBits: 2048, Until: "2026-11-30"},
		{Type: "rsa", MinBits: 4096, From: "2026-12-01", Until: "2026-12-31"},
		{Type: "sk-ed25519", From: "2027-01-01"},
	}}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// A rule counts on its last day to the end, in UTC, and what is refused says what is required on that day.
func TestRulesInTime(t *testing.T) {
	short, long := rsaLine(modulus(3072), big.NewInt(65537)), rsaLine(modulus(4096), big.NewInt(65537))
	sk := skLine(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey))
	for _, c := range []struct{ at, line, want, detail, until, next string }{
		{"2026-11-21T12:00:00Z", short, "granted", "", "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"2026-11-30T23:59:59Z", short, "granted", "", "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"2026-12-01T00:00:00Z", short, "rsa-too-short", "RSA key has 3072 bits; this centre requires 4096", "", "2027-01-01T00:00:00Z"},
		{"2026-11-21T12:00:00Z", long, "granted", "", "2027-01-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"2027-01-01T00:30:00+01:00", long, "granted", "", "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"2027-01-01T00:00:00Z", long, "type", "keys of type ssh-rsa are not accepted; this centre requires ed25519 or sk-ed25519", "", ""},
		{"2026-12-31T23:59:59Z", sk, "type", "keys of type sk-ssh-ed25519@openssh.com are not accepted; this centre requires ed25519 or RSA of at least 4096 bits", "", "2027-01-01T00:00:00Z"},
		{"2027-01-01T00:00:00Z", sk, "granted", "", "", ""},
	} {
		g := evaluate(t, until2026(), instant(t, c.at), user(t, "alice", c.line, lineA))
		if v := g.Judge("alice", parse(t, c.line)); string(v.Reason) != c.want || v.Detail != c.detail {
			t.Errorf("%s at %s: %v", c.line[:20], c.at, v)
		}
		for _, grant := range g.For("alice") {
			if grant.Key != parse(t, c.line).Key {
				continue
			}
			if got := text(grant.Until); got != c.until {
				t.Errorf("%s at %s: until %s, want %s", c.line[:20], c.at, got, c.until)
			}
		}
		if got := text(g.Next()); got != c.next {
			t.Errorf("at %s: next %s, want %s", c.at, got, c.next)
		}
	}
}

func text(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format(time.RFC3339)
}

// What the rules will refuse is told before, with the day, the rule and what comes after it; not where the registration ends earlier, and not
// too soon.
func TestRefusedSoon(t *testing.T) {
	long := rsaLine(modulus(4096), big.NewInt(65537))
	for _, c := range []struct {
		at       string
		notAfter string
		want     bool
	}{
		{"2026-10-02T23:59:59Z", "", false},
		{"2026-10-03T00:00:00Z", "", true},
		{"2026-12-31T23:59:59Z", "", true},
		{"2027-01-01T00:00:00Z", "", false}, // refused
		{"2026-12-10T00:00:00Z", "2026-12-20T00:00:00Z", false},
		{"2026-12-10T00:00:00Z", "2027-12-20T00:00:00Z", true},
	} {
		alice := user(t, "alice", long, lineA)
		if c.notAfter != "" {
			alice.Records[0].NotAfter = instant(t, c.notAfter)
		}
		soon := evaluate(t, until2026(), instant(t, c.at), alice).Soon("alice", instant(t, c.at))
		if (len(soon) == 1) != c.want {
			t.Errorf("at %s, registered until %q: %v", c.at, c.notAfter, soon)
		}
		if len(soon) == 1 && (soon[0].Reason != policy.ReasonSoon || soon[0].Detail != "the key will be refused from 2027-01-01 on: the rule is "+
			"RSA of at least 4096 bits from 2026-12-01 until 2026-12-31; then this centre requires ed25519 or sk-ed25519") {
			t.Errorf("at %s: %v", c.at, soon[0])
		}
	}
	rules := until2026()
	rules.Warn = 0
	if soon := evaluate(t, rules, instant(t, "2026-12-10T00:00:00Z"), user(t, "alice", long)).Soon("alice", instant(t, "2026-12-10T00:00:00Z")); len(soon) > 0 {
		t.Errorf("without warnings: %v", soon)
	}
	// Grants hold on while time goes by, and so does what is said of them.
	g := evaluate(t, until2026(), instant(t, "2026-10-02T00:00:00Z"), user(t, "alice", long, lineA))
	ends := g.Ends("alice")
	if len(ends) != 1 || text(ends[0].At) != "2027-01-01T00:00:00Z" || len(g.Soon("alice", instant(t, "2026-10-02T23:59:59Z"))) != 0 || len(g.Soon("alice", instant(t, "2026-10-03T00:00:00Z"))) != 1 {
		t.Errorf("the end of a rule far off: %v", ends)
	}
}

func TestCompileRefusesDays(t *testing.T) {
	for want, keys := range map[string][]policy.Rule{
		`policy.keys[1]: the type "rsa" stands there twice for the same days`: {{Type: "rsa", MinBits: 2048, Until: "2026-12-31"}, {Type: "rsa", MinBits: 4096, From: "2026-12-31"}},
		`policy.keys[2]: the type "rsa" stands there twice`:                   {{Type: "ed25519"}, {Type: "rsa", MinBits: 2048}, {Type: "rsa", MinBits: 4096, From: "2026-12-31"}},
		`policy.keys[0]: it ends on 2026-12-30, before it begins on 2026-12-31`: {
			{Type: "ed25519", From: "2026-12-31", Until: "2026-12-30"},
		},
		`policy.keys[0]: "2026-13-01" is no day such as 2027-01-31`: {{Type: "ed25519", From: "2026-13-01"}},
		`policy.keys[0]: "soon" is no day such as`:                  {{Type: "ed25519", Until: "soon"}},
		"no rule counts from 2027-01-01 on, which would refuse":     {{Type: "ed25519", Until: "2026-12-31"}, {Type: "rsa", MinBits: 4096, Until: "2026-11-30"}},
		"no rule counts before 2026-11-30, which would refuse":      {{Type: "ed25519", From: "2026-12-31"}, {Type: "rsa", MinBits: 4096, From: "2026-11-30"}},
		"no rule counts from 2026-12-01 on":                         {{Type: "ed25519", Until: "2026-11-30"}, {Type: "ed25519", From: "2026-12-02"}},
	} {
		if p, err := policy.Compile(policy.Rules{Keys: keys}); err == nil || p != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Compile(%v) = %v, %v; want %q", keys, p, err, want)
		}
	}
	p, err := policy.Compile(until2026())
	if want := "ed25519, RSA of at least 2048 bits until 2026-11-30, RSA of at least 4096 bits from 2026-12-01 until 2026-12-31 or sk-ed25519 from 2027-01-01"; err != nil || p.String() != want {
		t.Errorf("%v: %v", p, err)
	}
}

// day draws a day of a short time, or none.
func day(rt *rapid.T, label string) policy.Day {
	return rapid.SampledFrom([]policy.Day{"", "", "2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"}).Draw(rt, label)
}

// dated draws rules that compile.
func dated(rt *rapid.T) (policy.Rules, *policy.Policy) {
	rules := policy.Rules{Warn: 2}
	if rapid.Bool().Draw(rt, "always") {
		rules.Keys = append(rules.Keys, policy.Rule{Type: "sk-ed25519"})
	}
	for range rapid.IntRange(1, 6).Draw(rt, "rules") {
		r := policy.Rule{Type: rapid.SampledFrom([]string{"ed25519", "rsa", "rsa", "sk-ed25519"}).Draw(rt, "type"), From: day(rt, "from"), Until: day(rt, "until")}
		if r.Type == "rsa" {
			r.MinBits = rapid.SampledFrom([]int{2048, 4096}).Draw(rt, "bits")
		}
		rules.Keys = append(rules.Keys, r)
	}
	p, err := policy.Compile(rules)
	if err != nil {
		rt.Skip(err)
	}
	return rules, p
}

// byHand says by the days alone whether a rule takes a key at a moment: the text of the moment's day, in UTC, lies between the two.
func byHand(rules policy.Rules, key authkeys.Key, at time.Time) bool {
	kinds := map[string]string{"ssh-ed25519": "ed25519", "sk-ssh-ed25519@openssh.com": "sk-ed25519", "ssh-rsa": "rsa"}
	today := policy.Day(at.UTC().Format(time.DateOnly))
	return slices.ContainsFunc(rules.Keys, func(r policy.Rule) bool {
		return r.Type == kinds[key.Type()] && key.Bits() >= r.MinBits && r.From <= today && (r.Until == "" || today <= r.Until)
	})
}

// At each moment exactly those keys are granted that a rule of that day takes. The end of a grant is the first moment at which it is none,
// nothing changes before Next, and a rule more never takes a key away.
func TestRulesAndTime(t *testing.T) {
	alice := user(t, "alice", lineA, skLine(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)), rsaLine(modulus(3072), big.NewInt(65537)), rsaLine(modulus(4096), big.NewInt(65537)))
	snapshot, err := registry.New([]registry.User{alice}, "test")
	if err != nil {
		t.Fatal(err)
	}
	var moments []time.Time
	for at := instant(t, "2026-11-18T00:00:00Z"); at.Before(instant(t, "2026-11-26T00:00:00Z")); at = at.Add(12 * time.Hour) {
		moments = append(moments, at.Add(-time.Nanosecond), at)
	}
	granted := func(p *policy.Policy, at time.Time) map[authkeys.Key]time.Time {
		keys := make(map[authkeys.Key]time.Time)
		for _, grant := range p.Evaluate(snapshot, at).For("alice") {
			keys[grant.Key] = grant.Until
		}
		return keys
	}
	rapid.Check(t, func(rt *rapid.T) {
		rules, p := dated(rt)
		more := rules
		more.Keys = append(slices.Clone(rules.Keys), policy.Rule{Type: "sk-ed25519", From: day(rt, "from"), Until: day(rt, "until")})
		wider, wrong := policy.Compile(more)
		counts := make([]int, len(moments))
		for i, at := range moments {
			counts[i] = len(granted(p, at))
		}
		for i, at := range moments {
			now, next := granted(p, at), p.Evaluate(snapshot, at).Next()
			var then map[authkeys.Key]time.Time
			if wrong == nil {
				then = granted(wider, at)
			}
			for _, record := range alice.Records {
				until, is := now[record.Key]
				if is != byHand(rules, record.Key, at) {
					rt.Fatalf("%v at %v: granted %v", record.Key.Type(), at, is)
				}
				for _, later := range moments[i:] {
					if is && (until.IsZero() || later.Before(until)) && !byHand(rules, record.Key, later) {
						rt.Fatalf("%v at %v: granted until %v, and refused at %v", record.Key.Type(), at, until, later)
					}
				}
				if is && !until.IsZero() && byHand(rules, record.Key, until) {
					rt.Fatalf("%v at %v: granted until %v, and still then", record.Key.Type(), at, until)
				}
				if _, still := then[record.Key]; is && wrong == nil && !still {
					rt.Fatalf("a rule more takes %v at %v away", record.Key.Type(), at)
				}
			}
			for j, later := range moments[i:] {
				if (next.IsZero() || later.Before(next)) && counts[i+j] != len(now) {
					rt.Fatalf("something changes from %v to %v, before %v", at, later, next)
				}
			}
		}
	})
}

// A key that is held ends with the rules that accept it.
func TestFormerRulesInTime(t *testing.T) {
	long := rsaLine(modulus(4096), big.NewInt(65537))
	held := []policy.Former{former(t, "alice", long, "why")}
	for at, until := range map[string]string{"2026-12-10T00:00:00Z": "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z": ""} {
		list := evaluate(t, until2026(), instant(t, at), user(t, "alice", lineA)).WithFormer(held).For("alice")
		if (len(list) == 2) != (until != "") || until != "" && text(list[1].Until) != until {
			t.Errorf("at %s: held are %v", at, list)
		}
	}
}
