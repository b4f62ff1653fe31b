// Package registry says who has which key.
//
// A [Snapshot] is one complete reading of the centre's key registry: immutable, and complete or not made at all. There is
// no way to hold half of one, because everything downstream removes what a snapshot does not name: "the directory said
// little" must be an error long before it becomes "these keys are unknown".
//
// The package is pure: no I/O, no clock, no log.
package registry

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/cow"
)

// Record is one registered key of one user.
type Record struct {
	Key authkeys.Key
	// Options is what the registry demands of every line with this key; none means that the user's own narrowing
	// options may stay.
	Options authkeys.Options
	// Label is the comment of the registered key, for people.
	Label string
	// NotBefore and NotAfter bound the time in which the key counts; the zero time is no bound. NotAfter is the first
	// moment at which the key no longer counts.
	NotBefore, NotAfter time.Time
	// Origin says where in the registry the record stands, such as an entry's DN.
	Origin string
}

// Reject is one value of a user's entry that could not be used, which costs that value only, or (in User.Remarks) one that was
// used although something is wrong with it.
type Reject struct {
	Origin string
	// Code says what is wrong, for programs. Codes are a contract: one that was published never changes its meaning.
	Code string
	// Detail is a sentence in plain ASCII.
	Detail string
}

// User is one entry of the registry.
type User struct {
	Name string
	// UID and GID are -1 where the entry does not tell them.
	UID, GID int
	Home     string
	// Mail is an address of RFC 5321 in ASCII that can stand in a header as it is; empty: none is known.
	Mail string
	// Status says whether the account counts, Until from which moment on it no longer does; the zero time is no end. One that
	// does not count stays an account whose home is kept: it just has no usable key.
	Status  Status
	Until   time.Time
	Records []Record
	// Rejects are values that are not used, Remarks those that are used all the same.
	Rejects, Remarks []Reject
}

// Active reports whether the account counts at a moment. To lose all accounts by their status is to lose them as much as by their
// entries: whoever counts losses asks this.
func (u User) Active(now time.Time) bool {
	return u.Status == Active && (u.Until.IsZero() || now.Before(u.Until))
}

// ErrEmpty is what New says of a registry without users or without any key: never a reason to remove a key.
var ErrEmpty = errors.New("the registry is empty")

// Snapshot is one complete reading of the registry.
type Snapshot struct {
	source string
	users  cow.Map[*User]
	names  []string // sorted
	keys   int
	claims map[string][]Claim // of names that are contested
}

// New makes a snapshot of all users that a source named. It refuses, and says why: no users, no key at all, a user
// without a name or with one that holds control bytes, and two entries with one name, since it could not say which
// of the two people the keys belong to.
func New(users []User, source string) (*Snapshot, error) {
	s := &Snapshot{source: source}
	all := make(map[string]*User, len(users))
	for _, u := range users {
		if err := checkName(u.Name); err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		if _, double := all[u.Name]; double {
			return nil, fmt.Errorf("%s: two entries for the user %q", source, u.Name)
		}
		all[u.Name] = u.clone()
		s.names = append(s.names, u.Name)
		s.keys += len(u.Records)
	}
	slices.Sort(s.names)
	s.users = cow.Of(all)
	return s.filled()
}

// filled refuses a snapshot without users or keys.
func (s *Snapshot) filled() (*Snapshot, error) {
	if len(s.names) == 0 {
		return nil, fmt.Errorf("%s: %w: it names no user", s.source, ErrEmpty)
	}
	if s.keys == 0 {
		return nil, fmt.Errorf("%s: %w: none of its %d users has a usable key", s.source, ErrEmpty, len(s.names))
	}
	return s, nil
}

func checkName(name string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("user name %q cannot be used", name)
	}
	return nil
}

// Equal reports whether two users are the same in all that is known of them.
func (u User) Equal(other User) bool {
	return u.Name == other.Name && u.UID == other.UID && u.GID == other.GID && u.Home == other.Home && u.Mail == other.Mail && u.Status == other.Status &&
		u.Until.Equal(other.Until) && slices.Equal(u.Records, other.Records) && slices.Equal(u.Rejects, other.Rejects) && slices.Equal(u.Remarks, other.Remarks)
}

// clone makes a user that shares no list with the caller's.
func (u User) clone() *User {
	u.Records, u.Rejects, u.Remarks = slices.Clone(u.Records), slices.Clone(u.Rejects), slices.Clone(u.Remarks)
	return &u
}

// User returns the entry of one user; the name is compared byte for byte.
func (s *Snapshot) User(name string) (User, bool) {
	if u, ok := s.users.Get(name); ok {
		return *u, true
	}
	return User{}, false
}

// Users yields all entries in the order of their names.
func (s *Snapshot) Users() iter.Seq[User] {
	return func(yield func(User) bool) {
		for _, name := range s.names {
			if u, _ := s.users.Get(name); !yield(*u) {
				return
			}
		}
	}
}

// Len is the number of users.
func (s *Snapshot) Len() int { return len(s.names) }

// Keys is the number of records of all users.
func (s *Snapshot) Keys() int { return s.keys }

// Rejects is the number of values that could not be used.
func (s *Snapshot) Rejects() int {
	n := 0
	for u := range s.Users() {
		n += len(u.Rejects)
	}
	return n
}

// Source names the server or file that was read.
func (s *Snapshot) Source() string { return s.source }
