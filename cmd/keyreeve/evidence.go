package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/statefile"
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

// leftAge is when a file that is being written is one that a crash left: no command takes as long.
const leftAge = time.Hour

// trim drops what crashes left in the daemon's directories, into which other commands write as well, and the copies that are too old, if homes may be
// changed at all.
func (s *service) trim() {
	dirs := []string{s.config.StateDir, registryDir(s.config), refusedDir(s.config)}
	if s.config.Deny.File != "" {
		dirs = append(dirs, filepath.Dir(s.config.Deny.File))
	}
	for _, dir := range dirs {
		if err := statefile.Tidy(dir, leftAge); err != nil {
			s.log.Warn("what was left half written stays", zap.String("dir", dir), zap.Error(err))
		}
	}
	if !s.config.Enforces() {
		return
	}
	if err := s.hand.TrimQuarantine(); err != nil {
		s.log.Error("old copies could not be dropped", zap.Error(err))
	}
}
