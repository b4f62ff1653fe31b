package ldapsource

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// slack is how much older than the newest stamp one may be that appears later: stamps are those of the server on which a change was
// made, and reach the others with a delay.
const slack = time.Minute

// stamps knows which changes were told.
type stamps struct {
	mu   sync.Mutex
	last time.Time // the newest of the server's that is not ahead
	told map[mark]int
}

// mark is one state of an entry; there may be others in the same second.
type mark struct {
	dn string
	at time.Time
}

// note takes a stamp that was told a number of times now, and says whether it has to be told: once when it appears, and once more
// when its second is over. One that is ahead of now, as an entry has it that was made while some server's clock was wrong, is told by
// itself and moves nothing: whatever is changed until then has an older one. By a clock here that is behind, many are ahead, and polls
// are answered with more than is news. How far the clock here is before the server's, so long can a stamp still hide changes.
func (s *stamps) note(dn string, at time.Time, times int) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.IsZero() || at.Before(s.last.Add(-slack)) {
		return false
	}
	if s.told == nil {
		s.told = make(map[mark]int)
	}
	if at.After(s.last) && !at.After(time.Now().Add(slack)) {
		s.last = at
	}
	one := mark{dn, at}
	news = s.told[one] < 2
	s.told[one] += times
	return news
}

// since is the oldest stamp that may still appear; zero where the server shows none.
func (s *stamps) since() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.last.Add(-slack)
	if s.last.IsZero() { // all are ahead, if there are any
		oldest = time.Time{}
		for one := range s.told {
			if oldest.IsZero() || one.at.Before(oldest) {
				oldest = one.at
			}
		}
	}
	for one := range s.told {
		if one.at.Before(oldest) {
			delete(s.told, one)
		}
	}
	return oldest
}

// baseline reads the stamps of all users, where the server does not tell of changes.
func (e *ear) baseline(ctx context.Context) error {
	entries, err := e.stamped(ctx, e.config.Filter)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		e.stamps.note(entry.DN, e.stampOf(entry), 1)
	}
	if e.stamps.since().IsZero() {
		return because(Hidden, fmt.Errorf("none of %d entries shows its %s", len(entries), e.stampName()))
	}
	return nil
}

// poll names the users whose entries have a new stamp; a server that shows no stamps has to answer at least.
func (e *ear) poll(ctx context.Context) error {
	since := e.stamps.since()
	if since.IsZero() {
		_, err := e.offersSync(ctx)
		return err
	}
	entries, err := e.stamped(ctx, fmt.Sprintf("(&%s(%s>=%s))", e.config.Filter, e.stampName(), since.Format("20060102150405Z")))
	if err != nil {
		return err
	}
	var news []string
	for _, entry := range entries {
		at := e.stampOf(entry)
		if at.IsZero() {
			return because(Malformed, errors.New("an entry came without the stamp that was asked for"))
		}
		if e.stamps.note(entry.DN, at, 1) {
			news = append(news, entry.DN)
		}
	}
	return e.name(ctx, news)
}

// mostNamed is how many entries that changed are asked whose they are.
const mostNamed = 100

// name names the users of entries that changed, or everybody where there are many.
func (e *ear) name(ctx context.Context, dns []string) error {
	if len(dns) > mostNamed {
		e.changed("")
		return nil
	}
	o := &single{LDAP: e.LDAP, server: e.server, query: query{e.config.Filter, []string{e.config.Schema.User}}, found: make(map[string]Entry)}
	defer o.close()
	if err := o.readAll(ctx, dns); err != nil {
		return fmt.Errorf("whose entries changed: %w", err)
	}
	for _, dn := range dns {
		e.changed(e.userOf(o.found[dn])) // of one that is gone again it is nobody's
	}
	return nil
}

// stamped lists entries by their stamps alone: of any attribute that a user may write himself, one could be too much for all.
func (e *ear) stamped(ctx context.Context, filter string) ([]Entry, error) {
	entries, err := e.search(ctx, e.conn, query{filter, []string{e.stampName()}})
	if err != nil {
		return nil, fmt.Errorf("stamps: %w", err)
	}
	return entries, nil
}
