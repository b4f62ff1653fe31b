package enforcer

import (
	"context"
	"time"
)

// Who is half done with a file is given patienceFor to end, and after that the file is dealt with as it is. It is given to a
// user once in patienceEvery, however often his file looks unfinished: somebody who makes it look so again and again gains no
// more than that, while an editor, useradd(8) or a restore needs it once.
const (
	patienceFor   = time.Second
	patienceEvery = time.Minute
)

// patient reports whether a look at a user may leave a file that seems unfinished.
func (l *loop) patient(user string) bool {
	began, waited := l.waited[user]
	age := time.Since(began)
	return !waited || age < patienceFor || age >= patienceEvery
}

// waitFor gives a user the time that is left of patience.
func (l *loop) waitFor(ctx context.Context, user string) {
	began, waited := l.waited[user]
	if !waited || time.Since(began) >= patienceEvery {
		began = time.Now()
		l.waited[user] = began
	}
	after(ctx, max(patienceFor-time.Since(began), 0), l.again, user)
}

// forgetWaits drops what is known of users whose patience is whole again.
func (l *loop) forgetWaits() {
	for user, began := range l.waited {
		if time.Since(began) >= patienceEvery {
			delete(l.waited, user)
		}
	}
}
