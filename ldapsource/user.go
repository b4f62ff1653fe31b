package ldapsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/keyreeve/keyreeve/registry"
)

// trust is what the last whole reading leaves to who reads a single user, or listens.
type trust struct {
	mu     sync.Mutex
	server server // that gave it; none before the first
	// witnesses are two users who have a key and count.
	witnesses []string
	// readings counts them; fat says that somebody's names were too many in the last one.
	readings int
	fat      bool
	// moved is closed when another server gave the next reading.
	moved chan struct{}
}

// set takes a whole reading.
func (t *trust) set(s server, snapshot *registry.Snapshot, fat bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readings++
	t.fat = fat
	t.witnesses = nil
	for user := range snapshot.Users() {
		if len(user.Records) > 0 && user.Status == registry.Active && len(t.witnesses) < 2 {
			t.witnesses = append(t.witnesses, user.Name)
		}
	}
	if t.server == s {
		return
	}
	t.server = s
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// count is how many whole readings there were.
func (t *trust) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.readings
}

// slim reports whether a whole reading after the n-th has shown that nobody has too many names.
func (t *trust) slim(n int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.readings > n && !t.fat
}

// from is the server of the last whole reading; later is closed when that is another one.
func (t *trust) from() (s server, later <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.moved == nil {
		t.moved = make(chan struct{})
	}
	return t.server, t.moved
}

// witness is a user other than name; empty where there is none.
func (t *trust) witness(name string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.witnesses {
		if w != name {
			return w
		}
	}
	return ""
}

// maxAlone is how long a reading of one user may last: an entry with which the server is slow must not keep others waiting.
const maxAlone = 5 * time.Second

// FetchUser reads one user as the registry is now, from the server that gave the last whole reading; found is false where it has
// none of that name. It holds to the rules of Fetch. What an empty answer proves is little, so the same search asks for a
// witness, the canary or else somebody who was in the last whole reading with a key, and an answer without the witness and its
// key is an error. Every error means that the whole registry has to be read.
func (l *LDAP) FetchUser(ctx context.Context, name string) (user registry.User, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.alone)
	defer cancel()
	s, _ := l.trust.from()
	witness := l.config.Schema.fold(l.Canary.User)
	if witness == "" || witness == name {
		witness = l.trust.witness(name)
	}
	if s.url == "" || witness == "" {
		return user, false, because(Incomplete, errors.New("nobody was read before who would prove the answer"))
	}
	snapshot, err := l.fetchSome(ctx, s, name, witness)
	if err != nil {
		return user, false, fmt.Errorf("%s: user %q: %w", s.url, name, err)
	}
	if !slices.ContainsFunc(snapshot.Claims(witness), func(w registry.User) bool { return len(w.Records) > 0 }) {
		return user, false, because(Incomplete, fmt.Errorf("%s: user %q came without a key of the witness %q", s.url, name, witness))
	}
	user, found = snapshot.User(name)
	for other := range snapshot.Users() {
		// Names are compared without regard to case by the server, and an entry with two names is nobody's. Beside the user it means nothing:
		// whoever names the witness in his own entry must not keep all others from being read. Without him it may be he.
		if !found && !strings.EqualFold(other.Name, name) && !strings.EqualFold(other.Name, witness) {
			return user, false, because(Foreign, fmt.Errorf("%s: %q came, where %q was asked for", s.url, other.Name, name))
		}
	}
	if len(snapshot.Claims(name)) > 1 {
		return registry.User{}, false, because(Foreign, fmt.Errorf("%s: several entries have the name %q", s.url, name))
	}
	return user, found, nil
}

// fetchSome reads users by their names.
func (l *LDAP) fetchSome(ctx context.Context, s server, names ...string) (*registry.Snapshot, error) {
	q := l.all()
	q.filter = "(&" + q.filter + l.named(names...) + ")"
	entries, err := l.read(ctx, s, q)
	if err != nil {
		return nil, err
	}
	snapshot, err := l.config.layout().Decode(entries, s.url)
	if !slices.Contains(names, l.Canary.User) {
		return snapshot, err
	}
	return l.Canary.proven(snapshot, err)
}

// named is the filter that finds users by their names.
func (l *LDAP) named(names ...string) string {
	var either strings.Builder
	for _, name := range slices.Compact(names) {
		fmt.Fprintf(&either, "(%s=%s)", l.config.Schema.User, ldap.EscapeFilter(name))
	}
	return "(|" + either.String() + ")"
}
