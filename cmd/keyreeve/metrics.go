package main

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/watch"
	"github.com/keyreeve/keyreeve/ldapsource"
	"github.com/keyreeve/keyreeve/policy"
)

// metrics are what is known of the daemon: the numbers of docs/metrics.md and what "keyreeve status" says. It is safe for concurrent use.
type metrics struct {
	poke    chan struct{}
	started time.Time
	// watches is how many directories are watched; nil: none.
	watches func() int

	mu       sync.Mutex
	seen     enforcer.Observation
	beat     time.Time // of the loop
	config   config.Config
	changes  map[string]int // by outcome
	removed  map[string]int // lines by reason
	removal  histogram      // of the time between an event and the removal that answers it
	failures int            // of the trail
	copies   int            // that could not be kept
	refused  bool           // enforcing does not begin
	notices  int
	answer   bool           // the file of answers could not be written
	deny     bool           // the list of keys that sshd refuses could not
	denied   int            // keys on that list
	ways     map[string]int // of noticing, 1 for the present one
	// untold and uncopied are when the trail, or a copy, could not be written; zero where the last one could.
	untold, uncopied time.Time
	soon             soonRefused
}

func newMetrics() *metrics {
	return &metrics{
		poke: make(chan struct{}, 1), started: time.Now(),
		// A counter that is there from the start has a rate.
		removed: map[string]int{string(policy.ReasonUnregistered): 0, string(policy.ReasonFormer): 0},
		changes: map[string]int{audit.Success: 0, audit.Failure: 0},
		removal: newHistogram(), ways: make(map[string]int),
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

// configured takes the configuration that is in force.
func (m *metrics) configured(c config.Config) { m.update(func() { m.config = c }) }

// beats notes that the loop goes round, which is no news.
func (m *metrics) beats() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.beat = time.Now()
}

// change counts a plan that was carried out, or was not. Full says that the last copy found no room.
func (m *metrics) change(p enforcer.Plan, err error, full bool) {
	m.update(func() {
		switch {
		case errors.Is(err, enforcer.ErrNoCopy):
			m.copies++
			m.uncopied = time.Now()
		case err == nil && len(p.Original) > 0 && !full:
			m.uncopied = time.Time{}
		}
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

// went tells how long after its event a line went.
func (m *metrics) went(after time.Duration) { m.update(func() { m.removal.add(after.Seconds()) }) }

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

// trail counts the failures of a trail, and the copies of which it says that there are none.
func (m *metrics) trail(write enforcer.Trail) enforcer.Trail {
	return func(records ...audit.Record) error {
		err := write(records...)
		m.update(func() {
			if m.untold = (time.Time{}); err != nil {
				m.failures++
				m.untold = time.Now()
			}
			if slices.ContainsFunc(records, func(r audit.Record) bool { return r.Action == audit.KeepCopy && r.Outcome == audit.Failure }) {
				m.copies++
				m.uncopied = time.Now()
			}
		})
		return err
	}
}

// watched is how many directories are watched, and how many may be; 0 where that is not known.
func (m *metrics) watched() (count, limit int) {
	if m.watches != nil {
		count = m.watches()
	}
	limit, _ = watch.Limit()
	return count, limit
}

// histogram counts values by the least bound that is not below them; the last of the counts has those above all bounds.
type histogram struct {
	bounds []float64
	counts []int
	sum    float64
}

func newHistogram() histogram {
	bounds := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}
	return histogram{bounds: bounds, counts: make([]int, len(bounds)+1)}
}

func (h *histogram) add(value float64) {
	at, _ := slices.BinarySearch(h.bounds, value)
	h.counts[at]++
	h.sum += value
}
