package enforcer

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/registry"
)

// Hold says how many people a reading of the registry may take something from.
type Hold struct {
	// Percent is a share of those who could lose it, Least a number that is always allowed.
	Percent, Least int
}

func (h Hold) most(of int) int { return max(h.Least, of*h.Percent/100) }

// holdWindow is how long losses add up, so that a directory that drains drop by drop is held like one that was emptied at once.
const holdWindow = time.Hour

// Gate stands between a complete reading of the registry and the world. It lets a reading through, which is the last good one
// from then on, or holds it back whole because too many people would lose something: the registry is complete and wrong, as
// after a replica that was half filled, a filter that changed, or a right to read that was lost. A held reading changes nothing,
// what it adds included, until the registry has recovered or an administrator accepts exactly this reading.
//
// The last good reading, the held one and the administrator's word lie in a directory, so that all this outlives the process. It is
// safe for concurrent use.
type Gate struct {
	// Past, where it is set, is told of a word past the brake before the reading is taken for which it was given; an error keeps that from
	// being taken. It is set before the gate is used, and asks nothing of it.
	Past func(Past) error

	dir string

	mu    sync.Mutex
	good  *Kept // nil: there is none
	held  *Verdict
	notes notes
	dirty dirt
	whole uint64
	used  accepted // the last acceptance that counted; its file may be there still
	// amendments are the last of each user that was taken, amended counts them and the whole readings that were; whole is the last of these.
	amendments map[string]amendment
	amended    uint64
	counted    census
	// known says as whom users count who have been lost by other names within the window, away has, by uid, as whom those do who are gone.
	known map[string]string
	away  map[int][]string

	writing sync.Mutex // held by who brings to the disk what has changed
}

// dirt is what the disk does not have yet.
type dirt struct{ good, held, notes, accepted bool }

// OpenGate reads what an earlier process has kept in a directory, which need not be there. The error says what could not be read,
// or not be believed: that counts as if it were not there, and the gate works.
func OpenGate(dir string) (*Gate, error) {
	g := &Gate{dir: dir}
	now := time.Now()
	var wrong, err error
	if g.good, err = readKept(dir, goodFile, now); err != nil {
		wrong = fmt.Errorf("the last good reading: %w", err)
	}
	if g.notes, _, err = readSmall[notes](dir, notesFile); err != nil {
		wrong = errors.Join(wrong, fmt.Errorf("what was noted of readings: %w", err))
	}
	if g.good != nil && g.notes.Digest == g.good.Digest {
		// It was read again since its file was written.
		if age := now.Sub(g.notes.Read); age >= 0 && age < now.Sub(g.good.Read) {
			g.good.Read = now.Add(-age)
		}
	}
	return g, wrong
}

// Reading is what a source gave.
type Reading struct {
	Snapshot *registry.Snapshot
	SourceID string
	Hold     Hold
	// Since is what Begin gave before it began.
	Since uint64
}

// Verdict is what a gate says of a reading.
type Verdict struct {
	Kept
	// Held says that the reading is not let through.
	Held bool
	// Contests says of each name that several entries have whose it is.
	Contests []string
	// Fresh says that the same loss was not held before.
	Fresh bool
	// Loss is what people lose by it; Users and Keys are how many lose something by it or have lost it within the last hour, MostUsers and
	// MostKeys how many may.
	Loss                registry.Loss
	Users, Keys         int
	MostUsers, MostKeys int
	// Items is all that is lost by a reading that is held, LossDigest tells it from another loss.
	Items      []registry.Item
	LossDigest string
}

// Summary is the verdict's numbers in words.
func (v Verdict) Summary() string {
	text := fmt.Sprintf("%d users are gone, locked or moved (%d may be within an hour), %d people have lost keys (%d may)", v.Users, v.MostUsers, v.Keys, v.MostKeys)
	if n := len(v.Loss.Replaced); n > 0 {
		text += fmt.Sprintf(", %d of them have as many as before", n)
	}
	return text
}

// Offer weighs a complete reading. The first one ever is let through: there is nothing to compare it with. One of another
// registry, by a changed configuration, is compared like any other, since a changed filter is how half of a registry vanishes.
// Nothing is written before Commit.
//
// The error says what is wrong with an acceptance; the verdict holds all the same.
func (g *Gate) Offer(r Reading) (Verdict, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.reach(nil, now)
	err := g.promote(now)
	var contests []string
	r.Snapshot, contests = r.Snapshot.Settled(g.before())
	r.Snapshot = g.newer(r)
	v := g.weigh(r, now)
	v.Contests = contests
	if v.Held {
		g.itemize(&v, now)
		v.Fresh = g.held == nil || g.held.LossDigest != v.LossDigest
		g.dirty.held = g.dirty.held || g.held == nil || g.held.Digest != v.Digest
		g.held = &v
		return v, err
	}
	g.lost(v, v.Snapshot.Users(), now)
	g.take(&v.Kept)
	return v, err
}

// before is what the last good reading was; nil where there is none.
func (g *Gate) before() *registry.Snapshot {
	if g.good == nil {
		return nil
	}
	return g.good.Snapshot
}

