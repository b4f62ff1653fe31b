package main

import (
	"fmt"
	"time"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/plain"
)

// The bounds of silence. The file is written every metricsPeriod, the loop beats every few seconds; but to judge the first reading of a large
// registry, all moduli of which are looked at, keeps the loop for most of a minute.
const (
	vitalsOld = time.Minute
	beatOld   = 3 * time.Minute
	// sweepsLate is after how many of their periods a sweep that has not ended is late.
	sweepsLate = 3
	// firstReading is how long a daemon may be without any reading.
	firstReading = 10 * time.Minute
)

// witness is what the command knows beside what the daemon tells.
type witness struct {
	now    time.Time
	age    float64 // of the host
	gone   bool    // the process that has told is no more
	config config.Config
}

// judge says what is wrong with a daemon. Critical is what keeps keyreeve from its work, or part of it, until somebody helps; a
// warning is what waits for somebody or mends itself. What a user can bring about by himself is none but a warning.
func (v vitals) judge(by witness) (list []problem) {
	add := func(when bool, h health, format string, args ...any) {
		if when {
			list = append(list, problem{h, fmt.Sprintf(format, args...)})
		}
	}
	old := seconds(by.age - v.Written)
	switch {
	case by.gone:
		add(true, healthCritical, "the daemon has ended without a word: process %d is no more", v.PID)
		return list // what it told of is over
	case old > vitalsOld:
		add(true, healthCritical, "the daemon hangs, or is stopped: it has told nothing for %v (process %d)", round(old), v.PID)
	case old < 0:
		add(true, healthUnknown, "what tells of the daemon is from another boot of this host")
		return list
	}
	add(old+seconds(v.Beat) > beatOld, healthCritical, "the loop of the daemon stands still, for %v (process %d)", round(old+seconds(v.Beat)), v.PID)
	list = append(list, v.judgeRegistry(by.now)...)
	add(v.Config.Refused, healthCritical, "enforcing does not begin: none of \"admins\" could log in")
	add(v.Brake.On, healthCritical, "the brake is on, and holds %d keys: \"keyreeve brake status\"", v.Brake.HeldKeys)
	add(v.Failing.Audit, healthCritical, "the audit trail cannot be written: nothing is changed")
	add(v.Failing.Quarantine, healthCritical, "copies cannot be kept in quarantine")
	add(v.Failing.Answer, healthCritical, "the file by which sshd is answered cannot be written: logins go by the old one")
	add(v.Failing.Deny, healthCritical, "the list of keys that sshd refuses cannot be written")
	add(v.Config.SHA256 != by.config.SHA256, healthWarning, "the configuration in force is not the one that is on the disk: \"systemctl reload keyreeve\"")
	list = append(list, v.judgeHomes(by.now)...)
	return list
}

func (v vitals) judgeRegistry(now time.Time) (list []problem) {
	r := v.Reg
	add := func(h health, format string, args ...any) {
		list = append(list, problem{h, fmt.Sprintf(format, args...)})
	}
	switch {
	case r.Read == nil && (r.Error != "" || now.Sub(v.Started) > firstReading):
		add(healthCritical, "the registry was not read yet, and nothing is decided: %s", whyNot(r.Error))
	case r.Read == nil:
		add(healthWarning, "the registry is being read for the first time")
	case r.Stale:
		add(healthCritical, "the last good reading of the registry is stale, of %s: %s", r.Read.Format(time.RFC3339), whyNot(r.Error))
	case !r.Reachable && r.Since != nil:
		add(healthWarning, "the registry cannot be read since %s; the last good reading counts: %s", r.Since.Format(time.RFC3339), whyNot(r.Error))
	}
	if r.Held {
		add(healthCritical, "a reading of the registry is held, by which %d users and the keys of %d people are lost: \"keyreeve registry status\"", r.LostUsers, r.LostKeys)
	}
	return list
}

// whyNot is an error of the registry's in one line.
func whyNot(said string) string {
	if said == "" {
		return "no answer yet"
	}
	return plain.Text(said)
}

func (v vitals) judgeHomes(now time.Time) (list []problem) {
	add := func(when bool, format string, args ...any) {
		if when {
			list = append(list, problem{healthWarning, fmt.Sprintf(format, args...)})
		}
	}
	h, every := v.Homes, seconds(v.Sweep.Every)
	add(h.Unresolved > 0, "homes that are not resolved: %d", h.Unresolved)
	add(h.Unwatched > 0, "homes that are not watched, and wait for the sweep: %d (%d of %d watches)", h.Unwatched, h.Watches, h.Limit)
	ended := v.Started
	if v.Sweep.Ended != nil {
		ended = *v.Sweep.Ended
	}
	add(v.Reg.Read != nil && now.Sub(ended) > sweepsLate*every+seconds(v.Sweep.Took), "no look at every home has ended for %v", round(now.Sub(ended)))
	return list
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// round leaves out what nobody reads.
func round(d time.Duration) time.Duration { return d.Round(time.Second) }
