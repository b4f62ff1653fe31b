package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// gather is how long is waited for what comes with the first loss: one look changes several files.
	gather = 2 * time.Second
	// farewell is how long those are told who wait when Run is to end.
	farewell = 3 * time.Second
	// maxWaiting is of how many users is remembered what to tell them, or when they were told.
	maxWaiting = 10_000
	// maxTries is how often a word is given to who tells, maxFailures how often in a row that may fail before Flush gives up.
	maxTries, maxFailures = 3, 5
)

// ErrCrowd says that more users lost something than can be remembered.
var ErrCrowd = errors.New("more users than can be remembered lost something: not all of them are told")

// Tell tells one user, and says why he was not told.
type Tell func(ctx context.Context, e Event) error

// Teller keeps what users are to be told until it is their turn. It is safe for concurrent use.
type Teller struct {
	// Trouble hears when telling begins to fail, and, with a nil error, when it works again, with the number of words that failed in between.
	Trouble func(err error, failed int)

	poke chan struct{}

	mu     sync.Mutex
	tell   Tell // nil: nobody is told
	every  time.Duration
	turns  map[person]*turn
	failed int  // in a row
	crowd  bool // ErrCrowd was told
}

type person struct {
	name string
	uid  int
}

// turn is when a user is told next, and of what; nil: nothing has come since he was told.
type turn struct {
	event *Event
	at    time.Time
	tries int
}

// NewTeller is one that tells each user once in a time at most.
func NewTeller(tell Tell, every time.Duration, trouble func(error, int)) *Teller {
	return &Teller{Trouble: trouble, poke: make(chan struct{}, 1), tell: tell, every: every, turns: make(map[person]*turn)}
}

// Set has others told, in another way. Without one, what waits is forgotten.
func (t *Teller) Set(tell Tell, every time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tell, t.every = tell, every; tell == nil {
		clear(t.turns)
	}
}

// Note has a user told. It does not wait.
func (t *Teller) Note(e Event) {
	if t.note(e, time.Now()) {
		t.Trouble(ErrCrowd, 0)
	}
	select {
	case t.poke <- struct{}{}:
	default: // it is known already
	}
}

// note reports whether it is news that there are too many.
func (t *Teller) note(e Event, now time.Time) (crowd bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tell == nil {
		return false
	}
	who := person{e.User, e.UID}
	his := t.turns[who]
	if his == nil {
		if len(t.turns) >= maxWaiting {
			t.forget(now)
		}
		if len(t.turns) >= maxWaiting {
			crowd, t.crowd = !t.crowd, true
			return crowd
		}
		his = &turn{at: now}
		t.turns[who] = his
	}
	if his.event == nil {
		first := Event{Version: 1, User: e.User, UID: e.UID, Host: e.Host, First: e.First, Removed: []Loss{}}
		his.event = &first
		if soon := now.Add(gather); his.at.Before(soon) {
			his.at = soon
		}
	}
	his.event.add(e)
	return false
}

// Run tells users when it is their turn. When ctx ends, those who wait are told at once, as far as that is done within seconds; it returns how many were not.
func (t *Teller) Run(ctx context.Context) (left int) {
	telling, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(farewell, cancel) })()
	for ctx.Err() == nil {
		list, wait := t.due(time.Now(), false)
		for _, who := range list {
			if ctx.Err() == nil {
				t.give(telling, who)
			}
		}
		if len(list) > 0 {
			continue // in the meantime others may have come
		}
		select {
		case <-ctx.Done():
		case <-t.poke:
		case <-time.After(wait):
		}
	}
	return t.Flush(telling)
}

// Flush tells all who wait, at once, each of them once, until ctx ends or nothing but failures come of it; it returns how many were not told.
func (t *Teller) Flush(ctx context.Context) (left int) {
	list, _ := t.due(time.Now(), true)
	for i, who := range list {
		if ctx.Err() != nil || t.failures() >= maxFailures {
			return left + len(list) - i
		}
		if !t.give(ctx, who) {
			left++
		}
	}
	return left
}

func (t *Teller) failures() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// due lists those whose turn has come, all who wait where they are to be told now, in the order of their turns, and says how long the next one is away.
func (t *Teller) due(now time.Time, all bool) (list []person, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(now)
	wait = time.Hour
	for who, his := range t.turns {
		switch left := his.at.Sub(now); {
		case his.event == nil:
		case left <= 0 || all:
			list = append(list, who)
		default:
			wait = min(wait, left)
		}
	}
	slices.SortFunc(list, func(a, b person) int {
		return cmp.Or(t.turns[a].at.Compare(t.turns[b].at), cmp.Compare(a.name, b.name), cmp.Compare(a.uid, b.uid))
	})
	return list, wait
}

// forget forgets who was told longer ago than matters.
func (t *Teller) forget(now time.Time) {
	maps.DeleteFunc(t.turns, func(_ person, his *turn) bool { return his.event == nil && !his.at.After(now) })
	t.crowd = t.crowd && len(t.turns) >= maxWaiting
}

// give tells one user what waits for him, and reports whether that was done. What fails is told with what comes meanwhile, at his next turn, but not for ever.
func (t *Teller) give(ctx context.Context, who person) bool {
	tell, e := t.take(who, time.Now())
	if e == nil {
		return true
	}
	err := tell(ctx, *e)
	t.mu.Lock()
	failed := t.failed
	if t.failed++; err == nil {
		t.failed = 0
	}
	if his := t.turns[who]; his != nil {
		if his.tries++; err == nil || his.tries >= maxTries {
			his.tries = 0
		} else {
			if his.event != nil {
				e.add(*his.event)
			}
			his.event = e
		}
	}
	t.mu.Unlock()
	if err != nil && failed == 0 {
		t.Trouble(fmt.Errorf("tell %s: %w", e.User, err), 0)
	} else if err == nil && failed > 0 {
		t.Trouble(nil, failed)
	}
	return err == nil
}

// take takes what waits for a user, whose next turn is a time away from now on.
func (t *Teller) take(who person, now time.Time) (Tell, *Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	his := t.turns[who]
	if his == nil || his.event == nil || t.tell == nil {
		return nil, nil
	}
	e := his.event
	his.event, his.at = nil, now.Add(t.every)
	return t.tell, e
}
