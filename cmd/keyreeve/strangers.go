package main

import (
	"slices"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/policy"
)

// The bounds of the keys of nobody's that sshd is told to refuse: those of one user do not push out another's, and all of them cost a login
// some 3 ms of sshd's time (docs/sshd.md).
const (
	strangersEach = 16
	maxStrangers  = 2000
	strangersAge  = 30 * 24 * time.Hour
)

// goneKey is a key that nobody has registered, and that was taken out of a user's file.
type goneKey struct {
	sum authkeys.Sum
	uid int // a user may have a say in his name
	at  time.Time
}

// strangers are the last of them. It is safe for concurrent use.
type strangers struct {
	mu   sync.Mutex
	list []goneKey // the last comes last
}

// note takes the keys that went by a plan, and reports whether one of them is new.
func (s *strangers) note(p enforcer.Plan, now time.Time) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range p.Remove {
		if d.Reason != policy.ReasonUnregistered || d.Line.Kind != authkeys.Entry {
			continue
		}
		sum := d.Line.Key.Sum()
		at := slices.IndexFunc(s.list, func(have goneKey) bool { return have.sum == sum })
		if news = news || at < 0; at >= 0 {
			s.list = slices.Delete(s.list, at, at+1)
		}
		s.list = append(s.list, goneKey{sum, p.Account.UID, now})
	}
	s.bound(p.Account.UID)
	return news
}

// bound drops the oldest: of this user, and of all.
func (s *strangers) bound(uid int) {
	his := 0
	for _, one := range s.list {
		if one.uid == uid {
			his++
		}
	}
	s.list = slices.DeleteFunc(s.list, func(one goneKey) bool {
		if one.uid != uid || his <= strangersEach {
			return false
		}
		his--
		return true
	})
	s.list = s.list[max(0, len(s.list)-maxStrangers):]
}

// known lists them.
func (s *strangers) known(now time.Time) (sums []authkeys.Sum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(one goneKey) bool { return now.Sub(one.at) > strangersAge })
	for _, one := range s.list {
		sums = append(sums, one.sum)
	}
	return sums
}
