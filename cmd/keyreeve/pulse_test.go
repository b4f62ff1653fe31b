package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
)

func TestStatusLine(t *testing.T) {
	read := time.Date(2026, 11, 26, 14, 3, 5, 0, time.Local)
	for want, c := range map[string]struct {
		refused bool
		o       enforcer.Observation
	}{
		"waiting for the registry, nothing is looked at before it was read; mode enforce":                     {false, enforcer.Observation{}},
		"mode enforce; 1234 homes kept; registry read 2026-11-26 14:03:05":                                    {false, enforcer.Observation{Homes: 1234, Registry: read, Reachable: true}},
		"the registry does not answer; 2 files not resolved; mode enforce; registry read 2026-11-26 14:03:05": {false, enforcer.Observation{Registry: read, Unresolved: 2}},
		"THE BRAKE IS ON, 7 keys held; a reading of the registry is HELD; enforcing is REFUSED: no administrator could log in; the registry is STALE; " +
			"mode enforce; registry read 2026-11-26 14:03:05": {true, enforcer.Observation{Braked: true, HeldKeys: 7, Held: true, Stale: true, Reachable: true, Registry: read}},
	} {
		if got := statusLine("enforce", c.refused, c.o); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// A loop that stands still lets nothing be said that systemd would take for a sign of life.
func TestPulseIsTheLoops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	s := &service{log: zap.NewNop(), metrics: newMetrics(), runner: enforcer.NewRunner()} // which does not run
	s.modes.Store(&modes{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s.pulse(ctx)
	s.notify("the end")
	said := make([]byte, 100)
	if n, err := socket.Read(said); err != nil || string(said[:n]) != "the end" {
		t.Errorf("systemd hears %q, %v", said[:n], err)
	}
}
