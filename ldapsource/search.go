package ldapsource

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"
)

const (
	// maxEntries bounds a registry. A server that never ends a search reaches it.
	maxEntries = 1_000_000
	// maxIdle bounds the pages without entries that may follow one another: a server may send some (RFC 2696 section 3).
	maxIdle = 1_000
)

// query is what is asked for below the base.
type query struct {
	filter     string
	attributes []string
}

// all asks for every user of the registry.
func (l *LDAP) all() query { return query{l.config.Filter, l.config.layout().names()} }

// read gives all entries of a query, over connections of its own.
func (l *LDAP) read(ctx context.Context, s server, q query) ([]Entry, error) {
	c, err := l.connect(ctx, s)
	if err != nil {
		return nil, err
	}
	entries, err := l.search(ctx, c, q)
	c.close()
	if errors.Is(err, errFlood) {
		return l.each(ctx, s, q, entries)
	}
	return entries, err
}

// search reads all entries of a query, page by page over one connection, because a paging cookie is good for its connection
// only. With errFlood come the entries before the one, or the page, that was too much.
func (l *LDAP) search(ctx context.Context, c *conn, q query) ([]Entry, error) {
	var (
		entries []Entry
		cookie  []byte
		seen    = make(map[string]bool)
		idle    int
		size    int
	)
	for page := 1; ; page++ {
		result, next, err := l.page(ctx, c, q, cookie)
		if errors.Is(err, errFlood) {
			return entries, fmt.Errorf("page %d of the search below %q: %w", page, l.config.Base, err)
		}
		if err != nil {
			return nil, fmt.Errorf("page %d of the search below %q: %w", page, l.config.Base, err)
		}
		for _, found := range result {
			if err := l.belongs(found.DN); err != nil {
				return nil, err
			}
			if seen[found.DN] {
				return nil, because(Incomplete, fmt.Errorf("entry %q came twice, again on page %d", found.DN, page))
			}
			seen[found.DN] = true
			if err := l.complete(ctx, c, found); errors.Is(err, errFlood) {
				return entries, err
			} else if err != nil {
				return nil, err
			}
			entries = append(entries, convert(found))
			if size += entries[len(entries)-1].size(); size > l.total {
				return nil, l.errTotal()
			}
		}
		if len(next) == 0 {
			return entries, nil
		}
		if idle++; len(result) > 0 {
			idle = 0
		}
		if idle > maxIdle || len(entries) > maxEntries {
			return nil, because(Incomplete, fmt.Errorf("the search does not end: %d entries on %d pages", len(entries), page))
		}
		cookie = next
	}
}

// page asks for one page and proves that it came whole. An empty cookie says that it was the last.
func (l *LDAP) page(ctx context.Context, c *conn, q query, cookie []byte) ([]*ldap.Entry, []byte, error) {
	paging := ldap.NewControlPaging(uint32(l.config.PageSize)) //nolint:gosec // NewLDAP bounds it
	paging.SetCookie(cookie)
	// A new request for every page: the library writes into requests.
	request := ldap.NewSearchRequest(l.config.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		q.filter, q.attributes, []ldap.Control{paging})
	result, err := l.ask(ctx, c, request)
	if err != nil {
		return nil, nil, err
	}
	answer, ok := ldap.FindControl(result.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
	if !ok {
		return nil, nil, because(Incomplete, errors.New("the answer has no paging control, so that nothing proves its end"))
	}
	return result.Entries, answer.Cookie, nil
}

// ask sends one search and takes only a successful answer that leaves nothing to other servers.
func (l *LDAP) ask(ctx context.Context, c *conn, request *ldap.SearchRequest) (*ldap.SearchResult, error) {
	var result *ldap.SearchResult
	err := c.step(ctx, func() (err error) {
		result, err = c.lib.Search(request)
		return err
	})
	switch {
	case err != nil: // whatever the library gave with it is thrown away
		return nil, err
	case result == nil:
		return nil, because(Malformed, errors.New("no answer"))
	}
	return result, l.elsewhere(result)
}

// elsewhere is an error where an answer leaves something to other servers.
func (l *LDAP) elsewhere(result *ldap.SearchResult) error {
	for _, place := range result.Referrals {
		if !slices.Contains(l.config.Referrals, place) {
			return because(Referred, fmt.Errorf("the server names another place to search: %q", place))
		}
	}
	return nil
}

// belongs says whether an entry lies at or below the base (RFC 4512 section 2.3).
func (l *LDAP) belongs(dn string) error {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return because(Foreign, fmt.Errorf("entry %q: %w", dn, err))
	}
	if !l.base.EqualFold(parsed) && !l.base.AncestorOfFold(parsed) {
		return because(Foreign, fmt.Errorf("entry %q lies outside the base %q", dn, l.config.Base))
	}
	return nil
}

// convert takes an entry out of the library's types.
func convert(found *ldap.Entry) Entry {
	e := Entry{DN: found.DN, Attributes: make([]Attribute, 0, len(found.Attributes))}
	for _, a := range found.Attributes {
		e.Attributes = append(e.Attributes, Attribute{Name: a.Name, Values: a.ByteValues})
	}
	return e.bounded()
}
