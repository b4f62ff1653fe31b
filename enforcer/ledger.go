package enforcer

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/registry"
)

const (
	// ledgerAge is how long such a key is remembered, and a user who left. A clock that is wrong once ages nobody: the registry must
	// have been read on ledgerDays days since.
	ledgerAge  = 400 * 24 * time.Hour
	ledgerDays = 30
)

// Ledger is everybody and every key that was in an accepted snapshot of the registry. It tells a key that was registered from one
// that never was, and a user who left from an account that is none of the registry's. It is safe for concurrent use.
type Ledger struct {
	path   string     // of its file; empty: it has none
	saving sync.Mutex // held while the file is written

	mu      sync.Mutex
	source  string // digest of the SourceID that was read last; empty: none was
	members map[string]*enrolled
	lossy   map[string]*enrolled // those of them who have former keys
	days    int                  // on which a snapshot was accepted
	day     time.Time            // when the last of them began
	changed bool                 // since it was written
	seats   map[seat]bool        // taken by who is there; nil: not asked for since the last change
	dropped []string             // whose former keys were forgotten, and that was not told
}

// enrolled is a user. Keys that are registered come first, in the registry's order, then former ones, the last first.
type enrolled struct {
	uid, gid int
	seat     int // which of those who have had the uid side by side
	home     string
	left     time.Time // zero: the last snapshot has him
	leftDay  int       // the count of days then
	keys     []known   // not written to: a copy takes their place
	faded    []faded   // the last first; not written to
	mended   []time.Time
	names    []name // that he had before, the last first; not written to
}

// known is a key with its options.
type known struct {
	key     authkeys.Key
	options authkeys.Options
	// end is when its registration or its account is to end, by what the registry said last; zero: not.
	end time.Time
	// seen is when it first counted, to the second; zero: before that was noted.
	seen time.Time
	// since is when it was first missing, day the count of days then; zero: it is registered.
	since              time.Time
	day                int
	confirmed, settled bool
}

func (k known) former() bool { return !k.since.IsZero() }

// NewLedger is one of a registry that was never read, without a file.
func NewLedger() *Ledger {
	return &Ledger{members: make(map[string]*enrolled), lossy: make(map[string]*enrolled)}
}

// Seed takes the last good reading, as it lay on the disk, into the ledger, before anything else is: the ledger's file may be older, after a
// crash or where it could not be written, and who leaves by the next reading is to be known. Good may be nil. Lost says that the ledger
// was never fed: its file was lost, or an earlier program kept none. Whoever left before that reading stays unknown then.
func (l *Ledger) Seed(good *Kept, now time.Time) (a Accepted, lost bool) {
	switch {
	case good == nil:
		return a, false
	case l.source == "":
		a = l.Accept(good.Snapshot, good.SourceID, false, good.Read)
		for _, m := range l.members {
			for i := range m.keys { // when they were seen first was lost as well
				m.keys[i].seen = time.Time{}
			}
		}
		return a, true
	}
	return l.Accept(good.Snapshot, good.SourceID, false, now), false
}

// Accepted says what a snapshot changed of whom the ledger knows.
type Accepted struct {
	// Left are users who are in the registry no more, Forgotten those of them who left too long ago.
	Left, Forgotten []string
	// Others are users of another registry that was read before. What becomes of them is not known: they did not leave.
	Others []string
	// Moved says under which names people are known by now who had others.
	Moved []Move
	// Dropped are people of whom former keys were forgotten, since there were more than are remembered.
	Dropped []string
}

// Accept takes an accepted snapshot into the ledger. Complete says that all of the registry was read for it: what two such
// readings did not have is gone for sure. It is idempotent but for that.
//
// Another source is another configuration, such as a filter that leaves out a department. Users whom it does not have did not
// leave and are forgotten; keys that its users do not have there are lost like others, since a configuration can be as wrong as
// a directory. Who left before stays known.
func (l *Ledger) Accept(snapshot *registry.Snapshot, sourceID string, complete bool, now time.Time) (a Accepted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now = now.UTC().Round(0) // as it will be read back
	sum := sha256.Sum256([]byte(sourceID))
	source := hex.EncodeToString(sum[:])
	other := l.source != "" && l.source != source
	l.changed = l.changed || l.source != source
	l.source = source
	if now.Sub(l.day).Abs() >= 24*time.Hour {
		l.days, l.day, l.changed = l.days+1, now, true
	}
	if !other {
		l.follow(snapshot, snapshot.Users(), now, &a)
	}
	for name, m := range l.members {
		switch _, there := snapshot.User(name); {
		case there:
		case m.left.IsZero() && other:
			l.strike(name)
			a.Others = append(a.Others, name)
		default:
			l.miss(name, m, complete, now, &a)
		}
	}
	for user := range snapshot.Users() {
		l.accept(user, complete, now)
	}
	l.closeBook(&a)
	return a
}

// closeBook ends the change of the ledger by a snapshot.
func (l *Ledger) closeBook(a *Accepted) {
	l.seats = nil
	if len(a.Left) > 0 {
		l.thin(a)
	}
	a.Dropped, l.dropped = l.dropped, nil
	for _, list := range []*[]string{&a.Left, &a.Forgotten, &a.Others, &a.Dropped} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
}

