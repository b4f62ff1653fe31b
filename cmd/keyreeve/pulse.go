package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
)

const (
	// pulseEvery is the time between two signs of life, statusEvery the age of what "systemctl status" shows.
	pulseEvery  = 10 * time.Second
	statusEvery = time.Second
	// pulseShare of the time that systemd gives lies between two of them, so that one may be late.
	pulseShare = 3
	// startExtension is asked for with each sign until the first reading of the registry, which lasts as long as that is away.
	startExtension = time.Minute
)

// pulse tells systemd that the daemon lives, for as long as its loop does: a process that answers and removes nothing would be taken for one
// that works (sd_notify(3), WATCHDOG=1, EXTEND_TIMEOUT_USEC=).
func (s *service) pulse(ctx context.Context) {
	every := pulseEvery
	if limit, err := daemon.SdWatchdogEnabled(false); err != nil {
		s.log.Warn("systemd's watchdog is not understood", zap.Error(err))
	} else if limit > 0 {
		every = min(every, limit/pulseShare)
	}
	for last, told := "", (time.Time{}); s.runner.Alive(ctx) == nil; {
		s.metrics.beats()
		if line := s.status(); line != last || time.Since(told) >= every {
			last, told = line, time.Now()
			s.notify(s.sign(line, every))
		}
		select {
		case <-time.After(min(statusEvery, every)):
		case <-ctx.Done():
		}
	}
}

// sign is a sign of life, of which the next comes within a time.
func (s *service) sign(status string, next time.Duration) string {
	state := daemon.SdNotifyWatchdog + "\nSTATUS=" + status
	if !s.ready.Load() {
		state += fmt.Sprintf("\nEXTEND_TIMEOUT_USEC=%d", (next + startExtension).Microseconds())
	}
	return state
}

// notify tells systemd; without systemd it does nothing.
func (s *service) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil && !s.deaf.Swap(true) {
		s.log.Warn("systemd could not be told", zap.Error(err))
	}
}

// status is the line by which a person sees how the daemon fares.
func (s *service) status() string {
	mode := s.modes.Load().config.Mode
	s.metrics.mu.Lock()
	defer s.metrics.mu.Unlock()
	return statusLine(mode, s.metrics.refused, s.metrics.seen)
}

// statusLine says what is wrong first, since systemctl may cut the end off.
func statusLine(mode string, refused bool, o enforcer.Observation) string {
	var parts []string
	add := func(on bool, format string, values ...any) {
		if on {
			parts = append(parts, fmt.Sprintf(format, values...))
		}
	}
	read := !o.Registry.IsZero()
	add(o.Braked, "THE BRAKE IS ON, %d keys held", o.HeldKeys)
	add(o.Held, "a reading of the registry is HELD")
	add(refused, "enforcing is REFUSED: no administrator could log in")
	add(o.Stale, "the registry is STALE")
	add(read && !o.Reachable, "the registry does not answer")
	add(!read, "waiting for the registry, nothing is looked at before it was read")
	add(o.Unresolved > 0, "%d files not resolved", o.Unresolved)
	add(true, "mode %s", mode)
	add(o.Homes > 0, "%d homes kept", o.Homes)
	add(read, "registry read %s", o.Registry.Local().Format(time.DateTime))
	return strings.Join(parts, "; ")
}
