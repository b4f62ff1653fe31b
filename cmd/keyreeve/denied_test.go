package main

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/krl"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// While it is not known which keys are to be spared, no key comes onto the list that was not on it, and one that is somebody's by now still goes.
func TestDeniedWhileExceptIsUnread(t *testing.T) {
	var keys []authkeys.Key
	var lines string
	for range 4 {
		_, text := testenv.NewKey(t)
		line, err := authkeys.ParseValue([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		keys, lines = append(keys, line.Key), text+"\n"
	}
	dir := t.TempDir()
	spared, list := filepath.Join(dir, "spared"), filepath.Join(dir, "lists", "revoked.krl")
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	memory, now := enforcer.Memory{Ledger: enforcer.NewLedger()}, time.Now().Add(-time.Hour)
	outlet, err := openDenied(config.Deny{File: list, Except: []string{spared}}, memory, zap.NewNop(), newMetrics())
	if err != nil {
		t.Fatal(err)
	}
	read := func(registered ...int) error {
		t.Helper()
		user := registry.User{Name: "ada", UID: 2001, GID: 2001, Home: "/home/ada"}
		for _, n := range registered {
			user.Records = append(user.Records, registry.Record{Key: keys[n]})
		}
		snapshot, err := registry.New([]registry.User{user}, "test")
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
		memory.Ledger.Accept(snapshot, "test", true, now)
		return outlet.replace(said{world: memory.World(snapshot, rules.Evaluate(snapshot, now), enforcer.Scope{}, enforcer.Brake{People: 10, Window: time.Hour}, false)})
	}
	listed := func(want ...int) {
		t.Helper()
		data, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		hashes, ours, err := krl.Parse(data)
		if err != nil || !ours {
			t.Fatalf("the list is damaged: ours %v, %v", ours, err)
		}
		var got []int
		for n, key := range keys {
			if slices.Contains(hashes, krl.Hash(sha256.Sum256(key.Wire()))) {
				got = append(got, n)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("on the list are %v, want %v", got, want)
		}
	}
	there := func(text string) {
		t.Helper()
		if err := os.WriteFile(spared, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	there(lines) // the last key's
	if err := read(0, 1, 2, 3); err != nil {
		t.Fatal(err)
	}
	listed()
	if err := read(0, 1); err != nil {
		t.Fatal(err)
	}
	listed(2)
	if err := os.Remove(spared); err != nil {
		t.Fatal(err)
	}
	if err := read(0); err == nil {
		t.Error("nobody is told that the file is missing")
	}
	listed(2)
	if err := read(0, 2); err == nil {
		t.Error("nobody is told that the file is missing")
	}
	listed()
	there(lines)
	if err := read(0); err != nil {
		t.Error(err)
	}
	listed(1, 2)
}
