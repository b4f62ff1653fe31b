package main

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// Only keys that nobody has registered are noted; many of one user push out his own alone, and all are forgotten in time.
func TestStrangers(t *testing.T) {
	s, now := new(strangers), time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	key := func(n int) authkeys.Line {
		blob := fmt.Appendf([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), "%032d", n)
		return authkeys.Parse([]byte("ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob) + "\n"))[0]
	}
	who := func(name string, uid int) homes.Account { return homes.Account{Name: name, UID: uid} }
	ada, bob := who("ada", 1), who("bob", 2)
	gone := func(account homes.Account, n int, reason policy.Reason) bool {
		return s.note(enforcer.Plan{Account: account, Remove: []enforcer.Decision{
			{Line: key(n), Verdict: policy.Verdict{Reason: reason}},
			{Line: authkeys.Line{Kind: authkeys.Malformed}, Verdict: policy.Verdict{Reason: policy.ReasonUnregistered}},
		}}, now)
	}
	for _, reason := range []policy.Reason{policy.ReasonFormer, policy.ReasonType, enforcer.ReasonDuplicate} {
		if gone(ada, 1, reason) || len(s.known(now)) > 0 {
			t.Errorf("%s: it is noted", reason)
		}
	}
	if !gone(ada, 1, policy.ReasonUnregistered) || gone(bob, 1, policy.ReasonUnregistered) {
		t.Error("what is new is not told from what is not")
	}
	gone(ada, 2, policy.ReasonUnregistered)
	for n := range 3 * strangersEach { // by as many names
		gone(who(fmt.Sprint("eve", n), 3), 10+n, policy.ReasonUnregistered)
	}
	known := s.known(now)
	if len(known) != 2+strangersEach || known[0] != key(1).Key.Sum() || known[len(known)-1] != key(9+3*strangersEach).Key.Sum() {
		t.Errorf("%d are known", len(known))
	}
	for n := range maxStrangers {
		gone(who("user", 1000+n), 1000+n, policy.ReasonUnregistered)
	}
	if n := len(s.known(now)); n != maxStrangers {
		t.Errorf("%d are known", n)
	}
	if n := len(s.known(now.Add(strangersAge + time.Second))); n > 0 {
		t.Errorf("%d are known too long", n)
	}
}
