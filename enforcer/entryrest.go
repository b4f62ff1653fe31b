package enforcer

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// Who changes his entry of the registry again and again, or has it changed, is read alone once in restFor, by the measure of restless
// files, so that he costs no more than that; notices that come meanwhile are one. A look at him that is under way then comes to its end
// first: each new world would abandon it, and by changes in time with his looks he would keep his home from ever being decided, with a key in
// it that was revoked. So that key lives no longer than a rest and a look. A look that does not come back within lookLimit, as in a home that
// hangs, does not keep him from being read: sshd may be answered by what is known of him. Nobody else waits for him, and what a whole reading
// shows of him counts at once.
//
// An entry that the server is slow with, as one of many megabytes, has its user rest after one reading, ten times as long as that took: a few
// of them would be all that is read at once.
const (
	slowRead  = time.Second
	slowRests = 10
)

// entryRests reports whether a user may not be read now; he is as soon as he has rested then.
func (l *loop) entryRests(user string) bool {
	r := l.notices.rests[user]
	if r == nil || !r.resting {
		return false
	}
	r.wanted = true
	return true
}

// strain counts a reading of one user, whether or not it showed something, and lets him rest when it was often, or slow.
func (l *loop) strain(ctx context.Context, read reread) {
	n, user := &l.notices, read.user
	r := n.rests[user]
	if r.past() {
		r = &rest{}
		n.rests[user] = r
	}
	wait := restFor
	if r.tire(); read.took >= slowRead {
		r.resting, wait = true, slowRests*read.took
	}
	if !r.resting {
		return
	}
	if n.due[user] {
		delete(n.due, user)
		r.wanted = true
	}
	if r.changes == restAfter {
		l.Log.Warn("the user's entry in the registry changes again and again; from now on it is read once a second", zap.String("user", user))
	}
	after(ctx, wait, n.woken, user)
}

// wakeEntry ends a rest, or lets the end of the look that is under way end it.
func (l *loop) wakeEntry(ctx context.Context, user string) {
	r := l.notices.rests[user]
	look := l.dog.looks[user]
	if r.over = look != nil && !look.silent; r.over {
		return
	}
	r.resting = false
	if r.wanted {
		r.wanted = false
		l.notice(ctx, user)
	}
}

// lookEnded ends a rest that waited for a look.
func (l *loop) lookEnded(ctx context.Context, user string) {
	if r := l.notices.rests[user]; r != nil && r.over {
		l.wakeEntry(ctx, user)
	}
}

// outlasts reports whether a look goes on to act although its user is granted others in the new world: one that is silent, at somebody whose
// entry rests. By looks that take long, and a change in each, he would keep his home from being decided as well. He is looked at again
// after it; who has another account, or none, is not looked at by the old one any longer.
func (l *loop) outlasts(old *World, user string) bool {
	look, r := l.dog.looks[user], l.notices.rests[user]
	return look != nil && look.silent && r != nil && r.changes >= restAfter && old.accounts[user] == l.world.accounts[user]
}

// looksSilent ends the rests that waited for looks which do not come back.
func (l *loop) looksSilent(ctx context.Context) {
	for user, r := range l.notices.rests {
		if look := l.dog.looks[user]; r.over && look != nil && look.silent {
			l.wakeEntry(ctx, user)
		}
	}
}

// forgetRests drops what is known of users whose entries keep still.
func (n *notices) forgetRests() {
	for user, r := range n.rests {
		if !r.resting && r.past() {
			delete(n.rests, user)
		}
	}
}
