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
	peeking // behind a link, for the record only
	overwriting
)

// hang is a call that was left behind.
type hang struct {
	home   string
	file   string // as of a spot; "": any, since the call was for no one
	errand errand
	effort *effort
	past   bool   // the directory has given way since
	silent bool   // the call waits for no lock
	server string // that of the home of a silent one
}

// dir is that of the file: "." is the home, "" any.
func (one *hang) dir() string {
	if one.file == "" {
		return ""
	}
	return path.Dir(one.file)
}

// in reports that the call waits for a lock in a directory of a home, as far as is known.
func (one *hang) in(home, dir string) bool {
	hangs := one.dir()
	return one.home == home && !one.silent && one.errand != peeking && (hangs == "" || hangs == dir || strings.HasPrefix(hangs, dir+"/"))
}

// alike reports that both do the same to the same file.
func (one *hang) alike(other *hang) bool {
	return one.home == other.home && one.file == other.file && one.errand == other.errand
}

// hangs are the calls that were left behind and have not come back.
type hangs struct {
	mu   sync.Mutex
	list []*hang
}

// bars says why a call would hang as well, or could be one too many. Where a
// directory has given way, the next call has another one before it. What hangs in one
// directory says nothing of another, but for a renewal: it waits for the one above. What is silent says nothing of another file, and may
// go on to where it differs from those that hang (met); nor
// does a read: the kernel has the name of the other one in memory perhaps. One that was for no file does, as long as the directory may give way.
func (h *hangs) bars(next *hang) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	past, silent, dir, what := 0, 0, next.dir(), next.errand
	stays := slices.ContainsFunc(h.list, func(one *hang) bool { return one.home == next.home && one.errand == renewing && one.dir() == dir })
	for _, other := range h.list {
		switch {
		case other.home != next.home:
		case other.effort.top.Load():
			if !path.IsAbs(next.file) {
				return ErrStuck // the lock is that of the home, or of a directory above it
			}
		case other.errand == peeking, what == peeking:
			if other.errand == what {
				return ErrSilent
			}
		case other.silent:
			if !other.alike(next) {
				continue
			}
			if len(other.effort.past()) == 0 {
				return ErrSilent
			}
			if silent++; silent >= stuckEach {
				return ErrStuck // nobody has so many by mistake
			}
		case other.errand == overwriting, what == overwriting:
			if other.errand == what && other.file == next.file || other.errand == changing && other.file == next.file && other.effort.staged.Load() {
				return ErrStuck // in the lock of the file
			}
		case other.errand == renewing:
			if what == renewing && path.Dir(other.dir()) == path.Dir(dir) || what == changing && other.dir() == dir {
				return ErrStuck
			}
		case what == renewing, other.dir() != "" && other.dir() != dir:
		case other.errand == reading && what == reading && other.file != next.file && (other.file != "" || stays):
		case !other.past && other.errand == what:
			return ErrStuck
		default:
			past++
		}
	}
	if past >= stuckEach {
		return ErrStuck
	}
	return nil
}

func (h *hangs) admit(next *hang) error {
	if why := h.bars(next); why != nil {
		return fmt.Errorf("an earlier call has not come back: %w", why)
	}
	return nil
}

// met says that a call has come to where one like it hangs.
func (h *hangs) met(next *hang, way []node) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.ContainsFunc(h.list, func(one *hang) bool { return one.silent && one.alike(next) && slices.Equal(one.effort.past(), way) }) {
		return fmt.Errorf("an earlier call has not come back: %w", ErrSilent)
	}
	return nil
}

func (h *hangs) enter(one *hang) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) >= stuckMax || one.silent && !Local(one.server) && h.deaf(one) {
		return false
	}
	h.list = append(h.list, one)
	return true
}

// deaf reports that calls are silent in many other homes of the same server.
func (h *hangs) deaf(one *hang) bool {
	others := make(map[string]bool)
	for _, other := range h.list {
		if other.silent && other.server == one.server && other.home != one.home {
			others[other.home] = true
		}
	}
	return len(others) >= silentBeside
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
		case one.silent && one.home == home:
			alike := 0
			for _, other := range h.list {
				if other.silent && other.alike(one) {
					alike++
				}
			}
			waits = waits || alike >= stuckEach
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