// weigh compares a reading with the last good one.
func (g *Gate) weigh(r Reading, now time.Time) Verdict {
	v := Verdict{Kept: Kept{Snapshot: r.Snapshot, SourceID: r.SourceID, Read: now, Digest: r.Snapshot.Digest()}}
	if g.good != nil {
		v.Loss = registry.Compare(g.good.Snapshot, v.Snapshot, now)
		g.count(now)
		g.judge(&v, r.Hold, now)
	}
	return v
}

// census is how many people could lose something at a moment.
type census struct {
	users, holders int
	at             time.Time
}

func (g *Gate) count(now time.Time) {
	users, holders := g.good.Snapshot.Census(now)
	g.counted = census{users, holders, now}
}

// judge says whether a snapshot is held for what is lost by it, by the last census.
func (g *Gate) judge(v *Verdict, hold Hold, now time.Time) {
	v.MostUsers, v.MostKeys = hold.most(g.counted.users), hold.most(g.counted.holders)
	v.Users, v.Keys = recent(g.notes.Users, g.people(v.Loss.Users), now), recent(g.notes.Keys, g.people(v.Loss.Keys), now)
	// Who lost nothing more does not wait for what was let through before.
	v.Held = len(v.Loss.Users) > 0 && v.Users > v.MostUsers || len(v.Loss.Keys) > 0 && v.Keys > v.MostKeys
}

// lost notes what was lost by what is let through, by which nobody has come but some users.
func (g *Gate) lost(v Verdict, come iter.Seq[registry.User], now time.Time) {
	g.forget(now)
	for list, names := range map[*map[string]time.Time][]string{&g.notes.Users: v.Loss.Users, &g.notes.Keys: v.Loss.Keys} {
		for _, name := range g.people(names) {
			if *list == nil {
				*list = make(map[string]time.Time)
			}
			(*list)[name] = now
		}
	}
	g.follow(v, come)
}

// recent counts the people of a list and those who lost something within the window.
func recent(lost map[string]time.Time, names []string, now time.Time) int {
	all := make(map[string]bool, len(names))
	for _, name := range names {
		all[name] = true
	}
	for name, at := range lost {
		if within(at, now) {
			all[name] = true
		}
	}
	return len(all)
}

// within reports whether a moment is in the window; a clock that was set back by more than that does not prolong it.
func within(at, now time.Time) bool { return now.Sub(at).Abs() < holdWindow }

// forget drops the losses that are older than the window.
func (g *Gate) forget(now time.Time) {
	old := func(_ string, at time.Time) bool { return !within(at, now) }
	maps.DeleteFunc(g.notes.Users, old)
	maps.DeleteFunc(g.notes.Keys, old)
	maps.DeleteFunc(g.known, func(_, first string) bool { return g.notes.Users[first].IsZero() })
	for uid, list := range g.away {
		if list = slices.DeleteFunc(list, func(first string) bool { return g.notes.Users[first].IsZero() }); len(list) == 0 {
			delete(g.away, uid)
		} else {
			g.away[uid] = list
		}
	}
}

// take makes a reading the last good one. Nothing is held any more, and an acceptance that was not used is void.
func (g *Gate) take(k *Kept) {
	g.dirty.good = g.dirty.good || g.good == nil || g.good.Digest != k.Digest || g.good.SourceID != k.SourceID
	g.good, g.held = k, nil
	g.amended++
	g.whole = g.amended
	k.whole = g.whole
	g.notes.Digest, g.notes.Read = k.Digest, k.Read
	g.dirty.held, g.dirty.notes, g.dirty.accepted = true, true, true
}

// Failed notes that the registry could not be read.
func (g *Gate) Failed(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reach(err, time.Now())
}

func (g *Gate) reach(err error, now time.Time) {
	if ok := err == nil; ok != g.notes.OK || g.notes.Since.IsZero() {
		g.notes.Reach, g.dirty.notes = Reach{OK: ok, Since: now}, true
		if err != nil {
			g.notes.Error = err.Error()
		}
	}
}

// Good is the last good reading of a registry; nil where there is none, or only another registry's.
func (g *Gate) Good(sourceID string) *Kept {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.good == nil || g.good.SourceID != sourceID {
		return nil
	}
	return g.good
}

// Held is the verdict on the reading that this process holds; nil where it holds none.
func (g *Gate) Held() *Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// Resume holds what an earlier process held; nil where that is nothing.
func (g *Gate) Resume(hold Hold) (*Verdict, error) {
	v, err := g.Waiting(hold)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held, g.dirty.held = v, g.dirty.held || v == nil && err == nil
	return v, err
}

// Waiting is the verdict on the reading that lies on disk as held, whichever process held it; nil where there is none, or nothing is lost by
// it: a process that was killed when it had taken the reading has left it.
func (g *Gate) Waiting(hold Hold) (*Verdict, error) {
	now := time.Now()
	kept, err := readKept(g.dir, heldFile, now)
	if kept == nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.weigh(Reading{Snapshot: kept.Snapshot, SourceID: kept.SourceID, Hold: hold}, now)
	v.Read, v.Held = kept.Read, true
	if g.itemize(&v, now); g.good != nil && len(v.Items) == 0 {
		return nil, err
	}
	return &v, err
}

// Reach says whether the registry answers.
func (g *Gate) Reach() Reach {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.notes.Reach
}
