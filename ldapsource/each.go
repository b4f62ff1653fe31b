package ldapsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-ldap/ldap/v3"
)

const (
	// ahead is how many entries are asked for before the first of them came. slapd ends the connection of an anonymous reader of whose
	// requests more than 100 wait (conn_max_pending in slapd.conf(5)).
	ahead = 64
	// mostLists bounds how often the names are listed anew because entries have gone meanwhile.
	mostLists = 4
)

// each gives all entries of a query by their names, after errFlood: a server can be asked for a page of entries, but not for one without
// those that are too large. What was read before is not read again.
//
// An entry that was listed and is not there, because it was deleted or renamed since, is no error if it is not listed any more; what has
// come instead is read as well. One that stays listed is: the reader may see its name, and not the entry.
func (l *LDAP) each(ctx context.Context, s server, q query, before []Entry) ([]Entry, error) {
	o := &single{LDAP: l, server: s, query: q, found: make(map[string]Entry, len(before))}
	defer o.close()
	for _, e := range before {
		o.found[e.DN] = e
		o.size += e.size()
	}
	for range mostLists {
		names, err := o.names(ctx)
		if err != nil {
			return nil, fmt.Errorf("one entry at a time: %w", err)
		}
		if err := o.readAll(ctx, o.missing(names)); err != nil {
			return nil, err
		}
		if o.gone = o.missing(names); len(o.gone) > 0 {
			continue
		}
		entries := make([]Entry, 0, len(names))
		for _, name := range names {
			entries = append(entries, o.found[name.DN])
		}
		return entries, nil
	}
	return nil, because(Incomplete, fmt.Errorf("entry %q is listed again and again, and is not there", o.gone[0]))
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
	found  map[string]Entry
	size   int      // of what was found
	gone   []string // by the last list
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

// missing is what is listed and was not found.
func (o *single) missing(names []Entry) (dns []string) {
	for _, name := range names {
		if _, there := o.found[name.DN]; !there {
			dns = append(dns, name.DN)
		}
	}
	return dns
}

// readAll reads entries, ahead of each other: one round trip for each would let one user's fat entry use up the time of a reading.
func (o *single) readAll(ctx context.Context, dns []string) error {
	for part := range slices.Chunk(dns, ahead) {
		if err := o.some(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// some reads entries all at once, and by halves where they are too much together.
func (o *single) some(ctx context.Context, dns []string) error {
	if len(dns) == 1 {
		e, there, err := o.entry(ctx, dns[0])
		if err != nil {
			return fmt.Errorf("entry %q: %w", dns[0], err)
		}
		return o.keep(e, there)
	}
	entries, err := o.read(ctx, o.query.attributes, dns...)
	if errors.Is(err, errFlood) {
		half := len(dns) / 2
		if err := o.some(ctx, dns[:half]); err != nil {
			return err
		}
		return o.some(ctx, dns[half:])
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := o.keep(e, e.DN != ""); err != nil {
			return err
		}
	}
	return nil
}

func (o *single) keep(e Entry, there bool) error {
	if !there {
		return nil
	}
	o.found[e.DN] = e
	if o.size += e.size(); o.size > o.total {
		return o.errTotal()
	}
	return nil
}

// entry reads an entry, or one attribute after the other where they are too much together; those that are too much by themselves
// are TooBig. there is false for one that the query does not find any more.
func (o *single) entry(ctx context.Context, dn string) (e Entry, there bool, err error) {
	entries, err := o.read(ctx, o.query.attributes, dn)
	if err == nil {
		return entries[0], entries[0].DN != "", nil
	}
	if !errors.Is(err, errFlood) {
		return e, false, err
	}
	e = Entry{DN: dn}
	for _, name := range o.query.attributes {
		parts, err := o.read(ctx, []string{name}, dn)
		switch {
		case errors.Is(err, errFlood):
			e.TooBig = append(e.TooBig, name)
		case err != nil || parts[0].DN == "":
			return Entry{}, false, err
		default:
			e.Attributes = append(e.Attributes, parts[0].Attributes...)
			e.TooBig = append(e.TooBig, parts[0].TooBig...)
		}
	}
	return e, true, nil
}

// read reads some attributes of entries, which come in the order of their names; the zero Entry is one that is not there. All of them
// together may be as much as a page, in the time of one.
func (o *single) read(ctx context.Context, attributes []string, dns ...string) ([]Entry, error) {
	if err := o.open(ctx); err != nil {
		return nil, err
	}
	results, err := o.askAll(ctx, attributes, dns)
	entries := make([]Entry, len(dns))
	for i := 0; i < len(dns) && err == nil; i++ {
		if entries[i], err = o.only(ctx, dns[i], results[i]); err != nil {
			err = fmt.Errorf("entry %q: %w", dns[i], err)
		}
	}
	if err != nil {
		if errors.Is(err, errFlood) {
			o.close()
		}
		return nil, err
	}
	return entries, nil
}

// only takes the answer to a question for one entry.
func (o *single) only(ctx context.Context, dn string, result *ldap.SearchResult) (e Entry, err error) {
	switch {
	case result == nil:
		return e, nil
	case len(result.Entries) > 1 || len(result.Entries) == 1 && !sameDN(dn, result.Entries[0].DN):
		return e, because(Foreign, fmt.Errorf("%d entries came, where that one was asked for", len(result.Entries)))
	case o.elsewhere(result) != nil:
		return e, o.elsewhere(result)
	case len(result.Entries) == 0:
		return e, nil
	}
	if err := o.complete(ctx, o.conn, result.Entries[0]); err != nil {
		return e, err
	}
	e = convert(result.Entries[0])
	e.DN = dn // as it was listed
	return e, nil
}

// askAll asks for entries before the first answer came; there is no result for an entry that is not there (RFC 4511 appendix A,
// noSuchObject). The whole of the answers is thrown away with an error.
func (o *single) askAll(ctx context.Context, attributes, dns []string) ([]*ldap.SearchResult, error) {
	results, errs := make([]*ldap.SearchResult, len(dns)), make([]error, len(dns))
	err := o.conn.step(ctx, func() error {
		var asked sync.WaitGroup
		for i, dn := range dns {
			asked.Go(func() {
				errs[i] = shield(func() (err error) {
					results[i], err = o.conn.lib.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
						o.query.filter, attributes, nil))
					return err
				})
			})
		}
		asked.Wait()
		for i, err := range errs {
			switch {
			case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
				results[i] = nil
			case err != nil:
				return fmt.Errorf("entry %q: %w", dns[i], err)
			case results[i] == nil:
				return because(Malformed, errors.New("no answer"))
			}
		}
		return nil
	})
	return results, err
}
