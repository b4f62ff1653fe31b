package enforcer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// source is a registry that a test sets, and breaks.
type source struct {
	mu       sync.Mutex
	snapshot *registry.Snapshot
	err      error
	fetches  int
	hang     bool
}

func (s *source) set(snapshot *registry.Snapshot, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot, s.err = snapshot, err
}

func (s *source) Fetch(ctx context.Context) (*registry.Snapshot, error) {
	s.mu.Lock()
	s.fetches++
	snapshot, err, hang := s.snapshot, s.err, s.hang
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return snapshot, err
}

func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// daemon is a Runner over real homes, in a bubble of fake time.
type daemon struct {
	*centre
	t        *testing.T // the bubble's
	source   *source
	hand     *enforcer.Enforcer
	hints    chan string
	runner   *enforcer.Runner
	settings enforcer.Settings
	act      func(enforcer.Plan) error // of the settings, for every account
	active   atomic.Int64              // the uid that has a process, 0 for none
	ready    int
	seen     atomic.Pointer[enforcer.Observation]
	watched  atomic.Int32
	logs     *observer.ObservedLogs
	stop     context.CancelFunc
	ended    chan error
}

func newDaemon(t *testing.T, c *centre) *daemon {
	t.Helper()
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{centre: c, t: t, source: &source{}, hints: make(chan string), ended: make(chan error, 1), hand: c.enforcer(&trail{})}
	d.hand.Now = time.Now // the bubble's
	d.equip()
	d.act = d.hand.Apply
	d.settings = enforcer.Settings{
		Source: d.source, SourceID: "one", Policy: rules, Scope: enforcer.Scope{MinUID: 1},
		Brake: enforcer.Brake{People: 10, Window: time.Hour}, Act: always(func(p enforcer.Plan) error { return d.act(p) }), Refresh: 5 * time.Minute, Sweep: 10 * time.Minute,
		Hold: enforcer.Hold{Least: 100}, MaxStale: 24 * time.Hour,
	}
	return d
}

// always is one act for every account.
func always(act func(enforcer.Plan) error) func(homes.Account) func(enforcer.Plan) error {
	return func(homes.Account) func(enforcer.Plan) error { return act }
}

// equip makes a runner that was not run yet, on what an earlier one left.
func (d *daemon) equip() {
	core, logs := observer.New(zapcore.InfoLevel)
	d.logs, d.runner = logs, enforcer.NewRunner()
	d.runner.Homes, d.runner.Log, d.runner.Workers, d.runner.Hints = d.door, zap.New(core), 4, d.hints
	d.runner.Watch = func(homes.Account) error {
		d.watched.Add(1)
		return nil
	}
	d.runner.Unwatch = func(string) {}
	d.runner.Server = filepath.Dir
	d.runner.Active = func() (func(int) bool, error) {
		return func(uid int) bool { return int64(uid) == d.active.Load() }, nil
	}
	d.runner.Copies = d.hand.Quarantine.Since
	ledger, err := enforcer.OpenLedger(filepath.Join(d.dir, "ledger"))
	brakes, wrong := enforcer.OpenBrakes(filepath.Join(d.dir, "brake"))
	if err := errors.Join(err, wrong); err != nil {
		d.t.Fatal(err)
	}
	d.runner.Memory = enforcer.Memory{Ledger: ledger, Brakes: brakes, Hand: d.hand}
	d.gate()
	d.seen.Store(&enforcer.Observation{})
	d.runner.Ready = func() { d.ready++ }
	d.runner.Observe = func(o enforcer.Observation) { d.seen.Store(&o) }
}

// gate opens the gate on what an earlier runner left.
func (d *daemon) gate() {
	d.t.Helper()
	gate, err := enforcer.OpenGate(filepath.Join(d.dir, "state", "registry"))
	if err != nil {
		d.t.Error(err)
	}
	d.runner.Gate = gate
}

func (d *daemon) start() {
	d.t.Helper()
	ctx, stop := context.WithCancel(d.t.Context())
	d.stop = stop
	go func() { d.ended <- d.runner.Run(ctx, d.settings) }()
	synctest.Wait()
}

func (d *daemon) end() {
	d.t.Helper()
	d.stop()
	if err := <-d.ended; err != nil {
		d.t.Error(err)
	}
}

// register makes a snapshot of accounts with lines.
func register(t *testing.T, change func(*registry.Record), lines map[string]string, accounts ...homes.Account) *registry.Snapshot {
	t.Helper()
	var users []registry.User
	for _, a := range accounts {
		u := registry.User{Name: a.Name, UID: a.UID, GID: a.GID, Home: a.Home}
		if text := lines[a.Name]; text != "" {
			line, err := authkeys.ParseValue([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			r := registry.Record{Key: line.Key, Options: line.Options}
			if change != nil {
				change(&r)
			}
			u.Records = append(u.Records, r)
		}
		users = append(users, u)
	}
	s, err := registry.New(users, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// registerAs is register with a change of each user's entry.
func registerAs(t *testing.T, change func(*registry.User), lines map[string]string, accounts ...homes.Account) *registry.Snapshot {
	t.Helper()
	users := slices.Collect(register(t, nil, lines, accounts...).Users())
	for i := range users {
		change(&users[i])
	}
	s, err := registry.New(users, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// twoKeys is a registry in which every account has the keys A and B.
func twoKeys(t *testing.T, accounts ...homes.Account) *registry.Snapshot {
	t.Helper()
	var users []registry.User
	for _, a := range accounts {
		u := registry.User{Name: a.Name, UID: a.UID, GID: a.GID, Home: a.Home}
		for _, text := range []string{lineA, lineB} {
			line, err := authkeys.ParseValue([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			u.Records = append(u.Records, registry.Record{Key: line.Key})
		}
		users = append(users, u)
	}
	s, err := registry.New(users, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d *daemon) want(a homes.Account, text, when string) {
	d.t.Helper()
	synctest.Wait()
	if got := d.read(a); got != text {
		d.t.Errorf("%s: the file holds %q, want %q", when, got, text)
	}
}

func (d *daemon) write(a homes.Account, text string) {
	d.t.Helper()
	if err := os.WriteFile(d.file(a), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// restore puts a file into the home that its owner may not read yet.
func (d *daemon) restore(a homes.Account, text string) {
	d.t.Helper()
	testenv.Need(d.t, "root")
	if err := errors.Join(os.Remove(d.file(a)), os.WriteFile(d.file(a), []byte(text), 0o600)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) said(message string) int { return d.logs.FilterMessage(message).Len() }

var onlyA = map[string]string{"alice": lineA}

func (d *daemon) reload(settings enforcer.Settings) {
	d.t.Helper()
	if err := d.runner.Reload(d.t.Context(), settings); err != nil {
		d.t.Fatal(err)
	}
	synctest.Wait()
}

func mustCompile(t *testing.T, rules policy.Rules) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
