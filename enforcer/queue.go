package enforcer

// queue holds the users to look at: each once, and none while a worker is busy with him. Those of whom there is news come before those who
// are only due, as for a sweep, but for one place in dueShare: a look at everybody delays no hint, and many hints do not keep it from
// its end. Among both it is first come, first served.
type queue struct {
	news, due []string        // may have users who are not waiting there any more
	waiting   map[string]bool // and whether there is news of them
	busy      map[string]bool
	taken     int
}

const dueShare = 4

func newQueue() *queue {
	return &queue{waiting: make(map[string]bool), busy: make(map[string]bool)}
}

// add asks for a look at a user that begins after this moment, because of something new.
func (q *queue) add(user string) { q.ask(user, true) }

// later asks for one without a reason of the user's own.
func (q *queue) later(user string) { q.ask(user, false) }

func (q *queue) ask(user string, news bool) {
	if newsAlready, waits := q.waiting[user]; waits && (newsAlready || !news) {
		return
	}
	q.waiting[user] = news
	if !q.busy[user] {
		q.line(user, news)
	}
}

func (q *queue) line(user string, news bool) {
	if news {
		q.news = append(q.news, user)
	} else {
		q.due = append(q.due, user)
	}
}

// next takes the user whose turn it is; he is busy until done is called.
func (q *queue) next() (string, bool) {
	news := (q.taken+1)%dueShare != 0
	user, ok := q.take(news)
	if !ok {
		user, ok = q.take(!news)
	}
	if ok {
		q.taken++
		delete(q.waiting, user)
		q.busy[user] = true
	}
	return user, ok
}

func (q *queue) take(news bool) (user string, ok bool) {
	line := &q.due
	if news {
		line = &q.news
	}
	for len(*line) > 0 && !ok {
		user, *line = (*line)[0], (*line)[1:]
		as, waits := q.waiting[user]
		ok = waits && as == news && !q.busy[user]
	}
	return user, ok
}

// done ends a look. A user who was asked for in the meantime comes to the end of his line, so that one who keeps his home
// busy does not keep the others waiting.
func (q *queue) done(user string) {
	delete(q.busy, user)
	if news, waits := q.waiting[user]; waits {
		q.line(user, news)
	}
}

// idle reports whether nobody waits but those who are busy.
func (q *queue) idle() bool {
	for user := range q.waiting {
		if !q.busy[user] {
			return false
		}
	}
	return true
}
