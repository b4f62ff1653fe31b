package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/ldapsource"
)

// The file is written again when something has changed, though not more often than metricsPause, and every metricsPeriod all
// the same: how old it is (node_textfile_mtime_seconds) says whether the daemon lives.
const (
	metricsPause  = time.Second
	metricsPeriod = 15 * time.Second
)

// metrics are the numbers of docs/metrics.md. It is safe for concurrent use.
type metrics struct {
	poke chan struct{}

	mu       sync.Mutex
	seen     enforcer.Observation
	changes  map[string]int // by outcome
	removed  map[string]int // lines by reason
	failures int            // of the trail
	refused  bool           // enforcing does not begin
	notices  int
	answer   bool           // the file of answers could not be written
	deny     bool           // the list of keys that sshd refuses could not
	denied   int            // keys on that list
	ways     map[string]int // of noticing, 1 for the present one
	soon     soonRefused
}

func newMetrics() *metrics {
	return &metrics{
		poke: make(chan struct{}, 1), removed: make(map[string]int),
		changes: map[string]int{audit.Success: 0, audit.Failure: 0}, // a counter that is there from the start has a rate
		ways:    make(map[string]int),
	}
}

func (m *metrics) update(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	select {
	case m.poke <- struct{}{}:
	default: // it is known already
	}
}

func (m *metrics) observe(o enforcer.Observation) { m.update(func() { m.seen = o }) }

// change counts a plan that was carried out, or was not.
func (m *metrics) change(p enforcer.Plan, err error) {
	m.update(func() {
		if err != nil {
			m.changes[audit.Failure]++
			return
		}
		m.changes[audit.Success]++
		for _, d := range p.Remove {
			m.removed[string(d.Reason)]++
		}
	})
}

// refuse says whether enforcing does not begin although it is configured.
func (m *metrics) refuse(refused bool) { m.update(func() { m.refused = refused }) }

// answered says whether the file by which sshd is answered could be written.
func (m *metrics) answered(written bool) { m.update(func() { m.answer = !written }) }

// refusing says whether the list of keys that sshd refuses could be written, and how many there are on it.
func (m *metrics) refusing(keys int, written bool) {
	m.update(func() { m.denied, m.deny = keys, !written })
}

// noticed counts what the registry said of changes.
func (m *metrics) noticed() { m.update(func() { m.notices++ }) }

// noticing notes in which way that is learnt.
func (m *metrics) noticing(by ldapsource.Way) {
	m.update(func() {
		for _, way := range []ldapsource.Way{ldapsource.BySync, ldapsource.ByPoll, ldapsource.ByRefresh} {
			m.ways[string(way)] = number(way == by)
		}
	})
}

// trail counts the failures of a trail.
func (m *metrics) trail(write enforcer.Trail) enforcer.Trail {
	return func(records ...audit.Record) error {
		err := write(records...)
		if err != nil {
			m.update(func() { m.failures++ })
		}
		return err
	}
}

// text is the numbers in Prometheus' text format 0.0.4. The client library would do it too, at the price of protobuf and 2.6 MB
// in a program that runs as root; these are eight lines of text.
func (m *metrics) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	family := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP keyreeve_%[1]s %[3]s\n# TYPE keyreeve_%[1]s %[2]s\n", name, kind, help)
	}
	single := func(name, kind, help string, value int) {
		family(name, kind, help)
		fmt.Fprintf(&b, "keyreeve_%s %d\n", name, value)
	}
	labelled := func(name, kind, label, help string, values map[string]int) {
		family(name, kind, help)
		for _, value := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(&b, "keyreeve_%s{%s=%q} %d\n", name, label, value, values[value])
		}
	}
	single("homes", "gauge", "Homes that are kept in line.", m.seen.Homes)
	single("silent_homes", "gauge", "Homes that do not answer.", m.seen.Silent)
	single("unresolved_files", "gauge", "Files that may hold an unregistered key and could not be decided or changed.", m.seen.Unresolved)
	flag := func(name, help string, set bool) {
		value := 0
		if set {
			value = 1
		}
		single(name, "gauge", help, value)
	}
	flag("brake", "1 if the brake is on: too many people lost a registered key.", m.seen.Braked)
	single("brake_state_lost_total", "counter", "Times that the file of the brake's state was lost and written anew.", m.seen.BrakeRenewed)
	flag("enforcing_refused", "1 while enforcing does not begin, since no administrator could log in.", m.refused)
	single("held_keys", "gauge", "Keys that stay although they are no longer registered, by the brake or because the registry cannot be read.", m.seen.HeldKeys)
	labelled("changes_total", "counter", "outcome", "Files changed (success) or not (failure).", m.changes)
	labelled("removed_lines_total", "counter", "reason", "Lines removed from files.", m.removed)
	single("audit_failures_total", "counter", "Records that could not be written; what they tell of was not done.", m.failures)
	family("registry_last_success_timestamp_seconds", "gauge", "When the registry was last read whole; 0 before that.")
	read := 0.0
	if !m.seen.Registry.IsZero() {
		read = float64(m.seen.Registry.UnixMilli()) / 1000
	}
	fmt.Fprintf(&b, "keyreeve_registry_last_success_timestamp_seconds %.3f\n", read)
	single("registry_reachable", "gauge", "1 if the last attempt to read the registry succeeded.", number(m.seen.Reachable))
	single("registry_stale", "gauge", "1 if the last good reading is older than registry.max_stale.", number(m.seen.Stale))
	single("registry_held", "gauge", "1 if a reading is held because too many people lose something by it.", number(m.seen.Held))
	single("registry_held_lost_users", "gauge", "Users who are gone, locked or moved by the reading that is held.", m.seen.LostUsers)
	single("registry_held_lost_keys", "gauge", "People who have lost a key by the reading that is held.", m.seen.LostKeys)
	flag("answer_failing", "1 while the file by which sshd is answered cannot be written.", m.answer)
	flag("deny_failing", "1 while the list of keys that sshd refuses cannot be brought up to date.", m.deny)
	single("deny_keys", "gauge", "Keys on that list.", m.denied)
	labelled("registry_noticing", "gauge", "way", "1 for the way in which changes in the directory are noticed.", m.ways)
	single("registry_notices_total", "counter", "Times that somebody's entry may have changed, or anybody's.", m.notices)
	m.soon.text(single)
	return b.String()
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// keep writes the file until ctx ends, and once more then. wrong is told of a failure, once until it works again.
func (m *metrics) keep(ctx context.Context, path string, wrong func(error)) {
	for failed := false; ; {
		err := statefile.Publish(filepath.Dir(path), filepath.Base(path), []byte(m.text()), 0o644)
		if err != nil && !failed {
			wrong(err)
		}
		failed = err != nil
		if ctx.Err() != nil {
			return
		}
		m.wait(ctx)
	}
}

// wait returns when the file is due.
func (m *metrics) wait(ctx context.Context) {
	period := time.After(metricsPeriod)
	select {
	case <-time.After(metricsPause):
	case <-ctx.Done():
		return
	}
	select {
	case <-m.poke:
	case <-period:
	case <-ctx.Done():
	}
}
