package enforcer

import "time"

// round is a look at every home: that of the start, of a sweep, or of whatever else makes every home due. While one is under way no other
// is begun to be counted: those who are looked at twice by then keep none waiting.
type round struct {
	left  map[string]bool // users who were not looked at yet
	began time.Time
	count int // of those that came to their end
	ended time.Time
	took  time.Duration
}

// beginRound has the present world's homes looked at as a round, but for those that do not answer.
func (l *loop) beginRound() {
	r := &l.round
	if len(r.left) > 0 {
		return
	}
	r.began, r.left = time.Now(), make(map[string]bool, len(l.world.accounts))
	for _, account := range l.world.Accounts() {
		if !l.meter.homes[account.Name].silent {
			r.left[account.Name] = true
		}
	}
	r.check()
}

// seen counts a look at a user, or that there is none now: his home does not answer, he rests, or he left.
func (r *round) seen(user string) {
	if !r.left[user] {
		return
	}
	delete(r.left, user)
	r.check()
}

func (r *round) check() {
	if len(r.left) == 0 {
		r.count++
		r.ended, r.took = time.Now(), time.Since(r.began)
	}
}

// hear notes when the first event told of a user that no look has answered yet.
func (l *loop) hear(user string) {
	if _, heard := l.heard[user]; !heard {
		l.heard[user] = time.Now()
	}
}

// answered ends with a look what its event asked for, unless it came to nothing and is made again.
func (l *loop) answered(f finished) {
	if f.heard.IsZero() || f.result.Err == nil {
		return
	}
	if _, kept := l.world.Account(f.user); kept {
		l.heard[f.user] = f.heard
	}
}
