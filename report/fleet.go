package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/policy"
)

// Fleet is what the JSON reports of several hosts come to. A key of a user is one key, on however many hosts his files have it: homes are
// often shared.
type Fleet struct {
	Hosts []FleetHost
	// keys by user and fingerprint, in the order in which they were read.
	keys map[fleetID]*FleetKey
	shut map[string]*FleetLockout
	open map[[3]string]*FleetFinding

	maxReport, maxValue int64
}

// FleetHost is one host. Hosts are named by their places in Fleet.Hosts.
type FleetHost struct {
	Host           string
	Made           time.Time
	Source, Policy string
	// Supposed is what the report supposes, the same in all of them; Held what a later reading of the registry has lost, which is held on that host.
	Supposed, Held string
	Counts         Counts
	Lockouts       int
}

type fleetID struct{ user, print string }

// FleetKey is a key of one user and what becomes of it where.
type FleetKey struct {
	User, Type, Fingerprint, Comment string
	Bits                             int
	Cluster                          Mark
	Fates                            []FleetFate // by hosts
}

// FleetFate is what becomes of a key on one host.
type FleetFate struct {
	Host   int
	Fate   Fate
	Reason string
}

// Fate is what becomes of a key in the files of one host; a stable code. A key stays where one of its lines does.
type Fate string

// The fates, the best first.
const (
	FateStay Fate = "stay"
	FateNew  Fate = "new"
	FateOpen Fate = "undecided" // its file is not decided
	FateGo   Fate = "go"
)

func fates() []Fate { return []Fate{FateStay, FateNew, FateOpen, FateGo} }

// FleetLockout is a person who loses access on some hosts.
type FleetLockout struct {
	User    string
	Granted int // the least of the hosts
	Unsure  bool
	Hosts   []int
}

// FleetFinding is something that is not decided on some hosts.
type FleetFinding struct {
	User, Path, Detail string
	Hosts              []int
}

// NewFleet is one without hosts.
func NewFleet() *Fleet {
	return &Fleet{maxReport: MaxReport, maxValue: maxValue, keys: make(map[fleetID]*FleetKey), shut: make(map[string]*FleetLockout), open: make(map[[3]string]*FleetFinding)}
}

// Keys lists all keys, those that go first, in the order of users.
func (f *Fleet) Keys() []*FleetKey {
	return slices.SortedFunc(maps.Values(f.keys), func(a, b *FleetKey) int {
		return cmp.Or(cmp.Compare(b.rank(), a.rank()), strings.Compare(a.User, b.User), strings.Compare(a.Fingerprint, b.Fingerprint))
	})
}

// rank is the place of the worst fate.
func (k *FleetKey) rank() (worst int) {
	for _, fate := range k.Fates {
		worst = max(worst, slices.Index(fates(), fate.Fate))
	}
	return worst
}

// Worst is the worst that becomes of the key on any host.
func (k *FleetKey) Worst() Fate { return fates()[k.rank()] }

// Split reports that hosts disagree: the key goes on one of them and stays on another.
func (k *FleetKey) Split() bool {
	stays := slices.ContainsFunc(k.Fates, func(f FleetFate) bool { return f.Fate == FateStay || f.Fate == FateNew })
	return stays && k.Worst() == FateGo
}

// Lockouts lists who loses access: who has no other granted key first, then those who lose it on most hosts.
func (f *Fleet) Lockouts() []*FleetLockout {
	return slices.SortedFunc(maps.Values(f.shut), func(a, b *FleetLockout) int {
		return cmp.Or(cmp.Compare(min(a.Granted, 1), min(b.Granted, 1)), cmp.Compare(len(b.Hosts), len(a.Hosts)), strings.Compare(a.User, b.User))
	})
}

// Open lists what is not decided, each once.
func (f *Fleet) Open() []*FleetFinding {
	return slices.SortedFunc(maps.Values(f.open), func(a, b *FleetFinding) int {
		return cmp.Or(cmp.Compare(len(b.Hosts), len(a.Hosts)), strings.Compare(a.User, b.User), strings.Compare(a.Path, b.Path), strings.Compare(a.Detail, b.Detail))
	})
}

// FleetCounts are the totals of a fleet, in which a key of a user counts once.
type FleetCounts struct {
	Hosts    int `json:"hosts"`
	People   int `json:"people"` // with a key
	Keys     int `json:"keys"`
	Go       int `json:"go"`           // on any host
	Split    int `json:"split"`        // go on one host and stay on another
	Cluster  int `json:"cluster_keys"` // of the clusters themselves
	Lockouts int `json:"lockouts"`     // people, on any host
	Open     int `json:"undecided"`    // files and accounts
	Errors   int `json:"errors"`       // accounts of all hosts
}

// Count adds up.
func (f *Fleet) Count() FleetCounts {
	c := FleetCounts{Hosts: len(f.Hosts), Keys: len(f.keys), Lockouts: len(f.shut), Open: len(f.open)}
	people := make(map[string]bool)
	for id, k := range f.keys {
		people[id.user] = true
		if k.Worst() == FateGo {
			c.Go++
		}
		if k.Split() {
			c.Split++
		}
		if k.Cluster != "" {
			c.Cluster++
		}
	}
	c.People = len(people)
	for _, h := range f.Hosts {
		c.Errors += h.Counts.Errors
	}
	return c
}

// Reasons count the keys that go by their reasons, each key once for a reason.
func (f *Fleet) Reasons() []ReasonTally {
	type tallied struct {
		keys  int
		users map[string]bool
	}
	of := make(map[string]*tallied)
	for id, k := range f.keys {
		var told []string
		for _, fate := range k.Fates {
			if fate.Fate != FateGo || slices.Contains(told, fate.Reason) {
				continue
			}
			told = append(told, fate.Reason)
			if of[fate.Reason] == nil {
				of[fate.Reason] = &tallied{users: make(map[string]bool)}
			}
			of[fate.Reason].keys++
			of[fate.Reason].users[id.user] = true
		}
	}
	var list []ReasonTally
	for reason, t := range of {
		list = append(list, ReasonTally{ActionRemove, policy.Reason(reason), t.keys, len(t.users)})
	}
	slices.SortFunc(list, func(a, b ReasonTally) int {
		return cmp.Or(cmp.Compare(b.Number, a.Number), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

// names are those of hosts by their places.
func (f *Fleet) names(hosts []int) []string {
	list := make([]string, len(hosts))
	for i, host := range hosts {
		list[i] = f.Hosts[host].Host
	}
	return list
}

// add notes what becomes of a key on a host; the better fate of several lines counts.
func (k *FleetKey) add(fate FleetFate) {
	if n := len(k.Fates); n > 0 && k.Fates[n-1].Host == fate.Host {
		if last := k.Fates[n-1]; slices.Index(fates(), fate.Fate) < slices.Index(fates(), last.Fate) {
			k.Fates[n-1] = fate
		}
		return
	}
	k.Fates = append(k.Fates, fate)
}

// span is when the first and the last of the reports were made.
func (f *Fleet) span() (first, last time.Time) {
	for i, h := range f.Hosts {
		if i == 0 || h.Made.Before(first) {
			first = h.Made
		}
		if h.Made.After(last) {
			last = h.Made
		}
	}
	return first, last
}

// host is the place of one by its name.
func (f *Fleet) host(name string) int {
	return slices.IndexFunc(f.Hosts, func(h FleetHost) bool { return h.Host == name })
}