// strike forgets a user.
func (l *Ledger) strike(name string) {
	delete(l.members, name)
	delete(l.lossy, name)
	l.changed = true
}

// old reports whether what happened at a moment, on a day, is to be forgotten.
func (l *Ledger) old(at time.Time, day int, now time.Time) bool {
	return now.Sub(at) > ledgerAge && l.days-day >= ledgerDays
}

// AcceptUsers takes a snapshot into the ledger that was amended, in which nobody but some users differs from the last one, at the cost of
// these. It is what Accept does with a snapshot that is not complete, but that what ended by itself meanwhile of others is noted later.
//
// Those in read were read alone since: what such a reading does not have is confirmed at once. It was asked for this one user and had to
// prove itself, and says nothing that could have begun with the failure of the whole readings around it.
func (l *Ledger) AcceptUsers(snapshot *registry.Snapshot, now time.Time, names, read []string) (a Accepted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now = now.UTC().Round(0)
	l.follow(snapshot, those(snapshot, distinct(names, read)), now, &a)
	for _, move := range a.Moved {
		if move.Taken {
			l.miss(move.To, l.members[move.To], false, now, &a)
		}
	}
	l.acceptUsers(snapshot, names, false, now, &a)
	l.acceptUsers(snapshot, read, true, now, &a)
	l.closeBook(&a)
	return a
}

func (l *Ledger) acceptUsers(snapshot *registry.Snapshot, names []string, complete bool, now time.Time, a *Accepted) {
	for _, name := range names {
		if m := l.members[name]; m == nil {
			continue
		} else if _, there := snapshot.User(name); !there {
			l.miss(name, m, complete, now, a)
		}
	}
	for user := range those(snapshot, names) {
		l.accept(user, complete, now)
	}
}

// those yields the users of a snapshot whom some names name.
func those(snapshot *registry.Snapshot, names []string) iter.Seq[registry.User] {
	return func(yield func(registry.User) bool) {
		for _, name := range names {
			if user, there := snapshot.User(name); there && !yield(user) {
				return
			}
		}
	}
}

// miss notes that a snapshot does not have a user.
func (l *Ledger) miss(name string, m *enrolled, complete bool, now time.Time, a *Accepted) {
	switch {
	case !m.left.IsZero() && l.old(m.left, m.leftDay, now):
		l.strike(name)
		a.Forgotten = append(a.Forgotten, name)
		return
	case m.left.IsZero():
		m.left, m.leftDay = now, l.days
		a.Left = append(a.Left, name)
		l.changed = true
	}
	l.renew(name, m, nil, complete, now)
	l.mark(name, m)
}

// accept takes a user of a snapshot.
func (l *Ledger) accept(user registry.User, complete bool, now time.Time) {
	m := l.members[user.Name]
	if m == nil {
		m = &enrolled{}
		l.members[user.Name] = m
		l.sit(m, user.UID)
	} else if m.uid != user.UID || !m.left.IsZero() {
		l.sit(m, user.UID)
	}
	if m.uid != user.UID || m.gid != user.GID || m.home != user.Home || !m.left.IsZero() {
		m.uid, m.gid, m.home, m.left, m.leftDay = user.UID, user.GID, user.Home, time.Time{}, 0
		l.changed = true
	}
	l.renew(user.Name, m, counting(user, now), complete, now)
	l.mark(user.Name, m)
}

// mark notes whether a user has former keys, which come last.
func (l *Ledger) mark(name string, m *enrolled) {
	if n := len(m.keys); n > 0 && m.keys[n-1].former() || len(m.faded)+len(m.mended) > 0 {
		l.lossy[name] = m
	} else {
		delete(l.lossy, name)
	}
}

// counting lists the keys of a user that count for the registry, whatever the policy says of them.
func counting(user registry.User, now time.Time) []known {
	if !user.Active(now) || len(user.Records) == 0 {
		return nil
	}
	list := make([]known, 0, len(user.Records))
	for _, r := range user.Records {
		end := r.NotAfter
		if end.IsZero() || !user.Until.IsZero() && user.Until.Before(end) {
			end = user.Until
		}
		if now.Before(r.NotBefore) || ended(end, now) || r.Options.CertAuthority() {
			continue
		}
		list = append(list, known{key: r.Key, options: r.Options, end: end.UTC()})
	}
	return list
}

func ended(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

// Gone is a user who is in the registry no more, at least by that name.
type Gone struct {
	homes.Account
	Since time.Time
	// Renamed: he is known by another name.
	Renamed bool
}

func (m *enrolled) account(name string) homes.Account {
	return homes.Account{Name: name, UID: m.uid, GID: m.gid, Home: homes.Tidy(m.home)}
}

// Departed lists the users who left, the last first.
func (l *Ledger) Departed() (list []Gone) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, m := range l.members {
		if !m.left.IsZero() {
			list = append(list, Gone{m.account(name), m.left, false})
		}
	}
	slices.SortFunc(list, func(a, b Gone) int { return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.Name, b.Name)) })
	return list
}
