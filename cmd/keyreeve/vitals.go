package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/plain"
)

// vitalsPath is where the daemon tells of itself, for root alone: there are names in it.
func vitalsPath(c config.Config) string { return filepath.Join(c.RuntimeDir, "daemon.json") }

// vitals are what the daemon tells of itself in that file.
type vitals struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Ticks   uint64    `json:"start_ticks"` // since the start of the host: a pid may be another process' by now
	Started time.Time `json:"started"`
	// Written is the age of the host at which this was written, and Beat how long before that the loop went round last: the wall clock may be
	// set in between.
	Written float64       `json:"written_at_uptime_seconds"`
	Beat    float64       `json:"loop_beat_age_seconds"`
	Config  configVitals  `json:"config"`
	Reg     regVitals     `json:"registry"`
	Homes   homesVitals   `json:"homes"`
	Sweep   sweepVitals   `json:"sweep"`
	Brake   brakeVitals   `json:"brake"`
	Failing failingVitals `json:"failing"`
}

type configVitals struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Mode   string `json:"mode"`
	// Own counts the groups and users who have a mode of their own.
	Own int `json:"own_modes"`
	// Refused: enforcing does not begin, since no administrator could log in.
	Refused bool `json:"enforcing_refused"`
}

type regVitals struct {
	Source string `json:"source"`
	// Read is null before the first reading.
	Read      *time.Time `json:"read"`
	Users     int        `json:"users"`
	Keys      int        `json:"keys"`
	Reachable bool       `json:"reachable"`
	Since     *time.Time `json:"reachable_since"` // null before the first attempt
	Error     string     `json:"error,omitempty"`
	Stale     bool       `json:"stale"`
	Held      bool       `json:"held"`
	LostUsers int        `json:"held_lost_users"`
	LostKeys  int        `json:"held_lost_keys"`
	Noticing  string     `json:"noticing,omitempty"` // sync, poll or refresh
}

type homesVitals struct {
	Kept       int `json:"kept"`
	Silent     int `json:"silent"`
	Unwatched  int `json:"unwatched"`
	Unresolved int `json:"unresolved"`
	Files      int `json:"unresolved_files"`
	// Troubles are the first of the unresolved homes.
	Troubles []troubleVitals `json:"troubles"`
	Waiting  int             `json:"waiting"`
	Looking  int             `json:"looking"`
	Watches  int             `json:"watches"`
	Limit    int             `json:"watches_limit"`
}

type troubleVitals struct {
	User string `json:"user"`
	Why  string `json:"why"`
}

type sweepVitals struct {
	// Ended is null before the first.
	Ended *time.Time `json:"ended"`
	Took  float64    `json:"took_seconds"`
	Every float64    `json:"every_seconds"`
}

type brakeVitals struct {
	On       bool `json:"on"`
	HeldKeys int  `json:"held_keys"`
}

// failingVitals are what could not be written lately.
type failingVitals struct {
	Audit      bool `json:"audit"`
	Quarantine bool `json:"quarantine"`
	Answer     bool `json:"answer"`
	Deny       bool `json:"deny"`
}

// failingFor is how long a failure counts if nothing is tried again: what is due is tried again within a minute.
const failingFor = 15 * time.Minute

// vitals are the daemon's, as JSON.
func (s *service) vitals() ([]byte, error) {
	v := s.metrics.vitals(time.Now())
	var err error
	v.Config.Path, v.PID, v.Version = s.path, os.Getpid(), ownVersion()
	if _, v.Ticks, err = homes.Lifetime(v.PID); err != nil {
		return nil, err
	}
	if v.Written, err = hostAge(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(v, "", "  ")
	return append(plain.JSON(text), '\n'), err
}

func (m *metrics) vitals(now time.Time) (v vitals) {
	watches, limit := m.watched()
	m.mu.Lock()
	defer m.mu.Unlock()
	lately := func(at time.Time) bool { return !at.IsZero() && now.Sub(at) < failingFor }
	known := func(at time.Time) *time.Time {
		if at.IsZero() {
			return nil
		}
		at = at.UTC()
		return &at
	}
	o := m.seen
	v.Started, v.Beat = m.started.UTC(), now.Sub(m.started).Seconds()
	if !m.beat.IsZero() {
		v.Beat = now.Sub(m.beat).Seconds()
	}
	v.Config = configVitals{SHA256: m.config.SHA256, Mode: m.config.Mode, Own: len(m.config.Groups) + len(m.config.Users), Refused: m.refused}
	v.Reg = regVitals{
		Source: plain.Text(o.Source), Read: known(o.Registry), Users: o.Users, Keys: o.Keys, Reachable: o.Reachable, Since: known(o.Since), Error: o.Error,
		Stale: o.Stale, Held: o.Held, LostUsers: o.LostUsers, LostKeys: o.LostKeys,
	}
	for _, way := range slices.Sorted(maps.Keys(m.ways)) {
		if m.ways[way] > 0 {
			v.Reg.Noticing = way
		}
	}
	v.Homes = homesVitals{
		Kept: o.Homes, Silent: o.Silent, Unwatched: o.Unwatched, Unresolved: o.UnresolvedHomes, Files: o.Unresolved, Troubles: []troubleVitals{},
		Waiting: o.Waiting, Looking: o.Looking, Watches: watches, Limit: limit,
	}
	for _, t := range o.Troubles {
		if t.User != "" {
			v.Homes.Troubles = append(v.Homes.Troubles, troubleVitals{plain.Text(t.User), plain.Text(t.Why)})
		}
	}
	v.Sweep = sweepVitals{Ended: known(o.RoundEnded), Took: o.RoundTook.Seconds(), Every: m.config.Homes.Sweep.Seconds()}
	v.Brake = brakeVitals{On: o.Braked, HeldKeys: o.HeldKeys}
	v.Failing = failingVitals{Audit: lately(m.untold), Quarantine: lately(m.uncopied), Answer: m.answer, Deny: m.deny}
	return v
}

// ownVersion is the version of this program in one word.
func ownVersion() string {
	first, _, _ := strings.Cut(version(), "\n")
	_, word, _ := strings.Cut(first, " ")
	return word
}

// hostAge is how long ago the host was started, in seconds (proc_uptime(5)).
func hostAge() (float64, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	return strconv.ParseFloat(first, 64)
}
