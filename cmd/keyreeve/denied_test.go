package main

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// denying is a list of refused keys, and what it is made of.
type denying struct {
	*outlet
	list   string
	memory enforcer.Memory
	keys   []authkeys.Key
	line   string // of the last key
	now    time.Time
}

func newDenying(t *testing.T, except ...string) *denying {
	t.Helper()
	d := &denying{list: filepath.Join(t.TempDir(), "lists", "revoked.krl"), memory: enforcer.Memory{Ledger: enforcer.NewLedger()}, now: time.Now().Add(-time.Hour)}
	for range 4 {
		_, text := testenv.NewKey(t)
		line, err := authkeys.ParseValue([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		d.keys, d.line = append(d.keys, line.Key), text+"\n"
	}
	var err error
	if d.outlet, err = openDenied(config.Deny{File: d.list, Except: except}, d.memory, nil, zap.NewNop(), newMetrics()); err != nil {
		t.Fatal(err)
	}
	return d
}

// read brings the list up to date after a reading in which one user has these keys.
func (d *denying) read(t *testing.T, registered ...int) error {
	t.Helper()
	user := registry.User{Name: "ada", UID: 2001, GID: 2001, Home: "/home/ada"}
	for _, n := range registered {
		user.Records = append(user.Records, registry.Record{Key: d.keys[n]})
	}
	snapshot, err := registry.New([]registry.User{user}, "test")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(time.Minute)
	d.memory.Ledger.Accept(snapshot, "test", true, d.now)
	return d.replace(said{world: d.memory.World(snapshot, rules.Evaluate(snapshot, d.now), enforcer.Scope{}, enforcer.Brake{People: 10, Window: time.Hour}, false)})
}

// good brings it up to date without an error.
func (d *denying) good(t *testing.T, registered ...int) {
	t.Helper()
	if err := d.read(t, registered...); err != nil {
		t.Fatal(err)
	}
}

// bad fails to do so.
func (d *denying) bad(t *testing.T, registered ...int) {
	t.Helper()
	if err := d.read(t, registered...); err == nil {
		t.Error("nobody is told that something is wrong")
	}
}

// lists says which keys are on it.
func (d *denying) lists(t *testing.T, want ...int) {
	t.Helper()
	data, err := os.ReadFile(d.list)
	if err != nil {
		t.Fatal(err)
	}
	hashes, ours, err := krl.Parse(data)
	if err != nil || !ours {
		t.Fatalf("the list is damaged: ours %v, %v", ours, err)
	}
	var got []int
	for n, key := range d.keys {
		if slices.Contains(hashes, sha256.Sum256(key.Wire())) {
			got = append(got, n)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("on the list are %v, want %v", got, want)
	}
}

// While it is not known which keys are to be spared, no key comes onto the list that was not on it, and one that is somebody's by now still goes.
func TestDeniedWhileExceptIsUnread(t *testing.T) {
	spared := filepath.Join(t.TempDir(), "spared")
	d := newDenying(t, spared)
	there := func() {
		t.Helper()
		if err := os.WriteFile(spared, []byte(d.line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there()
	d.good(t, 0, 1, 2, 3)
	d.lists(t)
	d.good(t, 0, 1)
	d.lists(t, 2)
	if err := os.Remove(spared); err != nil {
		t.Fatal(err)
	}
	d.bad(t, 0)
	d.lists(t, 2)
	d.bad(t, 0, 2)
	d.lists(t)
	there()
	d.good(t, 0)
	d.lists(t, 1, 2)
}

// A line of such a file that holds no key, and could have been meant for one, is told with its number, and spares whom an unreadable file does.
func TestDeniedWhileExceptIsNoKey(t *testing.T) {
	spared := filepath.Join(t.TempDir(), "spared")
	d := newDenying(t, spared)
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(spared, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := "# those of the authority\n\n \t\nno-such-option " + d.line
	put(good)
	d.good(t, 0, 1, 2, 3)
	d.good(t, 0, 1, 3)
	d.lists(t, 2)
	for _, line := range []string{d.line[1:], d.line[:40] + "\n", "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\n", "x\n"} {
		put(good + line)
		if err := d.read(t, 0); err == nil || !strings.Contains(err.Error(), spared+": line 5: ") {
			t.Errorf("%q: %v", line, err)
		}
		d.lists(t, 2)
	}
	put(good)
	d.good(t, 0)
	d.lists(t, 1, 2)
}

// A list that could not be written is written when it can be, although nothing else has become of the keys meanwhile.
func TestDeniedIsWrittenAgain(t *testing.T) {
	d := newDenying(t)
	dir, away := filepath.Dir(d.list), filepath.Dir(d.list)+"-away"
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	d.good(t, 0, 1, 2)
	d.good(t, 0, 1)
	d.lists(t, 2)
	move(dir, away)
	d.bad(t, 0) // the old list is no danger
	d.bad(t, 0)
	move(away, dir)
	d.lists(t, 2)
	d.good(t, 0)
	d.lists(t, 1, 2)
	move(dir, away)
	d.bad(t, 0, 2) // it is: one on it is somebody's, and there is no room for an empty one either
	d.bad(t, 0, 2)
	move(away, dir)
	d.good(t, 0, 2)
	d.lists(t, 1)
}
