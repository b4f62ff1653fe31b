package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/registry"
)

// registryDir is what is kept of the registry.
func registryDir(c config.Config) string { return filepath.Join(c.StateDir, "registry") }

func ledgerPath(c config.Config) string { return filepath.Join(registryDir(c), "ledger") }
func brakePath(c config.Config) string  { return filepath.Join(registryDir(c), "brake") }

// openMemory reads who and what was registered before, and whether the brake is on. Hand may be nil where nothing is changed.
//
// Without the ledger all former keys are unknown: they would go, from everybody at once, and no brake would count them; who left
// would be left alone with his keys. Without the brake's state nobody knows what it holds. So nothing is decided without them, and a
// daemon that does not start is seen.
func openMemory(c config.Config, hand *enforcer.Enforcer) (m enforcer.Memory, err error) {
	m.Hand = hand
	if m.Ledger, err = enforcer.OpenLedger(ledgerPath(c)); err != nil {
		return m, unread(err, "bring the file back, or move it away: then the last good reading is all that is known of the past; keys that went before it are as unknown "+
			"as any other, and users who left before it are left alone")
	}
	if m.Brakes, err = enforcer.OpenBrakes(brakePath(c)); err != nil {
		return m, unread(err, "bring the file back, or move it away to begin with a brake that is not on")
	}
	return m, nil
}

// seed takes the last good reading into the ledger; the error is for people, who should know that there was none.
func seed(c config.Config, ledger *enforcer.Ledger, good *enforcer.Kept) error {
	if _, lost := ledger.Seed(good, time.Now()); !lost {
		return nil
	}
	return fmt.Errorf("there is no ledger at %s: who and what was registered is taken from the last good reading, of %s; users who left before that are unknown, and left alone",
		ledgerPath(c), good.Read.UTC().Format(time.RFC3339))
}

// undecided is a hint beside an error before any decision.
const undecided = "nothing was decided and nothing was changed"

// remember makes the world of a snapshot, of the exceptions and of what is known of the past, to which the last good reading belongs as it
// was before.
func (one *pass) remember(p process, snapshot *registry.Snapshot, good *enforcer.Kept) (err error) {
	if one.exceptions, err = enforcer.OpenExceptions(exceptionsPath(one.config)); err != nil {
		return withHint(err, undecided)
	}
	if one.memory, err = openMemory(one.config, nil); err != nil {
		return withHint(err, undecided)
	}
	one.memory.Past = one.past
	if lost := seed(one.config, one.memory.Ledger, good); lost != nil {
		p.warn(lost)
	}
	if !one.away() { // else it is not news
		one.memory.Ledger.Accept(snapshot, one.settings.SourceID, true, time.Now())
	}
	one.world = &enforcer.World{Snapshot: snapshot}
	return one.judge()
}

// away reports that the last good reading counts, and not the registry as it is.
func (one *pass) away() bool { return one.held != nil || one.unread != nil }

// The ledger's file is one process's at a time, a daemon's or that of "keyreeve apply", as long as it runs.
const (
	ledgerTries = 50
	ledgerPause = 200 * time.Millisecond
)

// lockLedger takes the ledger's lock, after a while if need be. The directory is made if it is not there.
func lockLedger(c config.Config, tries int) (lock io.Closer, err error) {
	if err := statefile.EnsureDir(registryDir(c), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the registry ready: %w", err)
	}
	for tries--; ; tries-- {
		if lock, err = statefile.Lock(ledgerPath(c) + ".lock"); err == nil || tries <= 0 {
			return lock, err
		}
		time.Sleep(ledgerPause)
	}
}

// holding is the ledger's lock in the hand of "keyreeve apply", or not yet.
type holding struct{ lock io.Closer }

// begin takes the lock if that was not done yet.
func (h *holding) begin(c config.Config) (err error) {
	if h.lock != nil {
		return nil
	}
	h.lock, err = lockLedger(c, 1)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "apply runs as root, or as the one user whose homes it keeps")
	case err != nil:
		return withHint(err, "nothing was changed; where the daemon runs, \"systemctl reload keyreeve\" lets it read the registry and look at every home now, "+
			"and \"keyreeve plan\" shows what is left to do")
	}
	return nil
}

func (h *holding) end() error {
	if h.lock == nil {
		return nil
	}
	return h.lock.Close()
}
