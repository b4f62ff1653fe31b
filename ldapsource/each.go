package ldapsource

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-ldap/ldap/v3"
)

// each gives all entries of a query one by one, after errFlood: a server can be asked for a page of entries, but not for one without
// those that are too large. It takes one round trip for an entry: 2 s for 10,000 of them, where pages take 0.6 s. What was
// read before is not read again.
func (l *LDAP) each(ctx context.Context, s server, q query, before []Entry) ([]Entry, error) {
	o := &single{LDAP: l, server: s, query: q}
	defer o.close()
	names, err := o.names(ctx)
	if err != nil {
		return nil, fmt.Errorf("one entry at a time: %w", err)
	}
	known := make(map[string]Entry, len(before))
	for _, e := range before {
		known[e.DN] = e
	}
	entries, size := make([]Entry, 0, len(names)), 0
	for _, name := range names {
		e, there := known[name.DN]
		if !there {
			if e, there, err = o.entry(ctx, name.DN); err != nil {
				return nil, fmt.Errorf("entry %q: %w", name.DN, err)
			}
		}
		if !there { // a page would not have had it either
			continue
		}
		entries = append(entries, e)
		if size += e.size(); size > l.total {
			return nil, l.errTotal()
		}
	}
	return entries, nil
}

// errTotal is no errFlood: less at a time is not less.
func (l *LDAP) errTotal() error {
	return because(Malformed, fmt.Errorf("the entries hold more than %d MiB", l.total>>20))
}

// single reads entries of a query by their names.
type single struct {
	*LDAP

	server server
	query  query
	conn   *conn // nil after errFlood, of which no connection recovers
}

func (o *single) close() {
	if o.conn != nil {
		o.conn.close()
		o.conn = nil
	}
}

func (o *single) open(ctx context.Context) (err error) {
	if o.conn == nil {
		o.conn, err = o.connect(ctx, o.server)
	}
	return err
}

// names lists the entries, without attributes (RFC 4511 section 4.5.1.8).
func (o *single) names(ctx context.Context) ([]Entry, error) {
	if err := o.open(ctx); err != nil {
		return nil, err
	}
	return o.search(ctx, o.conn, query{o.query.filter, []string{"1.1"}})
}

// entry reads an entry, or one attribute after the other where they are too much together; those that are too much by themselves
// are TooBig. there is false for one that the query does not find any more.
func (o *single) entry(ctx context.Context, dn string) (e Entry, there bool, err error) {
	e, there, err = o.read(ctx, dn, o.query.attributes)
	if !errors.Is(err, errFlood) {
		return e, there, err
	}
	e = Entry{DN: dn}
	for _, name := range o.query.attributes {
		part, there, err := o.read(ctx, dn, []string{name})
		switch {
		case errors.Is(err, errFlood):
			e.TooBig = append(e.TooBig, name)
		case err != nil || !there:
			return Entry{}, false, err
		default:
			e.Attributes = append(e.Attributes, part.Attributes...)
			e.TooBig = append(e.TooBig, part.TooBig...)
		}
	}
	return e, true, nil
}

// read reads some attributes of an entry.
func (o *single) read(ctx context.Context, dn string, attributes []string) (e Entry, there bool, err error) {
	if err := o.open(ctx); err != nil {
		return e, false, err
	}
	result, err := o.ask(ctx, o.conn, ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		o.query.filter, attributes, nil))
	switch {
	case err != nil:
	case len(result.Entries) == 0:
		return e, false, nil
	case len(result.Entries) > 1 || !sameDN(dn, result.Entries[0].DN):
		return e, false, because(Foreign, fmt.Errorf("%d entries came, where that one was asked for", len(result.Entries)))
	default:
		err = o.complete(ctx, o.conn, result.Entries[0])
	}
	if err != nil {
		if errors.Is(err, errFlood) {
			o.close()
		}
		return e, false, err
	}
	return convert(result.Entries[0]), true, nil
}
