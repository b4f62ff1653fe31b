package ldapsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Place is an entry that has a user's name, and what the directory itself noted of who wrote it (RFC 4512 section 3.4). That is about the
// entry, not about a key in it: who changed the entry last need not be who put the key there.
type Place struct {
	DN string
	// Users are the names that the entry has.
	Users []string
	// Line is where the entry begins in an LDIF file; 0 in a directory.
	Line int
	// Creator and Modifier are DNs, Created and Modified when these wrote; empty, or zero, where that is not told, or not to this reader.
	Creator, Modifier string
	Created, Modified time.Time
}

// Silent reports that nothing is told of who wrote the entry, nor when.
func (p Place) Silent() bool {
	return p.Creator == "" && p.Modifier == "" && p.Created.IsZero() && p.Modified.IsZero()
}

// Is reports whether the entry has a DN.
func (p Place) Is(dn string) bool {
	if p.DN == dn {
		return true
	}
	a, wrong := ldap.ParseDN(p.DN)
	b, err := ldap.ParseDN(dn)
	return wrong == nil && err == nil && a.EqualFold(b)
}

// operational are the attributes of RFC 4512 section 3.4, which come only when they are named, and those that Active Directory has in their place.
func operational() []string {
	return []string{"creatorsName", "createTimestamp", "modifiersName", "modifyTimestamp", "whenCreated", "whenChanged"}
}

// Locate asks for the entries with the names of some users, and for nobody else's: below the base, whether the filter finds them or not,
// since who lost his last key may have lost an object class with it. The first server that answers is believed, those that failed lately are
// asked last, and all of them together have as long as FetchUser. An entry that is not there is no error.
func (l *LDAP) Locate(ctx context.Context, users ...string) ([]Place, error) {
	ctx, cancel := context.WithTimeout(ctx, l.alone)
	defer cancel()
	servers, err := l.find(ctx)
	wrong := []error{err}
	for _, s := range l.pool.order(servers, time.Now()) {
		q := query{l.named(users...), append(operational(), l.config.Schema.User)}
		entries, err := l.read(ctx, s, q)
		if err == nil {
			return places(entries, l.config.Schema.User, users), nil
		}
		wrong = append(wrong, fmt.Errorf("%s: %w", s.url, err))
	}
	return nil, errors.Join(wrong...)
}

// Locate finds the entries with the names of some users in the file as it is now.
func (l *LDIF) Locate(ctx context.Context, users ...string) ([]Place, error) {
	p, err := l.scan(ctx)
	if err != nil {
		return nil, err
	}
	list := places(p.entries, l.layout.Schema.User, users)
	for i := range list {
		list[i].Line = p.names[strings.ToLower(list[i].DN)]
	}
	return list, nil
}

// places are the entries that have one of the names, byte for byte: servers compare without regard to case.
func places(entries []Entry, attribute string, users []string) (list []Place) {
	for _, e := range entries {
		e = e.bounded()
		p := Place{DN: e.DN}
		for _, name := range e.values(attribute) {
			p.Users = append(p.Users, string(name))
		}
		if !slices.ContainsFunc(p.Users, func(name string) bool { return slices.Contains(users, name) }) {
			continue
		}
		p.Creator, _ = e.one("creatorsName") // no value is what Silent is about
		p.Modifier, _ = e.one("modifiersName")
		p.Created, p.Modified = e.moment("createTimestamp", "whenCreated"), e.moment("modifyTimestamp", "whenChanged")
		list = append(list, p)
	}
	return list
}

// moment is the first of some attributes that tells a time.
func (e Entry) moment(names ...string) time.Time {
	for _, name := range names {
		if text, err := e.one(name); err == nil {
			if at, err := generalizedTime(text); err == nil {
				return at.UTC()
			}
		}
	}
	return time.Time{}
}
