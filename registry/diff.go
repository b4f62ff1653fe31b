package registry

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Loss names, in order, the people who have less by a newer reading. A person stands once in a list, whatever he lost: who has
// five hundred keys and deletes them all has lost no more than who had one, so that nobody's own keys add up to a disaster.
type Loss struct {
	// Users are gone, or not active any more, or have another uid or home, which makes their keys somebody else's.
	Users []string
	// Keys are the people who had a key that counted, with its options, and now do not have it, for whatever reason. Replaced are
	// those of them who have as many keys that count as before, or more.
	Keys, Replaced []string
}

// Item is one thing that a person has lost: a key that counted, with its options, or, where Key is none, his account.
type Item struct {
	User    string
	Key     authkeys.Key
	Options authkeys.Options
	// Account is what his account is instead; empty when he has none that counts.
	Account string
}

// String is one line of printable ASCII, which no other item has. Options may be long: their SHA-256 stands for them.
func (i Item) String() string {
	switch {
	case i.Key.IsZero():
		return fmt.Sprintf("%+q account %+q", i.User, i.Account)
	case i.Options.IsZero():
		return fmt.Sprintf("%+q %s", i.User, i.Key.Fingerprint())
	}
	return fmt.Sprintf("%+q %s %x", i.User, i.Key.Fingerprint(), sha256.Sum256([]byte(i.Options.String())))
}

// Items says of each person of a Loss what he has lost, in the order of their names. Whatever else differs between the two snapshots, the
// same loss has the same items.
func Items(before, after *Snapshot, now time.Time) []Item {
	var items []Item
	for was := range before.Users() {
		var l Loss
		if l.add(was, after, now); len(l.Users)+len(l.Keys) == 0 {
			continue
		}
		is, there := after.User(was.Name)
		there = there && is.Active(now)
		if len(l.Users) > 0 {
			item := Item{User: was.Name}
			if there {
				item.Account = fmt.Sprintf("uid %d, home %s", is.UID, is.Home)
			}
			items = append(items, item)
		}
		if !there {
			is.Records = nil
		}
		for key := range lostKeys(was.Records, is.Records, now) {
			items = append(items, Item{User: was.Name, Key: key.key, Options: key.options})
		}
	}
	return items
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
	if !was.Active(now) || was.nobody() || there && was.Equal(is) {
		return
	}
	there = there && is.Active(now)
	if !there || is.UID != was.UID || is.Home != was.Home {
		l.Users = append(l.Users, was.Name)
	}
	if !there {
		is.Records = nil
	}
	for range lostKeys(was.Records, is.Records, now) {
		l.Keys = append(l.Keys, was.Name)
		if counting(is.Records, now) >= counting(was.Records, now) {
			l.Replaced = append(l.Replaced, was.Name)
		}
		return
	}
}

// nobody reports whether a user has neither an account nor a key, as one whose name several entries have: there is nothing to lose.
func (u User) nobody() bool { return u.UID < 0 && len(u.Records) == 0 }

// right is what a record lets in.
type right struct {
	key     authkeys.Key
	options authkeys.Options
}

// lostKeys yields what counted in a list and does not in the next one.
func lostKeys(before, after []Record, now time.Time) iter.Seq[right] {
	return func(yield func(right) bool) {
		// Most users have few keys, but one may have made himself thousands.
		rights := make(map[right]bool, len(after))
		for _, r := range after {
			rights[right{r.Key, r.Options}] = rights[right{r.Key, r.Options}] || r.counts(now)
		}
		for _, r := range before {
			if r.counts(now) && !rights[right{r.Key, r.Options}] && !yield(right{r.Key, r.Options}) {
				return
			}
		}
	}
}

// Remaining are those of the records after that stand for a right which was there before: what is left where nothing new counts.
func Remaining(before, after []Record) (list []Record) {
	rights := make(map[right]bool, len(before))
	for _, r := range before {
		rights[right{r.Key, r.Options}] = true
	}
	for _, r := range after {
		if rights[right{r.Key, r.Options}] {
			list = append(list, r)
		}
	}
	return list
}

// counting is how many keys of a list count.
func counting(records []Record, now time.Time) int {
	keys := make(map[authkeys.Key]bool, len(records))
	for _, r := range records {
		if r.counts(now) {
			keys[r.Key] = true
		}
	}
	return len(keys)
}

// counts reports whether a registration has begun and not ended.
func (r Record) counts(now time.Time) bool {
	return !now.Before(r.NotBefore) && (r.NotAfter.IsZero() || now.Before(r.NotAfter))
}

// Census counts who could lose something at a moment: active users, and those of them who have a key that counts.
func (s *Snapshot) Census(now time.Time) (users, holders int) {
	for u := range s.Users() {
		if !u.Active(now) || u.nobody() {
			continue
		}
		users++
		if slices.ContainsFunc(u.Records, func(r Record) bool { return r.counts(now) }) {
			holders++
		}
	}
	return users, holders
}
