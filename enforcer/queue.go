package enforcer

// queue holds the users to look at: each once, first come first served, and none while a worker is busy with him.
type queue struct {
	order   []string
	waiting map[string]bool
	busy    map[string]bool
}

func newQueue() *queue {
	return &queue{waiting: make(map[string]bool), busy: make(map[string]bool)}
}

// add asks for a look at a user that begins after this moment.
func (q *queue) add(user string) {
	if q.waiting[user] {
		return
	}
	q.waiting[user] = true
	if !q.busy[user] {
		q.order = append(q.order, user)
	}
}

// next takes the user whose turn it is; he is busy until done is called.
func (q *queue) next() (string, bool) {
	if len(q.order) == 0 {
		return "", false
	}
	user := q.order[0]
	q.order = q.order[1:]
	delete(q.waiting, user)
	q.busy[user] = true
	return user, true
}

// done ends a look. A user who was asked for in the meantime comes to the end of the queue, so that one who keeps his home
// busy does not keep the others waiting.
func (q *queue) done(user string) {
	delete(q.busy, user)
	if q.waiting[user] {
		q.order = append(q.order, user)
	}
}
