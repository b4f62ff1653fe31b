package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/config"
)

// exposition is numbers in Prometheus' text format 0.0.4. The client library would do it too, at the price of protobuf and 2.6 MB
// in a program that runs as root; these are some lines of text.
type exposition struct{ strings.Builder }

func (e *exposition) family(name, kind, help string) {
	fmt.Fprintf(e, "# HELP keyreeve_%[1]s %[3]s\n# TYPE keyreeve_%[1]s %[2]s\n", name, kind, help)
}

func (e *exposition) single(name, kind, help string, value int) {
	e.family(name, kind, help)
	fmt.Fprintf(e, "keyreeve_%s %d\n", name, value)
}

func (e *exposition) gauge(name, help string, value int) { e.single(name, "gauge", help, value) }

func (e *exposition) flag(name, help string, set bool) { e.gauge(name, help, number(set)) }

func (e *exposition) labelled(name, kind, label, help string, values map[string]int) {
	e.family(name, kind, help)
	for _, value := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(e, "keyreeve_%s{%s=%q} %d\n", name, label, value, values[value])
	}
}

func (e *exposition) seconds(name, help string, value float64) {
	e.family(name, "gauge", help)
	fmt.Fprintf(e, "keyreeve_%s %.3f\n", name, value)
}

// moment is a time stamp; 0 for one that was not yet.
func (e *exposition) moment(name, help string, at time.Time) {
	value := 0.0
	if !at.IsZero() {
		value = float64(at.UnixMilli()) / 1000
	}
	e.seconds(name, help, value)
}

func (e *exposition) histogram(name, help string, h histogram) {
	e.family(name, "histogram", help)
	all := 0
	for i, count := range h.counts {
		bound := "+Inf"
		if i < len(h.bounds) {
			bound = strconv.FormatFloat(h.bounds[i], 'g', -1, 64)
		}
		all += count
		fmt.Fprintf(e, "keyreeve_%s_bucket{le=%q} %d\n", name, bound, all)
	}
	fmt.Fprintf(e, "keyreeve_%[1]s_sum %.6[2]f\nkeyreeve_%[1]s_count %[3]d\n", name, h.sum, all)
}

// text is all of the numbers.
func (m *metrics) text() string {
	watches, limit := m.watched()
	m.mu.Lock()
	defer m.mu.Unlock()
	e := new(exposition)
	m.textOfDaemon(e)
	m.textOfHomes(e)
	e.gauge("watches", "Directories that are watched.", watches)
	e.gauge("watches_limit", "Watches that one user may have (fs.inotify.max_user_watches); 0 if that is not known.", limit)
	m.textOfRegistry(e)
	m.textForSSHD(e)
	m.soon.text(e.single)
	return e.String()
}

func (m *metrics) textOfDaemon(e *exposition) {
	e.labelled("build_info", "gauge", "version", "1 for the version of the program.", map[string]int{ownVersion(): 1})
	e.moment("start_timestamp_seconds", "When the daemon was started.", m.started)
	e.moment("loop_beat_timestamp_seconds", "When the loop went round last, which it does every few seconds; 0 before that.", m.beat)
	modes := make(map[string]int)
	for _, mode := range []string{config.Report, config.Warn, config.Enforce} {
		modes[mode] = number(m.config.Mode == mode)
	}
	e.labelled("mode", "gauge", "mode", "1 for the mode of those of whom groups and users say nothing else.", modes)
	e.flag("enforcing_refused", "1 while enforcing does not begin, since no administrator could log in.", m.refused)
	e.labelled("changes_total", "counter", "outcome", "Files changed (success) or not (failure).", m.changes)
	e.labelled("removed_lines_total", "counter", "reason", "Lines removed from files.", m.removed)
	e.histogram("event_to_removal_seconds", "Time from the first event that told of a file to the removal of a line from it.", m.removal)
	e.single("audit_failures_total", "counter", "Records that could not be written; what they tell of was not done.", m.failures)
	e.single("quarantine_failures_total", "counter", "Copies that could not be kept in quarantine.", m.copies)
}

func (m *metrics) textOfHomes(e *exposition) {
	e.gauge("homes", "Homes that are kept in line.", m.seen.Homes)
	e.gauge("silent_homes", "Homes that do not answer.", m.seen.Silent)
	e.gauge("unresolved_homes", "Homes that do not answer, or have a file that may hold an unregistered key and could not be decided or changed.", m.seen.UnresolvedHomes)
	e.gauge("unresolved_files", "Files that may hold an unregistered key and could not be decided or changed.", m.seen.Unresolved)
	e.gauge("unwatched_homes", "Homes that could not be watched: what happens there waits for the sweep.", m.seen.Unwatched)
	e.gauge("waiting_homes", "Homes that are to be looked at.", m.seen.Waiting)
	e.single("sweeps_total", "counter", "Looks at every home that came to their end.", m.seen.Rounds)
	e.moment("sweep_end_timestamp_seconds", "When the last look at every home ended; 0 before the first.", m.seen.RoundEnded)
	e.seconds("sweep_duration_seconds", "How long the last look at every home took.", m.seen.RoundTook.Seconds())
	e.flag("brake", "1 if the brake is on: too many people lost a registered key.", m.seen.Braked)
	e.single("brake_state_lost_total", "counter", "Times that the file of the brake's state was lost and written anew.", m.seen.BrakeRenewed)
	e.gauge("held_keys", "Keys that stay although they are no longer registered, by the brake or because the registry cannot be read.", m.seen.HeldKeys)
}

func (m *metrics) textOfRegistry(e *exposition) {
	e.gauge("registry_users", "Users of the reading that is in force.", m.seen.Users)
	e.gauge("registry_keys", "Keys of the reading that is in force.", m.seen.Keys)
	e.moment("registry_last_success_timestamp_seconds", "When the registry was last read whole; 0 before that.", m.seen.Registry)
	e.flag("registry_reachable", "1 if the last attempt to read the registry succeeded.", m.seen.Reachable)
	e.flag("registry_stale", "1 if the last good reading is older than registry.max_stale.", m.seen.Stale)
	e.flag("registry_held", "1 if a reading is held because too many people lose something by it.", m.seen.Held)
	e.gauge("registry_held_lost_users", "Users who are gone, locked or moved by the reading that is held.", m.seen.LostUsers)
	e.gauge("registry_held_lost_keys", "People who have lost a key by the reading that is held.", m.seen.LostKeys)
	e.labelled("registry_noticing", "gauge", "way", "1 for the way in which changes in the directory are noticed.", m.ways)
	e.single("registry_notices_total", "counter", "Times that somebody's entry may have changed, or anybody's.", m.notices)
}

func (m *metrics) textForSSHD(e *exposition) {
	e.flag("answer_failing", "1 while the file by which sshd is answered cannot be written.", m.answer)
	e.flag("deny_failing", "1 while the list of keys that sshd refuses cannot be brought up to date.", m.deny)
	e.gauge("deny_keys", "Keys on that list.", m.denied)
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
