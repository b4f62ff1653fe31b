package policy_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

func former(t *testing.T, user, text, held string) policy.Former {
	t.Helper()
	line := parse(t, text)
	return policy.Former{User: user, Since: now, Grant: policy.Grant{Key: line.Key, Options: line.Options, Held: held}}
}

// A key that was registered has a reason of its own; one that is held stays, if the policy accepts it.
func TestFormer(t *testing.T) {
	short := rsaLine(modulus(2048), big.NewInt(65537))
	locked := user(t, "locked", lineA)
	locked.Status = registry.Locked
	before := evaluate(t, policy.DefaultRules(), now, user(t, "alice", lineA), locked)
	g := before.WithFormer([]policy.Former{
		former(t, "alice", lineB, ""), former(t, "alice", lineA, "why"), former(t, "bob", lineB, "why"), former(t, "bob", short, "why"),
		former(t, "bob", "cert-authority "+lineA, "why"), former(t, "carol", `from="10.0.0.1" `+lineB, "why"), former(t, "carol", "restrict "+lineB, "why"),
		former(t, "locked", lineA, "why"), former(t, "dan", lineB, ""),
	})
	for _, c := range []struct {
		user, line string
		want       policy.Reason
		detail     string
	}{
		{"alice", lineA, policy.ReasonGranted, ""},
		{"alice", lineB, policy.ReasonFormer, "the key registry listed this key for the user until 2026-11-21T12:00:00Z"},
		{"bob", lineB, policy.ReasonHeld, "why"},
		{"bob", short, policy.ReasonRSAShort, "RSA key has 2048 bits; this centre requires 4096"},
		{"bob", "cert-authority " + lineB, policy.ReasonCertAuthority, ""},
		{"bob", lineA, policy.ReasonFormer, ""},
		{"carol", lineB, policy.ReasonHeld, "why"},
		{"carol", lineA, policy.ReasonUnregistered, ""},
		{"locked", lineA, policy.ReasonHeld, "why"},
		{"dan", lineA, policy.ReasonUnregistered, ""},
		{"eve", lineB, policy.ReasonUnregistered, ""},
	} {
		got := g.Judge(c.user, parse(t, c.line))
		if got.Reason != c.want || c.detail != "" && got.Detail != c.detail {
			t.Errorf("%s %s: %v, want %s %s", c.user, c.line[:20], got, c.want, c.detail)
		}
		if got.Granted() != (c.want == policy.ReasonGranted) || got.Stays() != (got.Granted() || c.want == policy.ReasonHeld) {
			t.Errorf("%v: granted %v, stays %v", got, got.Granted(), got.Stays())
		}
	}
	if list := g.For("carol"); len(list) != 2 || list[0].Held != "why" || list[0].Options.String() != `from="10.0.0.1"` {
		t.Errorf("carol has %v", list)
	}
	if got := before.Judge("bob", parse(t, lineB)); got.Reason != policy.ReasonUnregistered || len(before.For("carol")) != 0 || len(before.For("alice")) != 1 {
		t.Errorf("the grants from before have changed: %v", got)
	}
	if got := before.Judge("locked", parse(t, lineA)); got.Reason != policy.ReasonAccountLocked {
		t.Errorf("locked: %v", got)
	}
}

// An exception of who left the registry grants nothing, and that is told.
func TestWithout(t *testing.T) {
	p, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := registry.New([]registry.User{user(t, "alice", lineA)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	g := p.Evaluate(snapshot, now, exception(t, "alice", lineB), exception(t, "bob", lineB), exception(t, "root", lineB))
	left := map[string]time.Time{"bob": now, "carol": now}
	after := g.Without(left).WithFormer([]policy.Former{former(t, "bob", lineB, "why")})
	for user, want := range map[string]policy.Reason{"alice": policy.ReasonGranted, "bob": policy.ReasonHeld, "root": policy.ReasonGranted} {
		if got := after.Judge(user, parse(t, lineB)); got.Reason != want {
			t.Errorf("%s: %v, want %s", user, got, want)
		}
	}
	if got := g.Without(left).For("bob"); len(got) != 0 || len(g.For("bob")) != 1 {
		t.Errorf("bob has %v, and had %v", got, g.For("bob"))
	}
	for i, want := range []string{"", "its user left the registry", ""} {
		if got := after.Exceptions()[i].Idle; got != want || g.Exceptions()[i].Idle != "" {
			t.Errorf("exception %d: %q, want %q", i, got, want)
		}
	}
	if g.Without(nil) != g {
		t.Error("grants are made anew without need")
	}
}
