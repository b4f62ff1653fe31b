package ldapsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// The values of LDAPConfig.Notice.
const (
	// NoticeAuto asks the server to tell of changes, and asks for them where it does not.
	NoticeAuto = "auto"
	// NoticeOff leaves it to the readings of the whole registry.
	NoticeOff = "off"
)

// Way is how changes of the registry are noticed.
type Way string

// The ways.
const (
	// BySync: the server tells of them as they happen (RFC 4533, refreshAndPersist).
	BySync Way = "sync"
	// ByPoll: it is asked for entries with a new stamp, which tells of no entry that is gone.
	ByPoll Way = "poll"
	// ByRefresh: only the readings of the whole registry show them.
	ByRefresh Way = "refresh"
)

const (
	// leastPoll is long enough for the second of a stamp to be over at the next poll.
	leastPoll = 2 * time.Second
	mostPoll  = 5 * time.Minute
	// firstWait is the pause before the next attempt to listen; it doubles up to lastWait with each that failed.
	firstWait = time.Second
	lastWait  = time.Minute
	// syncRequest is the control that asks for changes (RFC 4533 section 2.2).
	syncRequest = "1.3.6.1.4.1.4203.1.9.1.1"
)

func (c LDAPConfig) checkNotice() error {
	var errs []error
	if c.Notice != NoticeAuto && c.Notice != NoticeOff {
		errs = append(errs, fmt.Errorf("notice %q is neither %s nor %s", c.Notice, NoticeAuto, NoticeOff))
	}
	if c.Poll < leastPoll || c.Poll > mostPoll {
		errs = append(errs, fmt.Errorf("poll %s is not between %s and %s", c.Poll, leastPoll, mostPoll))
	}
	return errors.Join(errs...)
}

// Watch names users whose entries changed, until ctx ends. An empty name says that anybody may have: so begins each connection, and so
// ends one that is lost. It grants and takes nothing: whoever is named has to be read, and what a server does not tell of, as it need
// not, is found by the next Fetch. It listens to the server that gave the last whole reading, so that what is noticed
// there is there when it is read. changed may wait.
func (l *LDAP) Watch(ctx context.Context, changed func(user string)) {
	if l.config.Notice == NoticeOff {
		return
	}
	wait := firstWait
	for ctx.Err() == nil {
		s, moved := l.trust.from()
		if s.url == "" {
			pause(ctx, moved, lastWait)
			continue
		}
		e, began := &ear{LDAP: l, changed: changed, server: s, before: l.trust.count()}, time.Now()
		err := e.listen(ctx, moved)
		if ctx.Err() != nil {
			return
		}
		if e.way != "" {
			changed("")
		}
		if time.Since(began) > lastWait {
			wait = firstWait
		}
		if err == nil { // another server gives the registry now, or this one can be listened to again
			continue
		}
		l.notice(s.url, ByRefresh, err)
		pause(ctx, moved, wait)
		wait = min(2*wait, lastWait)
	}
}

// pause returns after a while, or when done or moved are closed.
func pause(ctx context.Context, moved <-chan struct{}, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-moved:
	case <-time.After(d):
	}
}

func (l *LDAP) notice(server string, by Way, err error) {
	if l.Noticing != nil {
		l.Noticing(server, by, err)
	}
}

// ear listens to one server.
type ear struct {
	*LDAP

	changed func(user string)
	server  server
	conn    *conn // for questions
	way     Way   // empty until it listens
	stamps  stamps
	// flooded says that a user's names are too much for what the server tells of changes; before counts the whole readings until then.
	flooded bool
	before  int
}

// listen returns an error when the connection is lost or of no use, and none when moved is closed.
func (e *ear) listen(ctx context.Context, moved <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := e.connect(ctx, e.server)
	if err != nil {
		return err
	}
	defer c.close()
	e.conn = c
	offered, err := e.offersSync(ctx)
	if err != nil {
		return err
	}
	way, lost, refusal := ByPoll, (<-chan error)(nil), error(nil)
	if offered {
		way = BySync
		lost, refusal = e.persist(ctx)
		if e.flooded = errors.Is(refusal, errFlood); e.flooded || FaultOf(refusal) == Refused {
			way = ByPoll
		} else if refusal != nil {
			return refusal
		}
	}
	if lost != nil {
		defer func() {
			cancel()
			for range lost { // until it is closed
			}
		}()
	}
	if way == ByPoll {
		if err := e.baseline(ctx); err != nil {
			return err
		}
	}
	e.way = way
	e.notice(e.server.url, way, refusal)
	e.changed("")
	return e.keep(ctx, lost, moved)
}

// keep polls until the connection is lost. That is done beside a server that tells of changes too: it proves that the server
// is still there, and some tell of a part of their tree only (FreeIPA of its DNS).
func (e *ear) keep(ctx context.Context, lost <-chan error, moved <-chan struct{}) error {
	ticks := time.NewTicker(e.config.Poll)
	defer ticks.Stop()
	for {
		if err := e.conn.rest(); err != nil {
			return because(Lost, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-lost:
			return err
		case <-moved:
			return nil
		case <-ticks.C:
			if err := e.poll(ctx); err != nil {
				return err
			}
			if e.flooded && e.trust.slim(e.before) {
				return nil
			}
		}
	}
}

// rest lets a connection be silent after a step.
func (c *conn) rest() error { return c.guard.SetDeadline(time.Time{}) }

// offersSync asks the server what it supports (RFC 4512 section 5.1).
func (e *ear) offersSync(ctx context.Context) (bool, error) {
	result, err := e.ask(ctx, e.conn, ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"supportedControl"}, nil))
	if err != nil {
		return false, fmt.Errorf("the server's root entry: %w", err)
	}
	for _, entry := range result.Entries {
		if slices.Contains(entry.GetEqualFoldAttributeValues("supportedControl"), syncRequest) {
			return true, nil
		}
	}
	return false, nil
}

// userOf is the name of an entry's user; empty where that is not plain.
func (e *ear) userOf(entry Entry) string {
	name, err := entry.name(e.config.Schema)
	if err != nil {
		return ""
	}
	return name
}

// stampOf is when the server says that an entry was changed; zero where it does not. Active Directory makes modifyTimestamp up
// for each answer, and searches for whenChanged only ([MS-ADTS] section 3.1.1.4.5).
func (e *ear) stampOf(entry Entry) time.Time {
	text, err := entry.one(e.stampName())
	if err != nil {
		return time.Time{}
	}
	at, err := generalizedTime(text)
	if err != nil {
		return time.Time{}
	}
	return at.UTC() // a mark is compared as it is
}

func (e *ear) stampName() string {
	if e.config.Preset == ActiveDirectory {
		return "whenChanged"
	}
	return "modifyTimestamp"
}
