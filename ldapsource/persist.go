package ldapsource

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"
)

// persist asks the server to tell of changes, and returns when it has named all users there are. lost has one error then, when
// it tells no more, and is closed. A server that refuses is an error with the fault Refused; errFlood says that it cannot be listened to,
// since somebody has too many names.
//
// There is no cookie to go on from: who begins anew is told of everybody, by name alone, and reads everything once. So no
// delta can be missed that a wrong, old or foreign cookie would hide (slapd takes one that it cannot read for none).
//
// The connection is one of its own: slapd lets no more operations of one connection run than half of its threads, and this
// one runs for ever. It is silent for ever, too: TCP's keepalive tells that its other end is gone.
func (e *ear) persist(ctx context.Context) (lost <-chan error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	c, err := e.connect(ctx, e.server)
	if err != nil {
		cancel()
		return nil, err
	}
	end := func() {
		cancel() // first: the library waits for ever for whoever reads a search, unless its context is done
		c.close()
	}
	// The library adds its control to the request. Stamps are for poll.
	request := ldap.NewSearchRequest(e.config.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		e.config.Filter, []string{e.config.Schema.User, e.stampName()}, nil)
	s := &stream{ear: e, names: make(map[uuid]string)}
	err = c.guard.arm(e.config.Timeout)
	s.source = c.lib.Syncrepl(ctx, request, 64, ldap.SyncRequestModeRefreshAndPersist, nil, false)
	for err == nil && !s.refreshed {
		if err = shield(s.next); err == nil {
			err = c.guard.arm(e.config.Timeout)
		}
		if len(s.names) > maxEntries {
			err = because(Incomplete, fmt.Errorf("more than %d entries", maxEntries))
		}
	}
	if err == nil {
		err = c.rest()
	}
	if err != nil {
		end()
		if c.frames.broken.Load() { // the library has words of its own for the end of a connection
			err = because(Malformed, c.frames.err)
		}
		return nil, because(Lost, err)
	}
	told := make(chan error, 1)
	go func() {
		defer close(told)
		defer end()
		for {
			c.guard.left.Store(c.guard.most)
			if err := shield(s.next); err != nil {
				told <- err
				return
			}
		}
	}()
	return told, nil
}

// uuid is an entryUUID (RFC 4530).
type uuid [16]byte

// stream is what a server tells by RFC 4533.
type stream struct {
	*ear

	source    ldap.Response
	names     map[uuid]string // of the entries that the server told of
	refreshed bool            // what comes now is a change
}

// next takes one message.
func (s *stream) next() error {
	if !s.source.Next() {
		err := s.source.Err()
		if err == nil { // the library's word for a context that is done, and for a connection that ended
			return because(Lost, errors.New("the server tells of no more changes"))
		}
		return because(kindOf(err), fmt.Errorf("changes: %w", err))
	}
	for _, control := range s.source.Controls() {
		if info, ok := control.(*ldap.ControlSyncInfo); ok {
			s.info(info)
			return nil
		}
	}
	if s.source.Referral() != "" {
		return nil // whether it is one that is allowed is asked by whoever reads
	}
	return s.entry(s.source.Entry(), s.source.Controls())
}

// info takes a message about many entries (RFC 4533 section 2.5).
func (s *stream) info(info *ldap.ControlSyncInfo) {
	switch {
	case info.RefreshDelete != nil:
		s.refreshed = s.refreshed || info.RefreshDelete.RefreshDone
	case info.RefreshPresent != nil:
		s.refreshed = s.refreshed || info.RefreshPresent.RefreshDone
	case info.SyncIdSet != nil:
		for _, id := range info.SyncIdSet.SyncUUIDs {
			if info.SyncIdSet.RefreshDeletes {
				s.gone(uuid(id))
			} else if _, known := s.names[uuid(id)]; !known {
				s.tell("")
			}
		}
	}
}

// entry takes a message about one entry (RFC 4533 section 2.3).
func (s *stream) entry(found *ldap.Entry, controls []ldap.Control) error {
	state, ok := ldap.FindControl(controls, ldap.ControlTypeSyncState).(*ldap.ControlSyncState)
	if found == nil || !ok {
		return because(Malformed, errors.New("changes: an entry came without its state"))
	}
	id := uuid(state.EntryUUID)
	if state.State == ldap.SyncStateDelete {
		s.gone(id)
		return nil
	}
	entry := convert(found)
	before, known := s.names[id]
	now := s.userOf(entry)
	s.names[id] = now
	s.stamps.note(entry.DN, s.stampOf(entry), 2)
	if known && before != now {
		// Read alone, the old name could be gone before the new one is there, and the keys of the one person with it.
		s.tell("")
		return nil
	}
	s.tell(now)
	return nil
}

// gone takes an entry that was deleted, or that the filter does not find any more.
func (s *stream) gone(id uuid) {
	s.tell(s.names[id]) // nobody knows whose an unknown one was
	delete(s.names, id)
}

// tell names a user who changed; before all were named there is nothing to tell.
func (s *stream) tell(user string) {
	if s.refreshed {
		s.changed(user)
	}
}
