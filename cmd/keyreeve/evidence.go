package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
)

// trimPeriod is how often the daemon drops copies that are too old.
const trimPeriod = 24 * time.Hour

// trouble is what somebody should do something about: the quarantine has no room, or will have none.
func trouble(q *enforcer.Quarantine) error {
	held, most, err := q.Load()
	switch {
	case err != nil:
		return err
	case q.Full() && q.RemoveIfFull:
		return errors.New("the disk has no room for the quarantine: what is removed is lost (quarantine_full: remove)")
	case q.Full():
		return errors.New("the disk has no room for the quarantine: nothing is removed until it has (quarantine_full: stop)")
	case q.Stuck() != nil:
		return fmt.Errorf("copies that have to go from the quarantine stay, so that it grows beyond its bounds: %w", q.Stuck())
	case held < most/5*4:
		return nil
	}
	return fmt.Errorf("the quarantine has 80 %% of the %d MiB that it may have (quarantine_max_size); at the bound the oldest copies of whoever has most go", most>>20)
}

// warnOf says on stderr what is wrong with a quarantine.
func (p process) warnOf(q *enforcer.Quarantine) {
	if err := trouble(q); err != nil {
		p.warn(err)
	}
}

// teller logs the trouble of a quarantine when it begins or changes.
func (s *service) teller(q *enforcer.Quarantine) func() {
	var mu sync.Mutex
	var told string
	return func() {
		mu.Lock()
		defer mu.Unlock()
		text := ""
		if err := trouble(q); err != nil {
			text = err.Error()
		}
		if text != told && text != "" {
			s.log.Error(text)
		}
		told = text
	}
}

// trim drops the copies that are too old, if homes may be changed at all.
func (s *service) trim() {
	if !s.config.Enforces() {
		return
	}
	if err := s.hand.TrimQuarantine(); err != nil {
		s.log.Error("old copies could not be dropped", zap.Error(err))
	}
}
