package enforcer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/policy"
)

// Quarantine is the folder in which the old content of every changed file is kept, for root alone: one folder for each
// user, one file for each change, named by time, file and change, which holds a [Copy] as JSON. A copy is written once and never
// again; it goes whole, by one of three bounds, and the trail says so.
//
// Budget keeps one user, who writes in a loop what is to be removed, from pushing out the copies of others or filling the disk.
// MaxSize bounds all of them: there the oldest copies of whoever has most go, so that neither many accounts nor one can stop
// removal for everybody. MaxAge is for what nobody asks about any more. The newest copy stays whatever its size.
//
// It is safe for concurrent use. What other processes write is counted at the next [Enforcer.TrimQuarantine].
type Quarantine struct {
	Dir string
	// Budget is how many bytes the copies of one user may have on disk, MaxSize those of all (0: any number).
	Budget, MaxSize int64
	// MaxAge is how long a copy is kept (0: for ever).
	MaxAge time.Duration
	// RemoveIfFull lets a change be made without a copy when there is no room for one.
	RemoveIfFull bool

	// writing is held by who writes a copy until it is counted, and alone by who counts all of them.
	writing sync.RWMutex

	full atomic.Bool

	mu   sync.Mutex
	held map[string]int64 // bytes by user; nil before they were counted
	all  int64
	// going are copies that were picked and are not removed yet.
	going map[string]bool
}

// DefaultBudget holds some thousand usual files, or 48 of the largest.
const DefaultBudget = 16 << 20

// The reasons for which a copy is dropped, or not kept. Like those of plans they are a contract.
const (
	ReasonUserBudget     policy.Reason = "user-budget"
	ReasonQuarantineSize policy.Reason = "quarantine-size"
	ReasonQuarantineAge  policy.Reason = "quarantine-age"
	ReasonQuarantineFull policy.Reason = "quarantine-full"
)

// ErrQuarantineFull says that the disk has no room for a copy.
var ErrQuarantineFull = errors.New("quarantine is full")

// victim is a copy that goes.
type victim struct {
	path   string
	reason policy.Reason
}

// Load says how many bytes the copies have, of how many that they may have (0: any number).
func (q *Quarantine) Load() (held, most int64, err error) {
	err = q.measure(false)
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.all, q.MaxSize, err
}

// measure counts the copies if that was not done yet, or again.
func (q *Quarantine) measure(again bool) error {
	if !again && q.counted() {
		return nil // without waiting for those who write
	}
	q.writing.Lock()
	defer q.writing.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held != nil && !again {
		return nil
	}
	return q.count()
}

func (q *Quarantine) counted() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.held != nil
}

// Full reports whether the disk had no room for the last copy.
func (q *Quarantine) Full() bool { return q.full.Load() }

func (q *Quarantine) count() error {
	users, err := statefile.Folders(q.Dir)
	if err != nil {
		return fmt.Errorf("measure the quarantine: %w", err)
	}
	held, all := make(map[string]int64, len(users)), int64(0)
	for _, user := range users {
		files, err := statefile.Entries(filepath.Join(q.Dir, user))
		if err != nil {
			return fmt.Errorf("measure the quarantine: %w", err)
		}
		for _, file := range files {
			if !q.going[filepath.Join(q.Dir, user, file.Name)] {
				held[user] += file.Size
			}
		}
		all += held[user]
	}
	q.held, q.all = held, all
	if q.going == nil {
		q.going = make(map[string]bool)
	}
	return nil
}

// store writes a copy to the disk and says which older ones have to go for it.
func (q *Quarantine) store(path string, c Copy) ([]victim, error) {
	text, err := json.Marshal(c)
	if err == nil {
		err = q.measure(false)
	}
	if err != nil {
		return nil, err
	}
	q.writing.RLock()
	defer q.writing.RUnlock()
	if err = statefile.EnsureDir(filepath.Dir(path), 0o700); err == nil {
		err = statefile.Create(filepath.Dir(path), filepath.Base(path), append(text, '\n'))
	}
	q.full.Store(statefile.Full(err))
	if statefile.Full(err) {
		return nil, fmt.Errorf("%w: %w", ErrQuarantineFull, err)
	}
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held != nil { // else the next one counts them all
		q.grow(c.User, int64(len(text)+1))
	}
	own, err := q.overBudget(c.User)
	if err != nil {
		return own, err
	}
	others, err := q.oversize(path)
	return append(own, others...), err
}

// trim says which copies have to go by now.
func (q *Quarantine) trim(now time.Time) ([]victim, error) {
	if err := q.measure(true); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []victim
	for _, user := range slices.Sorted(maps.Keys(q.held)) {
		old, err := q.pick(user, ReasonQuarantineAge, func(path string, _ bool) bool { return q.old(path, now) })
		list = append(list, old...)
		if err != nil {
			return list, err
		}
		over, err := q.overBudget(user)
		list = append(list, over...)
		if err != nil {
			return list, err
		}
	}
	over, err := q.oversize("")
	return append(list, over...), err
}

// old reports whether a copy is older than any may be. Only its name is asked.
func (q *Quarantine) old(path string, now time.Time) bool {
	at, err := pathTime(path)
	return q.MaxAge > 0 && err == nil && now.Sub(at) > q.MaxAge
}

// overBudget picks copies of a user until the others keep to his budget. His newest stays.
func (q *Quarantine) overBudget(user string) ([]victim, error) {
	if q.held[user] <= q.Budget {
		return nil, nil
	}
	return q.pick(user, ReasonUserBudget, func(_ string, newest bool) bool { return q.held[user] > q.Budget && !newest })
}

// oversize picks copies of whoever has most, until all the others keep to the bound for all; spared is the one that was just
// written.
func (q *Quarantine) oversize(spared string) (list []victim, err error) {
	for q.MaxSize > 0 && q.all > q.MaxSize {
		most, next := q.largest()
		got, err := q.pick(most, ReasonQuarantineSize, func(path string, _ bool) bool {
			return q.all > q.MaxSize && q.held[most] >= next && path != spared
		})
		list = append(list, got...)
		if err != nil || len(got) == 0 {
			return list, err
		}
	}
	return list, nil
}

// largest is who has most, and how much the next one has.
func (q *Quarantine) largest() (user string, next int64) {
	for name, size := range q.held {
		switch most := q.held[user]; {
		case user == "" || size > most || size == most && name < user:
			user, next = name, most
		case size > next:
			next = size
		}
	}
	return user, next
}

// pick takes the oldest copies of a user out of the account, as long as goes says so of them; newest is the last of his.
func (q *Quarantine) pick(user string, reason policy.Reason, goes func(path string, newest bool) bool) (list []victim, err error) {
	files, err := statefile.Entries(filepath.Join(q.Dir, user))
	if err != nil {
		return nil, fmt.Errorf("make room in quarantine: %w", err)
	}
	for i, file := range files {
		path := filepath.Join(q.Dir, user, file.Name)
		if q.going[path] || !goes(path, i == len(files)-1) {
			continue
		}
		q.going[path] = true
		q.grow(user, -file.Size)
		list = append(list, victim{path, reason})
	}
	return list, nil
}

func (q *Quarantine) grow(user string, size int64) {
	q.held[user] += size
	q.all += size
	if q.held[user] == 0 {
		delete(q.held, user)
	}
}

// gone forgets victims that were removed, or, with an error, what was counted: not all of them are.
func (q *Quarantine) gone(list []victim, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, v := range list {
		delete(q.going, v.path)
	}
	if err != nil && len(list) > 0 {
		q.held, q.all = nil, 0
	}
}
