package homes

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// errand is what a call does in a home.
type errand int

const (
	reading errand = iota
	changing
	renewing
)

// hang is a call that was left behind.
type hang struct {
	home   string
	dir    string // of the key file, as spot.dir; "": any, since the call was for no one file
	errand errand
	effort *effort
	past   bool // the directory has given way since
}

// in reports that the call hangs in a directory of a home, as far as is known.
func (one *hang) in(home, dir string) bool {
	return one.home == home && (one.dir == "" || one.dir == dir || strings.HasPrefix(one.dir, dir+"/"))
}

// hangs are the calls that were left behind and have not come back.
type hangs struct {
	mu   sync.Mutex
	list []*hang
}

// bars reports that a call would be stuck as well, or could be one too many. Where a
// directory has given way, the next call has another one before it. What hangs in one
// directory says nothing of another, but for a renewal: it waits for the one above.
func (h *hangs) bars(home, dir string, what errand) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	past := 0
	for _, other := range h.list {
		switch {
		case other.home != home:
		case other.effort.top.Load():
			return true // the lock is that of the home, or of a directory above it
		case other.errand == renewing:
			if what == renewing && path.Dir(other.dir) == path.Dir(dir) || what == changing && other.dir == dir {
				return true
			}
		case what == renewing, other.dir != "" && other.dir != dir:
		case !other.past && other.errand == what:
			return true
		default:
			past++
		}
	}
	return past >= stuckEach
}

func (h *hangs) admit(home, dir string, what errand) error {
	if h.bars(home, dir, what) {
		return fmt.Errorf("an earlier call has not come back: %w", ErrStuck)
	}
	return nil
}

func (h *hangs) enter(one *hang) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) >= stuckMax {
		return false
	}
	h.list = append(h.list, one)
	return true
}

// leave forgets a call that came back.
func (h *hangs) leave(old *hang) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.list, old); i >= 0 {
		h.list = slices.Delete(h.list, i, i+1)
	}
}

// gaveWay notes that a directory of a home went aside.
func (h *hangs) gaveWay(home, dir string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range h.list {
		one.past = one.past || one.in(home, dir)
	}
}

// letGo reports that no call hangs in a directory any more, for which that would have
// to give way. One that got its lock, and has work to do yet, is waited for a while.
func (h *hangs) letGo(home, dir string) bool {
	for end := time.Now().Add(stuckTimes * stuckCheck); ; time.Sleep(10 * time.Millisecond) {
		waits, moves := h.state(home, dir)
		if waits || !moves {
			return !waits
		}
		if time.Now().After(end) {
			return true
		}
	}
}

// state reports whether calls in a directory wait for a lock, and whether any are at work.
func (h *hangs) state(home, dir string) (waits, moves bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	past := 0
	for _, one := range h.list {
		switch {
		case !one.in(home, dir) || one.errand == renewing:
		case one.past:
			past++
		case locked(one.effort.thread.Load()):
			waits = true
		default:
			moves = true
		}
	}
	return waits || past >= stuckEach, moves
}

// Stuck is the number of threads that stuck calls hold at the moment.
func (d *Door) Stuck() int {
	d.hangs.mu.Lock()
	defer d.hangs.mu.Unlock()
	return len(d.hangs.list)
}
