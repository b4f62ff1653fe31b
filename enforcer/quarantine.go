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
// removal for everybody. MaxAge is for what nobody asks about any more. The newest copy stays whatever its size. One that has to go and
// does not (chattr +i) stops no change, since the copy of that is on disk by then: it is told, passed over and tried again at the next trim.
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
	// going are copies that were picked and are not removed yet, stuck those that could not be, wrong is why.
	going, stuck map[string]bool
	wrong        error
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

// Stuck says why copies that had to go are still there, since the last trim; nil if all went.
func (q *Quarantine) Stuck() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wrong
}

// keeps notes an error by which a copy that has to go stays; the path is empty where not even that is known.
func (q *Quarantine) keeps(path string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wrong = err
	if path != "" {
		q.stuck[path] = true
	}
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
		q.going, q.stuck = make(map[string]bool), make(map[string]bool)
	}
	return nil
}

// store writes a copy to the disk.
func (q *Quarantine) store(path string, c Copy) error {
	text, err := json.Marshal(c)
	if err == nil {
		err = q.measure(false)
	}
	if err != nil {
		return err
	}
	q.writing.RLock()
	defer q.writing.RUnlock()
	if err = statefile.EnsureDir(filepath.Dir(path), 0o700); err == nil {
		err = statefile.Create(filepath.Dir(path), filepath.Base(path), append(text, '\n'))
	}
	q.full.Store(statefile.Full(err))
	if statefile.Full(err) {
		return fmt.Errorf("%w: %w", ErrQuarantineFull, err)
	}
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held != nil { // else the next one counts them all
		q.grow(c.User, int64(len(text)+1))
	}
	return nil
}

// room says which copies have to go for the one at path, which was just written and stays.
func (q *Quarantine) room(user, path string) ([]victim, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	own, err := q.overBudget(user, path)
	others, wrong := q.oversize(path)
	return append(own, others...), errors.Join(err, wrong)
}

// trim says which copies have to go by now. One user's that cannot be read keep nobody else's there.
func (q *Quarantine) trim(now time.Time) ([]victim, error) {
	if err := q.measure(true); err != nil {
		return nil, err
	}
	aged, wrong := q.steady(now)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wrong = nil
	clear(q.stuck)
	var list []victim
	for _, user := range slices.Sorted(maps.Keys(q.held)) {
		if aged {
			old, err := q.pick(user, ReasonQuarantineAge, func(path string, _ bool) bool { return q.old(path, now) })
			list, wrong = append(list, old...), errors.Join(wrong, err)
		}
		over, err := q.overBudget(user, "")
		list, wrong = append(list, over...), errors.Join(wrong, err)
	}
	over, err := q.oversize("")
	return append(list, over...), errors.Join(wrong, err)
}

// old reports whether a copy is older than any may be. Only its name is asked.
func (q *Quarantine) old(path string, now time.Time) bool {
	at, err := pathTime(path)
	return err == nil && now.Sub(at) > q.MaxAge
}

// overBudget picks copies of a user until the others keep to his budget. The spared one stays, which need not have the newest name where
// a clock was set back; where none is, his newest.
func (q *Quarantine) overBudget(user, spared string) ([]victim, error) {
	if q.held[user] <= q.Budget {
		return nil, nil
	}
	return q.pick(user, ReasonUserBudget, func(path string, newest bool) bool {
		return q.held[user] > q.Budget && path != spared && (spared != "" || !newest)
	})
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
		if q.going[path] || q.stuck[path] || !goes(path, i == len(files)-1) {
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

// gone forgets victims that were removed, or, if not all of them were, what was counted.
func (q *Quarantine) gone(list []victim, all bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, v := range list {
		delete(q.going, v.path)
	}
	if !all {
		q.held, q.all = nil, 0
	}
}
