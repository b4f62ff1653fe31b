package main

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/report"
)

// Worlds are counted at most every forecastPause, since users may change one by one, and without a new one every forecastPeriod, since time alone
// brings an end near: policy.warn counts days.
const (
	forecastPause  = time.Second
	forecastPeriod = time.Hour
)

// forecast tells, beside the loop, whose keys the rules will refuse soon: numbers at each count, a line in the log when another rule's end comes
// near, or the last one went away, and once on each day until then. Numbers alone are no news: people come and go.
type forecast struct {
	log    *zap.Logger
	tell   func(people, alone int, first time.Time)
	latest chan *enforcer.World

	told []string // the ends that were told last
	day  string   // on which
}

func newForecast(log *zap.Logger, tell func(people, alone int, first time.Time)) *forecast {
	return &forecast{log: log, tell: tell, latest: make(chan *enforcer.World, 1)}
}

// offer takes the world that counts from now on. It has one caller, and does not wait.
func (f *forecast) offer(world *enforcer.World) {
	select {
	case <-f.latest:
	default:
	}
	f.latest <- world
}

// keep counts until it is told to end.
func (f *forecast) keep() (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var world *enforcer.World
		for {
			select {
			case world = <-f.latest:
			case <-time.After(forecastPeriod):
			case <-stop:
				return
			}
			if world != nil {
				f.count(world, time.Now())
			}
			select {
			case <-time.After(forecastPause):
			case <-stop:
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-done
	}
}

func (f *forecast) count(world *enforcer.World, now time.Time) {
	people := report.RefusedSoon(world.Snapshot, world.Grants, now)
	alone, first, ends := 0, time.Time{}, []string{}
	for _, p := range people {
		if p.Others == 0 {
			alone++
		}
		for _, key := range p.Keys {
			if first.IsZero() || key.At.Before(first) {
				first = key.At
			}
			if !slices.Contains(ends, key.Detail) { // which is of the rule, not of the key
				ends = append(ends, key.Detail)
			}
		}
	}
	slices.Sort(ends)
	f.tell(len(people), alone, first)
	day := now.UTC().Format(time.DateOnly)
	if slices.Equal(ends, f.told) && (len(ends) == 0 || day == f.day) {
		return
	}
	if f.told, f.day = ends, day; len(ends) == 0 {
		f.log.Info("no registered key will be refused soon any more")
		return
	}
	f.log.Warn("registered keys will be refused soon", zap.Int("people", len(people)), zap.Int("without_another_key", alone), zap.Time("first", first), zap.Strings("ends", ends))
}

// soonRefused are the numbers of a forecast, for metrics.
type soonRefused struct {
	people, alone int // people of whom a key works that the rules will refuse soon, and those of them without another
	first         time.Time
}

// foretell notes whose keys will be refused soon.
func (m *metrics) foretell(people, alone int, first time.Time) {
	m.update(func() { m.soon = soonRefused{people, alone, first} })
}

func (s soonRefused) text(single func(name, kind, help string, value int)) {
	first := 0
	if !s.first.IsZero() {
		first = int(s.first.Unix())
	}
	single("refused_soon_users", "gauge", "People of whom a key works that the rules will refuse within policy.warn.", s.people)
	single("refused_soon_last_key_users", "gauge", "Those of them who have no other key.", s.alone)
	single("refused_soon_timestamp_seconds", "gauge", "When the first of these keys is refused; 0: there is none.", first)
}
