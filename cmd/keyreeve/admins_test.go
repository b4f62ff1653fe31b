package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// adminWorld is one of alice, who administers, in a home, and of bob with a gid.
func adminWorld(t *testing.T, home string, gid int) *enforcer.World {
	t.Helper()
	key, err := authkeys.ParseBlob([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	records := []registry.Record{{Key: key}}
	snapshot, err := registry.New([]registry.User{
		{Name: "alice", UID: 2001, GID: 100, Home: home, Records: records}, {Name: "bob", UID: 2002, GID: gid, Home: "/home/bob"},
	}, "test")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	return enforcer.NewWorld(snapshot, rules.Evaluate(snapshot, time.Now()), enforcer.Scope{MinUID: 1000})
}

// A check of the administrators ends although the registry changes faster, but never by what was so before one of them changed.
func TestLatch(t *testing.T) {
	const takes = 3 * time.Second
	type outcome struct {
		open   bool
		checks int
		told   []string
	}
	for name, c := range map[string]struct {
		bad   string // the home in which alice has no key
		world func(i int) (home string, gid int)
		want  outcome
	}{
		"nothing changes":                  {"/bad", func(int) (string, int) { return "/good", 100 }, outcome{true, 1, nil}},
		"somebody changes again and again": {"/bad", func(i int) (string, int) { return "/good", i }, outcome{true, 1, nil}},
		"so does he while she has no key":  {"/bad", func(i int) (string, int) { return "/bad", i }, outcome{false, 4, []string{"shut", "shut", "shut", "shut"}}},
		"she lost her key while she was checked": {"/bad", func(i int) (string, int) {
			return map[bool]string{true: "/good", false: "/bad"}[i < 5], 100
		}, outcome{false, 4, []string{"shut", "shut", "shut"}}},
		"she got one while she was checked": {"/bad", func(i int) (string, int) {
			return map[bool]string{true: "/bad", false: "/good"}[i < 5], 100
		}, outcome{true, 2, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got outcome
				list, running := admins{names: []string{"alice"}}, 0
				l := &latch{ctx: t.Context(), alike: list.alike, tell: func(err error) { got.told = append(got.told, fmt.Sprint(err)) }}
				l.check = func(_ context.Context, world *enforcer.World) error {
					if got.checks++; running > 0 {
						t.Error("two checks at once: the second finds the homes of the first busy")
					}
					running++
					time.Sleep(takes)
					running--
					if alice, _ := world.Account("alice"); alice.Home == c.bad {
						return errors.New("shut")
					}
					return nil
				}
				for i := range 40 {
					home, gid := c.world(i)
					l.enter(adminWorld(t, home, gid))
					time.Sleep(takes/10 + time.Millisecond)
				}
				got.open = l.isOpen()
				if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}
