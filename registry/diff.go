package registry

import (
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Loss names, in order, the people who have less by a newer reading. A person stands once in a list, whatever he lost: who has
// five hundred keys and deletes them all has lost no more than who had one, so that nobody's own keys add up to a disaster.
type Loss struct {
	// Users are gone, or not active any more, or have another uid or home, which makes their keys somebody else's.
	Users []string
	// Keys are the people who had a key that counted, with its options, and now do not have it, for whatever reason.
	Keys []string
}

// Compare says what is lost where after follows before, at the moment now: what ended by itself before then is no loss.
func Compare(before, after *Snapshot, now time.Time) Loss {
	var l Loss
	for was := range before.Users() {
		l.add(was, after, now)
	}
	return l
}

// CompareUser is Compare where nobody but one user can differ.
func CompareUser(name string, before, after *Snapshot, now time.Time) Loss {
	var l Loss
	if was, there := before.User(name); there {
		l.add(was, after, now)
	}
	return l
}

func (l *Loss) add(was User, after *Snapshot, now time.Time) {
	is, there := after.User(was.Name)
	if !was.Active(now) || there && was.Equal(is) {
		return
	}
	there = there && is.Active(now)
	if !there || is.UID != was.UID || is.Home != was.Home {
		l.Users = append(l.Users, was.Name)
	}
	if !there {
		is.Records = nil
	}
	if lostKey(was.Records, is.Records, now) {
		l.Keys = append(l.Keys, was.Name)
	}
}

// right is what a record lets in.
type right struct {
	key     authkeys.Key
	options authkeys.Options
}

func lostKey(before, after []Record, now time.Time) bool {
	// Most users have few keys, but one may have made himself thousands.
	rights := make(map[right]bool, len(after))
	for _, r := range after {
		rights[right{r.Key, r.Options}] = rights[right{r.Key, r.Options}] || r.counts(now)
	}
	return slices.ContainsFunc(before, func(r Record) bool { return r.counts(now) && !rights[right{r.Key, r.Options}] })
}

// counts reports whether a registration has begun and not ended.
func (r Record) counts(now time.Time) bool {
	return !now.Before(r.NotBefore) && (r.NotAfter.IsZero() || now.Before(r.NotAfter))
}

// Census counts who could lose something at a moment: active users, and those of them who have a key that counts.
func (s *Snapshot) Census(now time.Time) (users, holders int) {
	for u := range s.Users() {
		if !u.Active(now) {
			continue
		}
		users++
		if slices.ContainsFunc(u.Records, func(r Record) bool { return r.counts(now) }) {
			holders++
		}
	}
	return users, holders
}
