package watch

import "sync"

// queue holds hints until somebody takes them. Adding never waits, and a user is
// in it once, so it is bounded by the number of users.
type queue struct {
	out  chan string
	wake chan struct{}
	done chan struct{}
	once sync.Once

	mu      sync.Mutex
	order   []string
	waiting map[string]bool
	all     bool
}

func newQueue() *queue {
	return &queue{
		out:     make(chan string),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		waiting: map[string]bool{},
	}
}

func (q *queue) add(user string) {
	q.mu.Lock()
	if !q.waiting[user] {
		q.waiting[user] = true
		q.order = append(q.order, user)
	}
	q.mu.Unlock()
	q.signal()
}

// lost stands for everybody; the hints that wait are part of it.
func (q *queue) lost() {
	q.mu.Lock()
	q.all = true
	q.order = nil
	clear(q.waiting)
	q.mu.Unlock()
	q.signal()
}

func (q *queue) drop(user string) {
	q.mu.Lock()
	delete(q.waiting, user) // next skips what no longer waits
	q.mu.Unlock()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next takes the hint that waits longest.
func (q *queue) next() (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all {
		q.all = false
		return "", true
	}
	for len(q.order) > 0 {
		user := q.order[0]
		q.order = q.order[1:]
		if q.waiting[user] {
			delete(q.waiting, user)
			return user, true
		}
	}
	return "", false
}

// run hands hints out until stop.
func (q *queue) run() {
	defer close(q.out)
	for {
		hint, found := q.next()
		if !found {
			select {
			case <-q.wake:
				continue
			case <-q.done:
				return
			}
		}
		select {
		case q.out <- hint:
		case <-q.done:
			return
		}
	}
}

func (q *queue) stop() {
	q.once.Do(func() { close(q.done) })
}
